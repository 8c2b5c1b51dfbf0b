"""Other people's analysers: the page that shows how, the kit that holds them to it, and the guard around them."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from watchfloor_agents.investigation import registry, template
from watchfloor_agents.investigation.analysers import ANALYSERS
from watchfloor_agents.investigation.analysers.indicator import IndicatorAnalyser
from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_agents.investigation.checking import check
from watchfloor_agents.investigation.engine import Analysis, Claim
from watchfloor_agents.investigation.guarded import MAX_CLAIM_ODDS, MAX_CLAIMS, MAX_QUESTIONS, Guarded
from watchfloor_agents.investigation.loop import run_locally
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_agents.investigation.testing import check_analyser
from watchfloor_agents.investigation.view import CaseView, Question
from watchfloor_connectors.logs.listed import ListLogSource
from watchfloor_connectors.logs.testing import START_US, sample_event
from watchfloor_core import plugins
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.logs.query import Select, TimeRange
from watchfloor_core.report import Citation

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-an-analyser.md"
CASE = InvestigationCase(
    tenant="acme",
    incident_id="inc-1",
    revision=1,
    title="x",
    range=TimeRange(START_US, START_US + 1_000_000),
    alerts=(),
    entities=(),
)
STARTED = sample_event(1, 0, host__name="ws1", process__name="anydesk.exe", process__executable="C:\\x\\anydesk.exe")


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_the_analyser_on_the_page_is_the_template_that_ships_and_short() -> None:
    def code(source: str) -> str:
        tree = ast.parse(source)
        tree.body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
        return ast.dump(tree)

    assert code(blocks()[0]) == code(inspect.getsource(template))
    body = [one for one in blocks()[0].splitlines() if one.strip() and not one.startswith(("from ", "import "))]
    assert len(body) <= 20


def test_the_test_on_the_page_passes() -> None:
    namespace: dict[str, Any] = {}
    exec(compile(blocks()[1], PAGE.name, "exec"), namespace)  # noqa: S102  # our own page
    namespace["test_remote_tools_keep_the_contract"]()


@pytest.mark.parametrize("analyser", ANALYSERS, ids=lambda one: one.name)
def test_what_ships_keeps_the_contract(analyser: Any) -> None:
    check_analyser(analyser)


class Base:
    name = "theirs"
    version = "1"

    def questions(self, view: CaseView) -> Sequence[Question]:
        return template.remote_tools().questions(view)

    def analyse(self, view: CaseView) -> Analysis:
        return template.remote_tools().analyse(view)


def limited(question: Question, limit: int) -> Question:
    assert isinstance(question.query, Select)
    return replace(question, query=replace(question.query, limit=limit))


class Impure(Base):
    counter = itertools.count()

    def questions(self, view: CaseView) -> Sequence[Question]:
        return [limited(one, next(self.counter) + 1) for one in super().questions(view)]


class Inventing(Base):
    def analyse(self, view: CaseView) -> Analysis:
        found = super().analyse(view)
        wrong = (Citation("0" * 64, "host.name", "ws1"),)
        return Analysis(tuple(replace(one, citations=wrong) for one in found.claims))


class Boasting(Base):
    def analyse(self, view: CaseView) -> Analysis:
        return Analysis(tuple(replace(one, log_odds=90.0) for one in super().analyse(view).claims))


class Nameless(Base):
    name = "Not A Name"


class Blind(Base):
    def analyse(self, view: CaseView) -> Analysis:
        return Analysis()


@pytest.mark.parametrize("kind", [Impure, Inventing, Boasting, Nameless, Blind])
def test_the_kit_finds_an_analyser_that_breaks_the_contract(kind: type[Base]) -> None:
    with pytest.raises(AssertionError):
        check_analyser(kind(), shows=[STARTED])
    check_analyser(Base(), shows=[STARTED])


class Failing(Base):
    def questions(self, view: CaseView) -> Sequence[Question]:
        raise ValueError("words of an attacker")

    def analyse(self, view: CaseView) -> Analysis:
        raise RuntimeError("words of an attacker")


class Flooding(Base):
    def questions(self, view: CaseView) -> Sequence[Question]:
        one = next(iter(super().questions(view)))
        return [limited(one, number) for number in range(1, 900)]

    def analyse(self, view: CaseView) -> Analysis:
        claim = Claim(code="x", text="said", citations=(), time_us=0, log_odds=float("inf"))
        return Analysis((claim,) * 5_000)


def test_one_that_fails_costs_nothing_but_itself_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    engine = SpecialistEngine((*ANALYSERS, Guarded(Failing())))
    view, report = run_locally(engine, CASE, [ListLogSource("lab", [STARTED])])
    assert view.answers
    assert "The analyser theirs failed with RuntimeError" in [one.text for one in report.unknowns]
    assert "words of an attacker" not in caplog.text


def test_one_that_floods_is_bounded() -> None:
    guarded = Guarded(Flooding())
    view = CaseView(CASE)
    found = guarded.analyse(view)
    assert len(guarded.questions(view)) == MAX_QUESTIONS
    assert len(found.claims) == MAX_CLAIMS
    assert all(one.log_odds == 0.0 and one.code == "theirs.x" for one in found.claims)
    _, report = run_locally(SpecialistEngine((guarded,)), CASE, [ListLogSource("lab", [STARTED])])
    assert check(report, {}).recommendations == ()


def test_one_that_boasts_weighs_no_more_than_a_claim_may() -> None:
    view, _ = run_locally(SpecialistEngine((Base(),)), CASE, [ListLogSource("lab", [STARTED])])
    [claim] = Guarded(Boasting()).analyse(view).claims
    assert claim.log_odds == MAX_CLAIM_ODDS


def entries(*found: tuple[str, Callable[[], object]]) -> Callable[..., list[EntryPoint]]:
    made = []
    for name, factory in found:
        entry = EntryPoint(name, "a.module:thing", registry.GROUP)
        object.__setattr__(entry, "load", lambda factory=factory: factory)
        made.append(entry)
    return lambda **_: made


def test_only_what_is_allowed_is_loaded_and_under_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "entry_points", entries(("theirs", Base), ("other", Failing)))
    assert registry.load_analysers(()) == ANALYSERS
    loaded = registry.load_analysers(("theirs",))
    assert loaded[:-1] == ANALYSERS
    assert isinstance(loaded[-1], Guarded)


def raising() -> object:
    raise OSError("no library")


@pytest.mark.parametrize(
    ("found", "allowed", "problem"),
    [
        ((), "theirs", "not installed; installed are: none"),
        ((("theirs", raising),), "theirs", "cannot be loaded: OSError"),
        ((("theirs", object),), "theirs", "is no analyser"),
        ((("theirs", Nameless),), "theirs", "the two must agree"),
        ((("theirs", Base), ("theirs", Base)), "theirs", "installed more than once"),
        ((("execution", lambda: IndicatorAnalyser("execution", "1", ())),), "execution", "name of one that ships"),
    ],
)
def test_what_cannot_be_loaded_stops_the_start_and_says_why(
    monkeypatch: pytest.MonkeyPatch, found: Sequence[Any], allowed: str, problem: str
) -> None:
    monkeypatch.setattr(plugins, "entry_points", entries(*found))
    with pytest.raises(ConfigurationError, match=problem):
        registry.load_analysers((allowed,))


def test_a_select_is_what_indicators_ask() -> None:
    assert all(isinstance(one.query, Select) for one in template.remote_tools().questions(CaseView(CASE)))
