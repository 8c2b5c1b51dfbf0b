"""Label endorsers of others, on the real server: what they vouch for is named, what is no clear yes asks as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.workflows.investigations import DUMP, OUTSIDE, InvestigationBench
from tests.workflows.plug_ins import install_endorsers
from watchfloor_core.alert import Integrity
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import action_proposal
from watchfloor_guardrails.draft import draft_from_json
from watchfloor_workflows.authority.vouching import Vouchers
from watchfloor_workflows.client import connect
from watchfloor_workflows.plugged.loading import load_endorsers

pytestmark = pytest.mark.anyio


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


@pytest.mark.parametrize(
    ("name", "problem"),
    [("absent", "failed with AttributeError"), ("nobody", "not installed"), ("person:ana", "not named of a-z")],
)
def test_one_that_cannot_be_used_stops_the_start_with_the_reason(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        load_endorsers(Settings(data_dir=tmp_path, endorsers_allowed=("files", name)))
