"""Label endorsers of others, on the real server: what they vouch for is named, what is no clear yes asks as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, Table, insert, select

from tests.workflows.investigations import DUMP, OUTSIDE, InvestigationBench
from tests.workflows.plug_ins import install_endorsers
from watchfloor_agents.vouching.asking import PluggedEndorser
from watchfloor_core.alert import Integrity
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.identity import digest16
from watchfloor_core.incident import Verdict
from watchfloor_core.settings import Settings
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import action_proposal
from watchfloor_guardrails.draft import draft_from_json
from watchfloor_workflows.authority.vouching import Vouchers
from watchfloor_workflows.client import connect
from watchfloor_workflows.plugged.loading import load_endorsers
from watchfloor_workflows.policy import OPERATORS_FILE
from watchfloor_workflows.testing import Workbench

pytestmark = pytest.mark.anyio

TYPED, SEEN = "198.51.100.7", "203.0.113.9"
"""Addresses outside: one in what whoever failed a login typed, one in a sensor's own field."""


@pytest.fixture(autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    install_endorsers(tmp_path_factory.mktemp("plug-ins"), monkeypatch)


@pytest.fixture
async def lab(settings: Settings, sqlite_store: Store) -> InvestigationBench:
    bench = InvestigationBench.over(await connect(settings), sqlite_store, settings)
    bench.set_level("L2")
    bench.make_due()
    return bench


def allow(lab: InvestigationBench, *names: str) -> None:
    found = load_endorsers(lab.settings.model_copy(update={"endorsers_allowed": names}))
    lab.vouchers = Vouchers([replace(one, timeout_s=3.0) for one in found])


async def targets(lab: InvestigationBench) -> dict[object, tuple[Integrity, str | None]]:
    """What is proposed: the target's label by its value."""
    await lab.result()
    with lab.store.read() as connection:
        drafts = [draft_from_json(one) for one in connection.scalars(select(action_proposal.c.draft))]
    return {one.target.value: (one.target.integrity, one.target.endorsed_by) for one in drafts}


async def test_without_one_nobody_vouches_for_what_only_attackers_text_names(lab: InvestigationBench) -> None:
    assert (await targets(lab))[DUMP] == (Integrity.EXTERNAL, None)


async def test_what_one_vouches_for_is_named_with_its_version_and_keeps_its_label(lab: InvestigationBench) -> None:
    allow(lab, "nothing", "files", "everything")
    assert (await targets(lab))[DUMP] == (Integrity.EXTERNAL, "endorser:files 2")


async def test_none_is_asked_of_what_sensors_say_themselves(lab: InvestigationBench) -> None:
    allow(lab, "everything")
    assert (await targets(lab))[OUTSIDE] == (Integrity.SENSOR, None)


@pytest.mark.parametrize("name", ["nothing", "raiser", "wordy", "dead", "stuck"])
async def test_what_is_no_clear_yes_is_no_and_the_proposal_asks(lab: InvestigationBench, name: str) -> None:
    allow(lab, name)
    assert (await targets(lab))[DUMP] == (Integrity.EXTERNAL, None)


async def first_targets(
    bench: Workbench, *names: str, verdict: Verdict = Verdict.TRUE_POSITIVE
) -> dict[object, tuple[Integrity, str | None]]:
    """What is proposed once triage believes in an attack, before any investigation."""
    found = load_endorsers(bench.settings.model_copy(update={"endorsers_allowed": names}))
    bench.vouchers = Vouchers([replace(one, timeout_s=3.0) for one in found])
    bench.engine.verdict, bench.engine.probability = verdict, 0.99
    policy = bench.settings.data_dir / OPERATORS_FILE
    people_respond = "function: incident_response, level: L0"
    assert people_respond in policy.read_text()
    policy.write_text(policy.read_text().replace(people_respond, people_respond.replace("L0", "L2")))
    with bench.store.write() as connection:
        plant_named(connection, bench.tenant, TYPED, Integrity.EXTERNAL)
        plant_named(connection, bench.tenant, SEEN, Integrity.SENSOR)
    async with bench.worker():
        await bench.open()
        await bench.until(lambda state: state.status.is_open and state.verdict is verdict)
    with bench.store.read() as connection:
        drafts = [draft_from_json(one) for one in connection.scalars(select(action_proposal.c.draft))]
    return {one.target.value: (one.target.integrity, one.target.endorsed_by) for one in drafts}


def plant_named(connection: Connection, tenant: str, value: str, integrity: Integrity) -> None:
    """An alert of the incident that names an address in a field of this integrity."""
    shape_id, entity_id, detector_id = (digest16(kind, value) for kind in ("shape", "entity", "detector"))
    beside = {"tenant": tenant}
    rows: list[tuple[Table, dict[str, object]]] = [
        (schema.detector, {"id": detector_id, "product": "idp", "uid": value, "title": "Logon failed", "tactics": [],
                           "techniques": []}),
        (schema.entity, {"id": entity_id, "kind": "ip", "value": value}),
        (schema.shape, {"id": shape_id, "detector_id": detector_id, "severity": 4, "attributes": []}),
        (schema.shape_entity, {"shape_id": shape_id, "entity_id": entity_id, "role": "actor",
                               "integrity": int(integrity)}),
        (schema.observation, {"tick": 1, "shape_id": shape_id, "incident_id": "inc-1", "revision": 1, "alerts": 1,
                              "first_us": 0, "last_us": 0, "is_late": False, "surprise": 0.0, "reason": {}}),
    ]  # fmt: skip
    for table, values in rows:
        connection.execute(insert(table).values(**beside, **values))


async def test_the_first_containment_that_triage_leads_to_is_vouched_for_like_any_other(bench: Workbench) -> None:
    assert await first_targets(bench, "nothing", "everything") == {
        TYPED: (Integrity.EXTERNAL, "endorser:everything 2"),
        # Nobody is asked of what sensors say themselves.
        SEEN: (Integrity.SENSOR, None),
    }


@pytest.mark.parametrize("names", [(), ("nothing",), ("raiser",), ("stuck",)])
async def test_without_a_clear_yes_the_first_containment_asks_as_before(
    bench: Workbench, names: tuple[str, ...]
) -> None:
    assert (await first_targets(bench, *names))[TYPED] == (Integrity.EXTERNAL, None)


async def test_no_endorser_is_started_for_an_incident_that_is_no_attack(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asked(*_: object) -> tuple[object, ...]:
        raise AssertionError("an endorser was asked")

    monkeypatch.setattr(PluggedEndorser, "vouched", asked)
    assert await first_targets(bench, "everything", verdict=Verdict.UNDETERMINED) == {}


@pytest.mark.parametrize(
    ("name", "problem"),
    [("absent", "failed with AttributeError"), ("nobody", "not installed"), ("person:ana", "not named of a-z")],
)
def test_one_that_cannot_be_used_stops_the_start_with_the_reason(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        load_endorsers(Settings(data_dir=tmp_path, endorsers_allowed=("files", name)))
