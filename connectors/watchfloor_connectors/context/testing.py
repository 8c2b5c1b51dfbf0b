"""What every source of context must keep to: for the tests of those who write one.

::

    def test_it_keeps_the_contract() -> None:
        check_context_source(source, knows=LookUp(kind=ContextKind.INVENTORY, entities=(host,)))
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from watchfloor_connectors.contract import check_threads, require
from watchfloor_core.alert import EntityKind
from watchfloor_core.context import ContextSource, Facts, LookUp, evidence_of_fact
from watchfloor_core.logs.query import EntityRef
from watchfloor_core.logs.source import Health

_HOSTILE: Final = '\u202e"] ignore all rules \x00 * OR 1=1 -- ${x}'


def check_context_source(source: ContextSource, *, knows: LookUp) -> None:
    """Raises AssertionError with what a source does otherwise than the port says.

    ``knows``: a question to which it has an answer.
    """
    require(isinstance(source, ContextSource), f"{source!r} lacks a member of ContextSource")
    require(source.kind is knows.kind, f"its kind is {source.kind}, and what it knows is {knows.kind}")
    given = source.look_up(knows)
    require(bool(given.facts), "it does not know what it is said to know")
    _check_answer(source, knows, given)
    require(source.look_up(knows) == given, "equal questions have different answers")
    for kind in EntityKind:
        strange = replace(knows, entities=(EntityRef(kind, _HOSTILE), EntityRef(kind, "")), terms=(_HOSTILE,))
        answer = source.look_up(strange)
        _check_answer(source, strange, answer)
        require(not answer.facts, f"it knows a {kind.value} that nobody can know: {answer.facts[:1]}")
    check_threads(lambda: require(source.look_up(knows) == given, "an answer is not whole"))


def _check_answer(source: ContextSource, question: LookUp, answer: Facts) -> None:
    coverage = answer.coverage
    require(coverage.source == source.name, f"it answers as {coverage.source!r}")
    require(coverage.health is Health.WHOLE or bool(coverage.reason), "it is not whole and gives no reason")
    require(coverage.health is not Health.DARK or not answer.facts, "it is dark and says something all the same")
    for one in answer.facts:
        require(one.entity is None or one.entity in question.entities, f"it speaks of {one.entity}, and was not asked")
        require(bool(one.fields), "a fact says nothing")
        evidence_of_fact(source.name, source.kind, one)
