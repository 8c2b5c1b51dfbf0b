"""Tests of a playbook as YAML beside it: what a run is given and answered, and what it is to come to.

::

    playbook: look.yaml
    tests:
      - name: It is blocked where there were many
        incident: {id: inc-1, entities: [{kind: ip, value: 203.0.113.7, role: actor, written_by: external}]}
        given: {__user__: {value: eve, written_by: external, endorsed_by: "person:ana"}}
        answers: {Count the attempts: {values: {__attempts__: 60}}, Block it: {outcome: denied}}
        expect: {proposals: [{action_class: deny ip, target: 203.0.113.7, tainted: true}], status: failed}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import JsonValue, ValidationError

from watchfloor_core.alert import EntityKind, EntityRole, Integrity
from watchfloor_core.canonical import canonical
from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.errors import ConfigurationError, Problem, RecordError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.matrix_entries import Entry, describe, unknown_key
from watchfloor_guardrails.yaml_source import Document, Path, read_yaml
from watchfloor_playbooks.binding import Candidate, fill
from watchfloor_playbooks.model import ActionStep, PlaybookActionStep
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.expectation import EXPECTED_OF, Expectation, Expected
from watchfloor_playbooks.running.scenario import Answer, Outcome, Scenario
from watchfloor_playbooks.running.scenario_entries import (
    AnswerEntry,
    EntityEntry,
    ExpectEntry,
    TestEntry,
    ValueEntry,
)
from watchfloor_playbooks.running.state import new_state
from watchfloor_playbooks.running.values import Held, checked

MOST_TESTS: Final = 500
"""Of one file."""
_LABELS: Final[Mapping[str, Integrity]] = {one.name.lower(): one for one in Integrity}
EntryT = TypeVar("EntryT", bound=Entry)


@dataclass(frozen=True, slots=True)
class ScenarioTest:
    """One test, and what it is to come to."""

    name: str
    line: int
    scenario: Scenario
    expectation: Expectation


@dataclass(frozen=True, slots=True)
class ScenarioFile:
    """A file of tests whose playbook is known, and not read yet."""

    document: Document
    playbook: str
    """The playbook's file, as seen from this one."""

    def tests(self, playbook: Playbook) -> tuple[ScenarioTest, ...]:
        """Its tests, for this playbook. Raises `ConfigurationError` with every mistake, its line and its place."""
        reader = _Reader(self.document, playbook)
        tests = tuple(reader.tests())
        if reader.problems:
            raise ConfigurationError(sorted(reader.problems, key=lambda one: one.line or 0))
        return tests


def read_scenarios(text: str, file: str) -> ScenarioFile:
    """Raises `ConfigurationError` where it is no file of tests."""
    document = read_yaml(text, file, accepts_null=True)
    problems = list(document.problems)
    match document.content:
        case {"playbook": str(playbook), "tests": list(tests), **others} if playbook and tests and not others:
            if problems:
                raise ConfigurationError(problems)
            return ScenarioFile(document, playbook)
        case dict(content):
            problems += [
                document.problem((key,), unknown_key(key, ("playbook", "tests")))
                for key in content
                if key not in ("playbook", "tests")
            ]
            problems.append(document.problem((), "'playbook' (its file) and 'tests' (a list with some) are expected"))
        case _:
            problems.append(document.problem((), "the keys 'playbook' and 'tests' are expected"))
    raise ConfigurationError(problems)


class _Reader:
    def __init__(self, document: Document, playbook: Playbook) -> None:
        self._document = document
        self._playbook = playbook
        self._names: dict[str, list[str]] = {}
        for step_id, step in playbook.steps.items():
            if step.name is not None:
                self._names.setdefault(step.name, []).append(step_id)
        self.problems: list[Problem] = []

    def tests(self) -> Iterator[ScenarioTest]:
        match self._document.content:
            case {"tests": list(items)}:
                pass
            case _:
                return
        if len(items) > MOST_TESTS:
            self._wrong(("tests",), f"{len(items):,} tests; at most {MOST_TESTS} are read")
            return
        first: dict[str, int] = {}
        for index, item in enumerate(items):
            path: Path = ("tests", index)
            entry = self._entry(TestEntry, item, path)
            if entry is None:
                continue
            line = self._document.lines[path]
            if first.setdefault(entry.name, line) != line:
                self._wrong((*path, "name"), f"test {entry.name!r} is there already in line {first[entry.name]}")
            given = self._incident(entry.incident, (*path, "incident"))
            given |= self._values(entry.given, Integrity.HUMAN, (*path, "given"))
            self._check_given(given, path)
            answers = self._answers(entry.answers, (*path, "answers"))
            expectation = self._expectation(entry.expect, (*path, "expect"))
            yield ScenarioTest(entry.name, line, Scenario(given, answers), expectation)

    # --- What it is given --------------------------------------------------------------------------------------------

    def _incident(self, content: Mapping[str, JsonValue] | None, path: Path) -> dict[str, Held]:
        match content:
            case None:
                return {}
            case {"id": str(incident_id), "entities": list(entities)} if len(content) == 2:
                pass
            case _:
                self._wrong(path, "'id' and 'entities' (a list) are expected")
                return {}
        candidates = [self._candidate(one, (*path, "entities", index)) for index, one in enumerate(entities)]
        return dict(fill(self._playbook, [one for one in candidates if one is not None], incident_id).values)

    def _check_given(self, given: Mapping[str, Held], path: Path) -> None:
        try:
            new_state(self._playbook, given)
        except ConfigurationError as error:
            for one in error.problems:
                self._wrong((*path, "given"), one.message)

    def _candidate(self, content: JsonValue, path: Path) -> Candidate | None:
        entry = self._entry(EntityEntry, content, path)
        if entry is None:
            return None
        try:
            kind, role = EntityKind(entry.kind), EntityRole(entry.role)
        except ValueError as error:
            kinds, roles = ", ".join(EntityKind), ", ".join(EntityRole)
            self._wrong(path, f"{error}; kinds are {kinds}; roles are {roles}")
            return None
        held = Held(entry.value, _LABELS[entry.written_by], entry.endorsed_by)
        return Candidate(kind, frozenset({role}), held)

    def _values(self, content: Mapping[str, JsonValue] | None, label: Integrity, path: Path) -> dict[str, Held]:
        return {
            name: held
            for name, value in (content or {}).items()
            if (held := self._held(value, label, (*path, name))) is not None
        }

    def _held(self, content: JsonValue, label: Integrity, path: Path) -> Held | None:
        """A plain value, with the label of whoever gives such values; or one with its own."""
        if not isinstance(content, dict):
            return Held(self._plain(content), label)
        entry = self._entry(ValueEntry, content, path)
        if entry is None:
            return None
        written_by = label if entry.written_by is None else _LABELS[entry.written_by]
        value = entry.value if isinstance(entry.value, dict) else self._plain(entry.value)
        return Held(value, written_by, entry.endorsed_by)

    def _plain(self, value: JsonValue) -> str | None:
        """As the standard has values: a number that stands bare in YAML is a text."""
        return value if value is None or isinstance(value, str) else canonical(value).decode()

    # --- What it is answered -----------------------------------------------------------------------------------------

    def _answers(self, content: Mapping[str, JsonValue] | None, path: Path) -> dict[str, tuple[Answer, ...]]:
        found: dict[str, tuple[Answer, ...]] = {}
        for name, given in (content or {}).items():
            step_id = self._step(name, (*path, name))
            if step_id is None:
                continue
            if step_id in found:
                self._wrong((*path, name), "this step has answers already, under its other name")
            listed = given if isinstance(given, list) else [given]
            places = [
                (*path, name, index) if isinstance(given, list) else (*path, name) for index in range(len(listed))
            ]
            answers = [self._answer(step_id, one, place) for one, place in zip(listed, places, strict=True)]
            found[step_id] = tuple(one for one in answers if one is not None) or (Answer(),)
        return found

    def _answer(self, step_id: str, content: JsonValue, path: Path) -> Answer | None:
        entry = self._entry(AnswerEntry, content, path)
        if entry is None:
            return None
        if entry.outcome not in tuple(Outcome):
            said = quote_untrusted(entry.outcome, 40)
            self._wrong((*path, "outcome"), f"{said} is no outcome; there are {', '.join(Outcome)}")
            return None
        # An answer of people is theirs; what another playbook or a tool gives was written outside until it is said.
        is_manual = isinstance(self._playbook.steps[step_id], ActionStep)
        label = Integrity.HUMAN if is_manual else Integrity.EXTERNAL
        values = self._values(entry.values, label, (*path, "values"))
        self._check_written(step_id, values, (*path, "values"))
        output = None if entry.output is None else self._held(entry.output, Integrity.EXTERNAL, (*path, "output"))
        if output is not None and not isinstance(output.value, str):
            self._wrong((*path, "output"), "a text is expected, as a tool gives it; JSON is put in quotes")
        return Answer(
            outcome=Outcome(entry.outcome),
            values=values,
            output=output,
            reason=entry.reason,
            after_us=entry.after * MICROSECONDS,
        )

    def _check_written(self, step_id: str, values: Mapping[str, Held], path: Path) -> None:
        step = self._playbook.steps[step_id]
        wanted = (step.out_args or ()) if isinstance(step, (ActionStep, PlaybookActionStep)) else ()
        declared = {**self._playbook.head.playbook_variables, **step.step_variables}
        for name, held in values.items():
            if name not in wanted:
                asked = ", ".join(wanted) or "no variable"
                self._wrong((*path, name), f"the step does not write {quote_untrusted(name, 60)}; it writes {asked}")
                continue
            try:
                checked(name, declared[name], held)
            except RecordError as error:
                self._wrong((*path, name), str(error))

    def _step(self, name: str, path: Path) -> str | None:
        """A step by its id, or by a name that no other step has."""
        if name in self._playbook.steps:
            return name
        match self._names.get(name, []):
            case [step_id]:
                return step_id
            case []:
                self._wrong(path, unknown_key(name, tuple(self._names)).replace("unknown key", "no step is called", 1))
            case _:
                self._wrong(path, f"several steps are called {quote_untrusted(name, 60)}; name the one by its id")
        return None

    # --- What is expected --------------------------------------------------------------------------------------------

    def _expectation(self, content: Mapping[str, JsonValue], path: Path) -> Expectation:
        entry = self._entry(ExpectEntry, dict(content), path)
        if entry is None:
            return Expectation()
        if not entry.model_fields_set:
            self._wrong(path, "nothing is expected; name status, reason, proposals, tasks or calls")
        lists = {
            key: None if items is None else tuple(self._expected(key, items, (*path, key)))
            for key, items in (("proposals", entry.proposals), ("tasks", entry.tasks), ("calls", entry.calls))
        }
        return Expectation(entry.status, entry.reason, lists["proposals"], lists["tasks"], lists["calls"])

    def _expected(self, key: str, items: list[JsonValue], path: Path) -> Iterator[Expected]:
        known = EXPECTED_OF[key]
        for index, item in enumerate(items):
            place: Path = (*path, index)
            says = {"step": item} if isinstance(item, str) else item
            if not isinstance(says, dict) or not says:
                self._wrong(place, f"a step's name, or some of {', '.join(known)}, is expected")
                continue
            for name, value in says.items():
                if name not in known:
                    self._wrong((*place, name), unknown_key(name, known))
                elif name == "step" and isinstance(value, str):
                    self._step(value, (*place, name))
            yield Expected(self._document.lines.get(place, 1), says)

    # --- Mistakes ----------------------------------------------------------------------------------------------------

    def _entry(self, kind: type[EntryT], content: JsonValue, path: Path) -> EntryT | None:
        try:
            return kind.model_validate(content)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                place: Path = (*path, *detail["loc"])
                flat = detail if len(detail["loc"]) <= 1 else {**detail, "type": "other"}
                self._wrong(place, describe(flat, kind))
            return None

    def _wrong(self, path: Path, message: str) -> None:
        self.problems.append(self._document.problem(path, message))
