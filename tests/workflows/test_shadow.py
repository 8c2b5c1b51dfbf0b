"""L0: nothing hints at the agent's answer before the person's, and afterwards everyone can check it."""

from __future__ import annotations

import hashlib
import json

import pytest
from sqlalchemy import select, text

from watchfloor_core.canonical import canonical
from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_core.store.schema import human_verdict, ledger_entry, shadow_answer
from watchfloor_workflows import search_attributes
from watchfloor_workflows.messages import DecideIncidentInput, WaitingFor, WorkflowState
from watchfloor_workflows.testing import Workbench

pytestmark = pytest.mark.anyio

TELLING = ("TruePositive", "0.9737", "It always says so")
"""What the engine below answers: verdict, probability, reason."""


def waits(state: WorkflowState) -> bool:
    return state.waiting_for is WaitingFor.PERSON


async def open_at_l0(bench: Workbench) -> WorkflowState:
    bench.set_level("L0")
    bench.engine.verdict, bench.engine.probability = Verdict.TRUE_POSITIVE, 0.9737
    await bench.open()
    return await bench.until(waits)


async def decide(bench: Workbench) -> None:
    decision = DecideIncidentInput(
        principal="ana",
        principal_kind="person",
        verdict=Verdict.BENIGN_POSITIVE,
        close=False,
        comment="",
        revision=1,
        update_id="u-1",
    )
    await bench.desk.decide(bench.tenant, "inc-1", decision)


def ledger_body(bench: Workbench, kind: str) -> dict[str, object]:
    with bench.store.read() as connection:
        entry = connection.execute(
            select(ledger_entry.c.body).where(ledger_entry.c.tenant == bench.tenant, ledger_entry.c.kind == kind)
        ).scalar_one()
    body: dict[str, object] = json.loads(entry)["body"]
    return body


def everything_stored_but_the_sealed_answer(bench: Workbench) -> str:
    with bench.store.read() as connection:
        tables = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        rows = [
            str(connection.execute(text(f'SELECT * FROM "{table}"')).all())  # noqa: S608  # names from the database itself
            for table in tables
            if table != "shadow_answer"
        ]
    return "\n".join(rows)


async def test_the_answer_stands_nowhere_but_under_its_seal_until_the_person_decided(bench: Workbench) -> None:
    async with bench.worker():
        state = await open_at_l0(bench)
        history = (await bench.handle().fetch_history()).to_json()
        attributes = (await bench.handle().describe()).typed_search_attributes

    assert bench.engine.asked == [1]
    assert (state.status, state.verdict, state.level) == (IncidentStatus.QUEUED, None, 0)
    assert attributes.get(search_attributes.VERDICT) is None
    assert bench.ledger() == ["shadow_seal", "ruling", "queue"]
    stored = everything_stored_but_the_sealed_answer(bench)
    for word in TELLING:
        assert word not in stored
        assert word not in history


async def test_the_seal_is_opened_after_the_verdict_and_anyone_can_check_it(bench: Workbench) -> None:
    async with bench.worker():
        await open_at_l0(bench)
        await decide(bench)

    sealed, revealed = ledger_body(bench, "shadow_seal"), ledger_body(bench, "shadow_reveal")
    assert bench.ledger() == ["shadow_seal", "ruling", "queue", "human_verdict", "shadow_reveal", "queue"]
    answer = revealed["answer"]
    assert isinstance(answer, dict)
    assert (answer["verdict"], answer["probability"]) == ("TruePositive", 0.9737)
    opened = hashlib.sha256(bytes.fromhex(str(revealed["nonce"])) + canonical(answer)).hexdigest()
    assert opened == sealed["commitment"] == revealed["commitment"]
    assert revealed["holds"] is True


async def test_a_person_who_decided_before_the_seal_was_opened_had_not_seen_the_answer(bench: Workbench) -> None:
    async with bench.worker():
        await open_at_l0(bench)
        await decide(bench)

    with bench.store.read() as connection:
        assert connection.execute(select(human_verdict.c.saw_agent_answer)).scalars().all() == [False]


async def test_an_answer_that_was_changed_under_its_seal_is_seen_when_it_is_opened(bench: Workbench) -> None:
    async with bench.worker():
        await open_at_l0(bench)
        with bench.store.write() as connection:
            answer = connection.execute(select(shadow_answer.c.answer)).scalar_one()
            connection.execute(shadow_answer.update().values(answer={**answer, "verdict": "BenignPositive"}))
        await decide(bench)

    assert ledger_body(bench, "shadow_reveal")["holds"] is False


async def test_lowering_the_level_to_l0_takes_the_earlier_answer_from_the_incident(bench: Workbench) -> None:
    bench.set_level("L2")
    async with bench.worker():
        await bench.open()
        await bench.until(waits)
        assert bench.stored().verdict is Verdict.FALSE_POSITIVE
        bench.set_level("L0")
        await bench.change()
        state = await bench.until(lambda state: state.revision == 2 and waits(state))

    stored = bench.stored()
    assert (state.verdict, stored.verdict, stored.assessment) == (None, None, None)
