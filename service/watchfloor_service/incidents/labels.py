"""Labelled cases: what people said of incidents, beside what the agent had said of the same revision.

Only people's words are labels. What an agent closed, or said, is the answer that is held against them, and never one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, bindparam, select

from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import to_iso
from watchfloor_core.incident import Verdict
from watchfloor_core.store.schema import human_verdict, incident, ledger_entry, shadow_answer

_AT_ONCE: Final = 200
_WORDS: Final = (
    select(
        human_verdict.c.id,
        human_verdict.c.incident_id,
        human_verdict.c.revision,
        human_verdict.c.verdict,
        human_verdict.c.principal,
        human_verdict.c.comment,
        human_verdict.c.decided_us,
        human_verdict.c.saw_agent_answer,
        incident.c.title,
        incident.c.severity,
        incident.c.alert_count,
        incident.c.first_us,
        incident.c.last_us,
    )
    .join(incident, and_(incident.c.tenant == human_verdict.c.tenant, incident.c.id == human_verdict.c.incident_id))
    .where(
        human_verdict.c.tenant == bindparam("tenant"),
        human_verdict.c.id > bindparam("after"),
        # Whoever reopens an incident says that nothing is decided: that is no label.
        human_verdict.c.verdict != Verdict.UNDETERMINED.value,
    )
    .order_by(human_verdict.c.id)
    .limit(_AT_ONCE)
)
_ANSWERS: Final = (
    select(ledger_entry.c.chain, ledger_entry.c.body)
    .where(
        ledger_entry.c.tenant == bindparam("tenant"),
        ledger_entry.c.chain.in_(bindparam("incidents", expanding=True)),
        ledger_entry.c.kind == "verdict",
    )
    .order_by(ledger_entry.c.chain, ledger_entry.c.seq)
)
_SHADOWS: Final = select(shadow_answer.c.incident_id, shadow_answer.c.revision, shadow_answer.c.answer).where(
    shadow_answer.c.tenant == bindparam("tenant"),
    shadow_answer.c.incident_id.in_(bindparam("incidents", expanding=True)),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the agent said of one revision."""

    verdict: Verdict
    probability: float
    """Of TruePositive."""
    engine: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One person's word on one revision of one incident."""

    incident_id: str
    revision: int
    verdict: Verdict
    principal: str
    comment: str
    decided_us: int
    saw_agent_answer: bool
    """False: said before the agent's answer was shown, and so not swayed by it."""
    is_latest: bool
    """Nobody has said anything else of the incident since."""
    title: str
    severity: int
    alerts: int
    first_us: int
    last_us: int
    agent: Answer | None
    """None where none was asked."""

    @property
    def agrees(self) -> bool | None:
        """Whether agent and person are on the same side, attack or not; None where the agent took none."""
        if self.agent is None or self.agent.verdict is Verdict.UNDETERMINED:
            return None
        return (self.agent.verdict is Verdict.TRUE_POSITIVE) == (self.verdict is Verdict.TRUE_POSITIVE)

    def as_json(self) -> dict[str, JsonValue]:
        agent = self.agent
        return {
            "kind": "incident",
            "incident": self.incident_id,
            "revision": self.revision,
            "title": self.title,
            "severity": self.severity,
            "alerts": self.alerts,
            "first": to_iso(self.first_us),
            "last": to_iso(self.last_us),
            "label": {
                "verdict": self.verdict.value,
                "principal": self.principal,
                "comment": self.comment,
                "at": to_iso(self.decided_us),
                "saw_agent_answer": self.saw_agent_answer,
                "is_latest": self.is_latest,
            },
            "agent": None
            if agent is None
            else {
                "verdict": agent.verdict.value,
                "probability": agent.probability,
                "engine": agent.engine,
                "version": agent.version,
            },
            "agrees": self.agrees,
        }


def read_labels(connection: Connection, tenant: str) -> Iterator[Label]:
    """Every label of a tenant, the oldest first, read in blocks."""
    latest = _latest(connection, tenant)
    after = 0
    while rows := connection.execute(_WORDS, {"tenant": tenant, "after": after}).all():
        after = rows[-1].id
        answers = _answers(connection, tenant, sorted({row.incident_id for row in rows}))
        for row in rows:
            yield Label(
                incident_id=row.incident_id,
                revision=row.revision,
                verdict=Verdict(row.verdict),
                principal=row.principal,
                comment=row.comment,
                decided_us=row.decided_us,
                saw_agent_answer=bool(row.saw_agent_answer),
                is_latest=latest[row.incident_id] == row.id,
                title=row.title,
                severity=row.severity,
                alerts=row.alert_count,
                first_us=row.first_us,
                last_us=row.last_us,
                agent=answers.get((row.incident_id, row.revision)),
            )


def _latest(connection: Connection, tenant: str) -> dict[str, int]:
    """The last word on each incident, also one that takes the others back."""
    rows = connection.execute(
        select(human_verdict.c.incident_id, human_verdict.c.id)
        .where(human_verdict.c.tenant == tenant)
        .order_by(human_verdict.c.id)
    )
    return {row.incident_id: row.id for row in rows}


def _answers(connection: Connection, tenant: str, incidents: Sequence[str]) -> dict[tuple[str, int], Answer]:
    asked = {"tenant": tenant, "incidents": incidents}
    found: dict[tuple[str, int], Answer] = {}
    for sealed in connection.execute(_SHADOWS, asked):
        found[sealed.incident_id, sealed.revision] = _answer(sealed.answer)
    for entry in connection.execute(_ANSWERS, asked):
        body = json.loads(entry.body)["body"]
        found[entry.chain, body["revision"]] = _answer(body)
    return found


def _answer(content: dict[str, object]) -> Answer:
    return Answer(
        verdict=Verdict(str(content["verdict"])),
        probability=float(str(content["probability"])),
        engine=str(content["engine"]),
        version=str(content["version"]),
    )
