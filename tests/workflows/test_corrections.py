"""Corrections of findings in the store and the ledger: once, by people, of a report that was really concluded."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update

from tests.service.reports import claim, reported
from watchfloor_core.correction import Correction, Judgement, in_effect
from watchfloor_core.errors import LedgerError, NotFoundError, RefusedError
from watchfloor_core.ledger import verify_store
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import ledger_entry, span
from watchfloor_core.store.schema_investigation import finding_correction, investigation
from watchfloor_guardrails.correction import CorrectionRequest
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_service.testing import eve_lines, plant_incidents
from watchfloor_workflows.investigation.corrections import read_corrections, record_correction
from watchfloor_workflows.investigation.records import InvestigationKey

ANA, BO = Principal("ana", PrincipalKind.PERSON), Principal("bo", PrincipalKind.PERSON)
WRONG = CorrectionRequest(Judgement.WRONG, "F1", "T1003.002", "it read the registry")
MISSED = CorrectionRequest(Judgement.MISSED, None, "T1021.002")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "data"
    folder.mkdir()
    return Settings(data_dir=folder)


@pytest.fixture
def key(store: Store, settings: Settings) -> InvestigationKey:
    """Of a report with two findings."""
    incident_id = plant_incidents(store, settings, "acme", eve_lines(12))[0]
    findings = claim("F1", "T1003.001"), claim("F2", code="process_origin")
    return reported(store, settings, InvestigationKey("acme", incident_id, 7), *findings)


def made(store: Store, key: InvestigationKey) -> tuple[Correction, ...]:
    with store.read() as connection:
        return read_corrections(connection, key)


def entries(store: Store, kind: str = "correction") -> list[dict[str, object]]:
    with store.read() as connection:
        rows = connection.execute(
            select(ledger_entry.c.body).where(ledger_entry.c.kind == kind).order_by(ledger_entry.c.seq)
        )
        return [json.loads(row.body) for row in rows]


def test_it_is_kept_and_entered_below_the_investigation_with_a_span_of_the_same_id(
    store: Store, key: InvestigationKey
) -> None:
    kept = record_correction(store, key, WRONG, ANA)

    assert made(store, key) == (kept,)
    assert (kept.finding_id, kept.says, kept.technique) == ("F1", Judgement.WRONG, "T1003.002")
    [entry], [concluded] = entries(store), entries(store, "investigation")
    assert entry["parent"] == concluded["id"]
    assert entry["body"] == {
        "revision": 7,
        "report_sha256": kept.report_sha256,
        "finding_id": "F1",
        "says": "wrong",
        "technique": "T1003.002",
        "comment": "it read the registry",
        "principal": "ana",
    }
    with store.read() as connection:
        assert verify_store(connection, "acme").ok
        traced = connection.execute(select(span.c.name, span.c.attributes).where(span.c.span_id == entry["id"])).one()
    assert traced.name == "watchfloor.correction"
    assert traced.attributes["watchfloor.correction.says"] == "wrong"
    assert traced.attributes["watchfloor.report.digest"] == kept.report_sha256
    assert "it read the registry" not in json.dumps(traced.attributes)


def test_the_same_again_changes_nothing(store: Store, key: InvestigationKey) -> None:
    assert record_correction(store, key, WRONG, ANA) == record_correction(store, key, WRONG, ANA)
    assert record_correction(store, key, MISSED, ANA) == record_correction(store, key, MISSED, ANA)
    assert len(entries(store)) == 2


def test_the_same_of_many_at_once_is_recorded_once(store: Store, key: InvestigationKey) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: record_correction(store, key, WRONG, ANA).id, range(8)))
    assert len(set(found)) == 1
    assert len(entries(store)) == 1


def test_a_later_word_takes_effect_and_the_earlier_is_kept(store: Store, key: InvestigationKey) -> None:
    first = record_correction(store, key, WRONG, ANA)
    second = record_correction(store, key, CorrectionRequest(Judgement.RIGHT, "F1"), ANA)
    others = record_correction(store, key, WRONG, BO)

    assert made(store, key) == (first, second, others)
    assert in_effect(made(store, key)) == (second, others)
    # Back to the first: it is said anew.
    record_correction(store, key, WRONG, ANA)
    assert len(entries(store)) == 4


def test_what_was_said_is_taken_back_once(store: Store, key: InvestigationKey) -> None:
    back = CorrectionRequest(Judgement.WITHDRAWN, None, "T1021.002")
    with pytest.raises(RefusedError, match=r"'ana' says nothing of T1021\.002"):
        record_correction(store, key, back, ANA)
    record_correction(store, key, MISSED, ANA)
    with pytest.raises(RefusedError, match="'bo' says nothing"):
        record_correction(store, key, back, BO)
    assert record_correction(store, key, back, ANA) == record_correction(store, key, back, ANA)
    assert in_effect(made(store, key)) == ()
    with pytest.raises(RefusedError, match="says nothing of F1"):
        record_correction(store, key, CorrectionRequest(Judgement.WITHDRAWN, "F1"), ANA)


@pytest.mark.parametrize("kind", [PrincipalKind.SERVICE, PrincipalKind.AGENT])
def test_no_program_corrects_and_nothing_of_it_is_kept(
    store: Store, key: InvestigationKey, kind: PrincipalKind
) -> None:
    with pytest.raises(RefusedError, match="only a person corrects"):
        record_correction(store, key, WRONG, Principal("generative", kind))
    assert (made(store, key), entries(store)) == ((), [])


def test_what_the_report_does_not_hold_is_not_found(store: Store, key: InvestigationKey) -> None:
    with pytest.raises(NotFoundError, match="the report has no finding 'F3'; it has F1 to F2"):
        record_correction(store, key, CorrectionRequest(Judgement.WRONG, "F3"), ANA)
    with pytest.raises(NotFoundError, match="no report on revision 6"):
        record_correction(store, InvestigationKey("acme", key.incident_id, 6), WRONG, ANA)
    with pytest.raises(NotFoundError, match="no incident"):
        record_correction(store, InvestigationKey("other", key.incident_id, 7), WRONG, ANA)
    with pytest.raises(RefusedError, match=r"the report has T1003\.001"):
        record_correction(store, key, CorrectionRequest(Judgement.MISSED, None, "T1003.001"), ANA)
    with pytest.raises(RefusedError, match="no technique of ATT&CK"):
        record_correction(store, key, CorrectionRequest(Judgement.MISSED, None, "T1999"), ANA)


def test_an_investigation_without_a_report_cannot_be_corrected(store: Store, key: InvestigationKey) -> None:
    with store.write() as connection:
        connection.execute(update(investigation).values(status="failed", report=None, report_sha256=None))
    with pytest.raises(NotFoundError, match="no report on revision 7"):
        record_correction(store, key, WRONG, ANA)


def test_a_report_that_was_changed_is_not_corrected(store: Store, key: InvestigationKey) -> None:
    with store.write() as connection:
        connection.execute(update(investigation).values(report=investigation.c.report + " "))
    with pytest.raises(LedgerError, match="its SHA-256 differs"):
        record_correction(store, key, WRONG, ANA)


def test_a_report_that_was_changed_with_its_digest_is_not_corrected(store: Store, key: InvestigationKey) -> None:
    with store.write() as connection:
        content = connection.execute(select(investigation.c.report)).scalar_one().replace("was seen", "was not seen")
        digest = hashlib.sha256(content.encode()).hexdigest()
        connection.execute(update(investigation).values(report=content, report_sha256=digest))
    with pytest.raises(LedgerError, match="the ledger has no investigation"):
        record_correction(store, key, WRONG, ANA)
    assert made(store, key) == ()


def test_a_row_without_its_ledger_entry_is_never_left(store: Store, key: InvestigationKey) -> None:
    with store.write() as connection:
        connection.execute(delete(ledger_entry).where(ledger_entry.c.kind == "investigation"))
    with pytest.raises(LedgerError):
        record_correction(store, key, WRONG, ANA)
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(finding_correction)).scalar_one() == 0
