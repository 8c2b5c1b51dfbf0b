"""Log sources and sources of context of others: loaded only where allowed, guarded, and held to the same contract."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from watchfloor_connectors.context import template as context_template
from watchfloor_connectors.context.config import load_context_settings
from watchfloor_connectors.context.guarded import MAX_FACTS, GuardedContextSource
from watchfloor_connectors.context.opening import ContextShelf
from watchfloor_connectors.context.testing import check_context_source
from watchfloor_connectors.logs import template as log_template
from watchfloor_connectors.logs.config import load_log_settings
from watchfloor_connectors.logs.guarded import GuardedLogSource
from watchfloor_connectors.logs.listed import ListLogSource
from watchfloor_connectors.logs.opening import LogShelf
from watchfloor_connectors.logs.testing import START_US, check_log_source, sample_event
from watchfloor_core import plugins
from watchfloor_core.alert import EntityKind
from watchfloor_core.context import ContextKind, Fact, Facts, LookUp
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.logs.event import EventType, LogEvent
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import Aggregate, EntityRef, Select, TimeRange
from watchfloor_core.logs.source import Coverage, Events, Groups, Health, LogSource
from watchfloor_core.plugins import load_plugin
from watchfloor_service.detection.investigate import case_context_file

HERE = "tests.connectors.test_source_plugins"
HOST = EntityRef(EntityKind.HOST, "Web01")
RANGE = TimeRange(START_US - 1, START_US + 10_000_000)
DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-source.md"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Mapping[str, str]], None]:
    """Has entry points installed: by group, name and what they point to."""
    entries: list[EntryPoint] = []

    def install(group: str, points: Mapping[str, str]) -> None:
        entries.extend(EntryPoint(name, value, group) for name, value in points.items())

    monkeypatch.setattr(plugins, "entry_points", lambda *, group: EntryPoints(entries).select(group=group))
    return install


@pytest.fixture
def context(tmp_path: Path, installed: Callable[[str, Mapping[str, str]], None]) -> Callable[..., ContextShelf]:
    installed(
        "watchfloor.context_sources",
        {
            "owners": "watchfloor_connectors.context.template:owners",
            "none": f"{HERE}:no_source",
            "raises": f"{HERE}:no_factory",
            "gone": "no_such_module:x",
        },
    )
    (tmp_path / "owners.csv").write_text("host,owner\nweb01,Ana\n")

    def shelf(plugin: str = "owners", allowed: Sequence[str] = ("owners", "none", "raises", "gone")) -> ContextShelf:
        source = {
            "name": "owners", "kind": "plugin", "tenants": ["acme"], "plugin": plugin, "context": "inventory",
            "paths": ["owners.csv"],
        }  # fmt: skip
        (tmp_path / "context.yaml").write_text(json.dumps({"sources": [source]}))
        return ContextShelf(load_context_settings(tmp_path / "context.yaml"), allowed=allowed)

    return shelf


@pytest.fixture
def logs(tmp_path: Path, installed: Callable[[str, Mapping[str, str]], None]) -> Callable[..., LogSource]:
    installed(
        "watchfloor.log_sources",
        {"sign_ins": "watchfloor_connectors.logs.template:sign_ins", "secretive": f"{HERE}:secretive",
         "none": f"{HERE}:no_source", "raises": f"{HERE}:no_factory"},
    )  # fmt: skip
    lines = [
        {"id": number, "user": "Ana", "address": "45.77.3.9", "ok": number > 1, "at": START_US / 1e6 + number}
        for number in range(3)
    ]
    (tmp_path / "sign-ins.json").write_text("".join(json.dumps(one) + "\n" for one in lines))

    def opened(
        plugin: str = "sign_ins", allowed: Sequence[str] = ("sign_ins", "secretive", "none", "raises")
    ) -> LogSource:
        source = {
            "name": "app", "kind": "plugin", "tenants": ["acme"], "plugin": plugin,
            "options": {"file": str(tmp_path / "sign-ins.json")}, "secrets": {"token": "env:APP_TOKEN"},
        }  # fmt: skip
        (tmp_path / "logs.yaml").write_text(json.dumps({"sources": [source]}))
        settings = load_log_settings(tmp_path / "logs.yaml")
        [found] = LogShelf(settings, tmp_path, lambda _: "geheim", allowed=allowed).of("acme")
        return found

    return opened


def no_source(*_: object) -> str:
    return "no source"


def no_factory(*_: object) -> object:
    raise RuntimeError("words of an attacker")


def secretive(name: str, options: Mapping[str, object], secrets: Mapping[str, object]) -> LogSource:
    assert "geheim" not in repr(secrets)
    return ListLogSource(str(secrets["token"].get_secret_value()), [sample_event(1, 1)])  # type: ignore[attr-defined]


def said(*facts: Mapping[str, int], name: str = "theirs", health: Health = Health.WHOLE) -> Facts:
    return Facts(tuple(Fact(entity=HOST, fields=one) for one in facts), Coverage(name, health))


class TestLoading:
    def test_what_is_not_allowed_is_not_imported(self, installed: Callable[[str, Mapping[str, str]], None]) -> None:
        installed("group", {"one": "no_such_module:x"})
        with pytest.raises(
            ConfigurationError, match=r"not allowed; add its name to the_setting \(.* WATCHFLOOR_THE_SETTING\)"
        ):
            load_plugin("group", "one", (), "the_setting")

    @pytest.mark.parametrize(
        ("points", "reason"),
        [
            ([], "not installed"),
            ([("one", "no_such_module:x")], "cannot be loaded: ModuleNotFoundError"),
            ([("one", "json:no_such")], "cannot be loaded: AttributeError"),
            ([("one", "json:__name__")], "cannot be called"),
            ([("one", "json:loads"), ("one", "json:dumps")], "installed more than once: json:loads, json:dumps"),
        ],
    )
    def test_what_cannot_be_loaded_is_told(
        self, monkeypatch: pytest.MonkeyPatch, points: Sequence[tuple[str, str]], reason: str
    ) -> None:
        entries = EntryPoints(EntryPoint(name, value, "group") for name, value in points)
        monkeypatch.setattr(plugins, "entry_points", lambda *, group: entries.select(group=group))
        with pytest.raises(ConfigurationError, match=reason):
            load_plugin("group", "one", ("one",), "the_setting")


class TestContext:
    def test_the_template_is_loaded_answers_and_keeps_the_contract(self, context: Callable[..., ContextShelf]) -> None:
        [source] = context().of("acme")
        question = LookUp(kind=ContextKind.INVENTORY, entities=(HOST,))
        [fact] = source.look_up(question).facts
        assert fact.fields == {"asset.owner": "Ana"}
        check_context_source(source, knows=question)

    @pytest.mark.parametrize(
        ("plugin", "allowed", "reason"),
        [
            ("owners", (), "not allowed"),
            ("none", ("none",), "gave no source but a str"),
            ("raises", ("raises",), "failed with RuntimeError"),
            ("gone", ("gone",), "cannot be loaded"),
            ("absent", ("absent",), "not installed"),
        ],
    )
    def test_one_that_cannot_be_opened_is_dark_and_says_why(
        self, context: Callable[..., ContextShelf], plugin: str, allowed: Sequence[str], reason: str
    ) -> None:
        [source] = context(plugin, allowed).of("acme")
        found = source.look_up(LookUp(kind=ContextKind.INVENTORY, entities=(HOST,)))
        assert found.coverage.health is Health.DARK
        assert reason in found.coverage.reason
        assert "attacker" not in found.coverage.reason

    @pytest.mark.parametrize(
        "answer",
        [
            None,
            RuntimeError("words of an attacker"),
            Facts((Fact(entity=HOST, fields={"a": "x" * 300_000}),), Coverage("theirs", Health.WHOLE)),
            Facts((Fact(entity=HOST, fields={"a": "\ud800"}),), Coverage("theirs", Health.WHOLE)),
        ],
        ids=["nothing", "raises", "huge", "no text"],
    )
    def test_one_that_fails_is_dark_and_costs_the_others_nothing(
        self, answer: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        found = GuardedContextSource("mine", ContextKind.INVENTORY, Answering(answer)).look_up(
            LookUp(kind=ContextKind.INVENTORY, entities=(HOST,))
        )
        assert (found.facts, found.coverage.source, found.coverage.health) == ((), "mine", Health.DARK)
        assert "attacker" not in caplog.text

    def test_one_that_says_more_than_was_asked_is_cut_to_it(self) -> None:
        wanted = Fact(entity=HOST, fields={"a": "b"})
        other = Fact(entity=EntityRef(EntityKind.IP, "x"), fields={"a": "b"})
        lies = Fact(entity=HOST, fields={"a": {"nested": 1}})  # type: ignore[dict-item]  # that is the point
        answer = Facts((wanted, other, lies, *[wanted] * 900), Coverage("theirs", Health.WHOLE))
        found = GuardedContextSource("mine", ContextKind.INVENTORY, Answering(answer)).look_up(
            LookUp(kind=ContextKind.INVENTORY, entities=(HOST,))
        )
        assert set(map(repr, found.facts)) == {repr(wanted)}
        assert len(found.facts) == MAX_FACTS - 2
        assert (found.is_cut, found.coverage.source) == (True, "mine")

    @pytest.mark.parametrize(
        ("kind", "answer", "problem"),
        [
            (ContextKind.RUNBOOK, None, "its kind is"),
            (ContextKind.INVENTORY, said(), "does not know"),
            (ContextKind.INVENTORY, said({"a": 1}, name="x"), "answers as"),
            (ContextKind.INVENTORY, said({"a": 1}, health=Health.DARK), "no reason"),
            (ContextKind.INVENTORY, said({}), "says nothing"),
            (ContextKind.INVENTORY, said({"a": 1}), "was not asked"),
        ],
        ids=["kind", "ignorant", "name", "reason", "empty", "unasked"],
    )
    def test_the_contract_kit_finds_what_is_wrong(self, kind: ContextKind, answer: object, problem: str) -> None:
        with pytest.raises(AssertionError, match=problem):
            check_context_source(Answering(answer, kind), knows=LookUp(kind=ContextKind.INVENTORY, entities=(HOST,)))


class Answering:
    """Says one thing, whatever is asked."""

    name = "theirs"

    def __init__(self, answer: object, kind: ContextKind = ContextKind.INVENTORY) -> None:
        self.kind = kind
        self._answer = answer

    def look_up(self, question: LookUp) -> Facts:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer  # type: ignore[return-value]  # that is the point


def test_a_plug_in_can_be_named_for_one_investigation(context: Callable[..., ContextShelf], tmp_path: Path) -> None:
    context()
    copy = case_context_file(tmp_path / "context.yaml", "case-1", tmp_path)
    [source] = ContextShelf(load_context_settings(copy), allowed=("owners",)).of("case-1")
    assert source.look_up(LookUp(kind=ContextKind.INVENTORY, entities=(HOST,))).facts


class TestLogs:
    def test_the_template_is_loaded_and_answers_under_the_operators_name(self, logs: Callable[..., LogSource]) -> None:
        source = logs()
        found = source.select(Select(range=RANGE, types=frozenset({EventType.SIGN_IN}), limit=2))
        assert [one.fields[Field.EVENT_OUTCOME] for one in found.events] == ["failure", "failure"]
        assert {one.source for one in found.events} == {source.name} == {found.coverage.source} == {"app"}
        assert found.is_cut
        counted = source.aggregate(Aggregate(select=Select(range=RANGE), by=(Field.USER_NAME,)))
        assert [(one.values, one.count) for one in counted.groups] == [(("ana",), 3)]

    def test_a_guarded_source_keeps_the_contract_of_all_log_sources(self) -> None:
        check_log_source(lambda events: GuardedLogSource("mine", ListLogSource("theirs", events)))

    def test_secrets_are_given_as_secrets(self, logs: Callable[..., LogSource]) -> None:
        assert logs("secretive").select(Select(range=RANGE)).coverage.source == "app"

    @pytest.mark.parametrize(
        ("plugin", "allowed", "reason"),
        [
            ("sign_ins", (), "not allowed"),
            ("none", ("none",), "gave no log source but a str"),
            ("raises", ("raises",), "failed with RuntimeError"),
        ],
    )
    def test_one_that_cannot_be_opened_is_dark_and_says_why(
        self, logs: Callable[..., LogSource], plugin: str, allowed: Sequence[str], reason: str
    ) -> None:
        coverage = logs(plugin, allowed).coverage(RANGE)
        assert coverage.health is Health.DARK
        assert reason in coverage.reason
        assert "attacker" not in coverage.reason

    def test_one_that_fails_is_dark_and_one_that_floods_is_cut(self, caplog: pytest.LogCaptureFixture) -> None:
        failing, flooding = GuardedLogSource("mine", Failing()), GuardedLogSource("mine", Flooding())
        assert failing.coverage(RANGE).health is Health.DARK
        assert failing.select(Select(range=RANGE)).coverage.health is Health.DARK
        assert failing.aggregate(Aggregate(select=Select(range=RANGE), by=())).coverage.health is Health.DARK
        assert "attacker" not in caplog.text
        found = flooding.select(Select(range=RANGE, limit=5))
        assert (len(found.events), found.is_cut) == (5, True)

    def test_a_secret_that_is_no_reference_is_refused(self, tmp_path: Path) -> None:
        source = {"name": "a", "kind": "plugin", "tenants": ["acme"], "plugin": "x", "secrets": {"token": "geheim"}}
        (tmp_path / "logs.yaml").write_text(json.dumps({"sources": [source]}))
        with pytest.raises(ConfigurationError, match="no reference") as refused:
            load_log_settings(tmp_path / "logs.yaml")
        assert "geheim" not in str(refused.value)


class Failing:
    name = "theirs"

    def coverage(self, range_: TimeRange) -> Coverage:
        raise RuntimeError("words of an attacker")

    def select(self, query: Select) -> Events:
        raise RuntimeError("words of an attacker")

    def aggregate(self, query: Aggregate) -> Groups:
        raise RuntimeError("words of an attacker")


class Flooding(Failing):
    def select(self, query: Select) -> Events:
        events: list[LogEvent] = [sample_event(number, 1) for number in range(100)]
        return Events(tuple(events), Coverage("theirs", Health.WHOLE))


@pytest.mark.parametrize("module", [context_template, log_template], ids=["context", "logs"])
def test_the_document_shows_the_template_that_ships(module: object) -> None:
    code = Path(str(module.__file__)).read_text()  # type: ignore[attr-defined]
    body = code[code.index("from __future__") :].split("  # noqa")[0]
    shown = re.sub(r" *# noqa.*", "", DOCUMENT.read_text())
    assert body.strip().splitlines()[-1] in shown
    for line in code[code.index("\nclass " if "\nclass " in code else "\ndef ") :].splitlines():
        assert re.sub(r" *# noqa.*", "", line) in shown, line
