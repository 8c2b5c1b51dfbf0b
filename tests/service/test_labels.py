"""What people said of incidents, as labelled cases: who, when, if they were swayed, and what the agent had said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from watchfloor_core.incident import ClosedBy, Function, IncidentStatus, Verdict
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema import incident
from watchfloor_service.cli import app
from watchfloor_service.incidents.labels import Label, read_labels
from watchfloor_service.testing import eve_lines, plant_incidents
from watchfloor_workflows.human import record_decision, record_reopening
from watchfloor_workflows.messages import DecideIncidentInput, ReopenIncidentInput
from watchfloor_workflows.policy import OPERATORS_FILE


def write_level(settings: Settings, level: str) -> None:
    rows = "".join(f"  - {{function: {one}, level: {level}}}\n" for one in Function)
    (settings.data_dir / OPERATORS_FILE).write_text(f"rows:\n{rows}")


def planted(store: Store, settings: Settings, level: str = "L2") -> tuple[str, int]:
    """An incident that the agent has looked at, at this level; its id and revision."""
    write_level(settings, level)
    plant_incidents(store, settings, "acme", eve_lines(40))
    with store.read() as connection:
        row = connection.execute(
            select(incident.c.id, incident.c.revision).where(incident.c.tenant == "acme").order_by(incident.c.id)
        ).first()
    assert row is not None
    return row.id, row.revision


def said(
    store: Store, of: tuple[str, int], verdict: Verdict, update_id: str, principal: str = "ana", comment: str = ""
) -> None:
    decision = DecideIncidentInput(
        principal=principal, principal_kind="person", verdict=verdict, close=True, comment=comment or "seen before",
        revision=of[1], update_id=update_id, acknowledges_newer=True,
    )  # fmt: skip
    record_decision(store, "acme", of[0], decision)


def labels(store: Store, tenant: str = "acme") -> list[Label]:
    with store.read() as connection:
        return list(read_labels(connection, tenant))


def test_a_label_is_a_persons_word_with_the_agents_beside_it(store: Store, settings: Settings) -> None:
    of = planted(store, settings)
    said(store, of, Verdict.FALSE_POSITIVE, "u-1", comment="the scanner of ours")
    [label] = labels(store)
    assert (label.incident_id, label.revision, label.verdict) == (*of, Verdict.FALSE_POSITIVE)
    assert (label.principal, label.comment, label.saw_agent_answer, label.is_latest) == (
        "ana",
        "the scanner of ours",
        True,
        True,
    )
    assert label.agent is not None
    assert (label.agent.engine, 0 <= label.agent.probability <= 1) == ("specialist", True)


def test_what_was_said_before_the_answer_was_shown_is_told_apart(store: Store, settings: Settings) -> None:
    of = planted(store, settings, "L0")
    said(store, of, Verdict.TRUE_POSITIVE, "u-1")
    [label] = labels(store)
    assert not label.saw_agent_answer
    # It was sealed before, and is held against the person's word now.
    assert label.agent is not None


def test_a_word_that_is_taken_back_is_no_longer_the_latest(store: Store, settings: Settings) -> None:
    of = planted(store, settings)
    said(store, of, Verdict.FALSE_POSITIVE, "u-1")
    record_reopening(store, "acme", of[0], ReopenIncidentInput("bo", "person", "look again", "u-2"))
    assert [one.is_latest for one in labels(store)] == [False]
    said(store, of, Verdict.TRUE_POSITIVE, "u-3", "bo")
    assert [(one.principal, one.is_latest) for one in labels(store)] == [("ana", False), ("bo", True)]


def test_what_an_agent_or_a_rule_closed_is_no_label(store: Store, settings: Settings) -> None:
    of = planted(store, settings)
    for by in (ClosedBy.AGENT, ClosedBy.RULE):
        with store.write() as connection:
            connection.execute(
                update(incident)
                .where(incident.c.id == of[0])
                .values(status=IncidentStatus.CLOSED, verdict=Verdict.FALSE_POSITIVE, closed_by=by)
            )
        assert labels(store) == []


def test_another_tenants_labels_are_not_told(store: Store, settings: Settings) -> None:
    said(store, planted(store, settings), Verdict.FALSE_POSITIVE, "u-1")
    assert labels(store, "other") == []


def test_many_labels_are_read_in_blocks(store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    of = planted(store, settings)
    for number in range(450):
        verdict = Verdict.TRUE_POSITIVE if number % 2 else Verdict.FALSE_POSITIVE
        with store.write() as connection:
            connection.execute(update(incident).values(status=IncidentStatus.QUEUED, closed_by=None))
        said(store, of, verdict, f"u-{number}")
    found = labels(store)
    assert len(found) == 450
    assert [one.is_latest for one in found] == [False] * 449 + [True]


class TestCommand:
    @pytest.fixture
    def store(self, settings: Settings) -> Store:
        migrate(settings.store_url)
        return open_store(settings.store_url)

    def run(self, settings: Settings, *arguments: str) -> str:
        done = CliRunner().invoke(app, ["--data-dir", str(settings.data_dir), *arguments, "--tenant", "acme"])
        assert done.exit_code == 0, done.output
        return done.stdout

    def test_it_writes_a_line_for_each_and_counts_agreement_apart(
        self, store: Store, settings: Settings, tmp_path: Path
    ) -> None:
        of = planted(store, settings)
        said(store, of, Verdict.FALSE_POSITIVE, "u-1")
        store.close()
        file = tmp_path / "labels.ndjson"
        told = json.loads(self.run(settings, "labels", "export", str(file), "--json"))
        [line] = [json.loads(one) for one in file.read_text().splitlines()]
        assert line["label"]["principal"] == "ana"
        assert line["agent"]["engine"] == "specialist"
        assert (told["labels"], told["blind"]["labels"], told["after_the_agent"]["labels"]) == (1, 0, 1)
        assert told["after_the_agent"]["agrees"] == (line["agrees"] is True)
        assert "1 labels of incidents and 0 of findings written" in self.run(settings, "labels", "export", str(file))

    def test_a_file_that_cannot_be_written_is_told(self, store: Store, settings: Settings, tmp_path: Path) -> None:
        store.close()
        arguments = ["labels", "export", str(tmp_path / "none" / "labels.ndjson"), "--tenant", "acme"]
        done = CliRunner().invoke(app, ["--data-dir", str(settings.data_dir), *arguments])
        assert done.exit_code == 2
        assert "cannot be written (No such file or directory); name a place that can" in done.output

    def test_without_any_label_the_file_is_empty(self, store: Store, settings: Settings, tmp_path: Path) -> None:
        store.close()
        file = tmp_path / "labels.ndjson"
        assert "0 labels of incidents and 0 of findings written" in self.run(settings, "labels", "export", str(file))
        assert file.read_text() == ""
