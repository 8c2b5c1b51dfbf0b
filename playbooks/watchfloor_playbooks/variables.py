"""The second layer: variables that are there, of the type that is meant, and not written where they are constant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pydantic import JsonValue

from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.yaml_source import Path
from watchfloor_playbooks.condition import Condition, ConditionError, comparisons_of, variables_of
from watchfloor_playbooks.condition_parser import parse_condition
from watchfloor_playbooks.evaluation import check_types, value_of
from watchfloor_playbooks.findings import Findings
from watchfloor_playbooks.flow import Flow
from watchfloor_playbooks.model import ActionStep, IfStep, PlaybookActionStep, Step, SwitchStep, WhileStep
from watchfloor_playbooks.part import Variable
from watchfloor_playbooks.shape import Parts
from watchfloor_playbooks.vocabulary import BARE_REFERENCE, REFERENCE, VARIABLE_NAME, VARIABLE_TYPES

LOOP_BOUND: Final = 1_000
"""So often at most a while step without a time-out repeats its branch, whatever its condition says."""
_NOT_TEXT: Final = frozenset({"description", "name", "external_references"})
"""Properties of commands, agents and targets that are shown to people and carried out by nobody."""


def check_variables(parts: Parts, flow: Flow, findings: Findings) -> None:
    """Mistakes in declaring and using variables go to ``findings``."""
    shared: Mapping[str, Variable] = parts.head.playbook_variables if parts.head else {}
    # Where the playbook's own properties are broken, what it declares is not known: nothing is called missing then.
    knows_all = parts.head is not None
    _check_declared(shared, ("playbook_variables",), findings)
    users: dict[str, list[str]] = {}
    for name, step in parts.steps.items():
        path: Path = ("workflow", name)
        _check_declared(step.step_variables, (*path, "step_variables"), findings)
        for variable in step.step_variables.keys() & shared.keys():
            findings.error((*path, "step_variables", variable), f"{variable!r} is a variable of the playbook already")
        scope = {**shared, **step.step_variables}
        if knows_all:
            _check_step(flow, parts, name, step, scope, findings)
        for used in (getattr(step, "agent", None), *(getattr(step, "targets", None) or ())):
            if isinstance(used, str):
                users.setdefault(used, []).append(name)
    if knows_all:
        _check_definitions(parts, shared, users, findings)


def _check_declared(variables: Mapping[str, Variable], path: Path, findings: Findings) -> None:
    for name, variable in variables.items():
        place = (*path, name)
        if not VARIABLE_NAME.fullmatch(name):
            findings.error(place, f"{quote_untrusted(name, 60)} is no name of a variable; `__name__` is expected")
        if variable.type not in VARIABLE_TYPES:
            said = quote_untrusted(variable.type, 60)
            findings.warn((*place, "type"), f"{said} is no type of the standard; its value is taken as a text")
        if variable.value is not None:
            try:
                value_of(name, variable)
            except ConditionError as error:
                findings.error((*place, "value"), str(error))
        elif variable.constant and not variable.external:
            findings.error(place, f"{quote_untrusted(name, 60)} is constant and has no value, so it never gets one")
        if variable.external and path != ("playbook_variables",):
            findings.warn((*place, "external"), "a step's own variable comes from nowhere outside; this has no effect")


def _check_step(
    flow: Flow, parts: Parts, name: str, step: Step, scope: Mapping[str, Variable], findings: Findings
) -> None:
    path: Path = ("workflow", name)
    if isinstance(step, (ActionStep, PlaybookActionStep)):
        for key, names in (("in_args", step.in_args), ("out_args", step.out_args)):
            for index, variable in enumerate(names or ()):
                _check_argument(variable, key, (*path, key, index), scope, findings)
    if isinstance(step, ActionStep):
        for index, command in enumerate(step.commands):
            _check_texts(command, (*path, "commands", index), scope, findings)
    if isinstance(step, (IfStep, WhileStep)):
        condition = _condition(step.condition, (*path, "condition"), scope, findings)
        if condition is not None and isinstance(step, WhileStep):
            _check_loop(flow, parts, name, step, condition, scope, findings)
    if isinstance(step, SwitchStep):
        found = REFERENCE.fullmatch(step.switch)
        if found is None:
            said = quote_untrusted(step.switch, 60)
            findings.error((*path, "switch"), f"{said} is no variable; `__name__:value` is expected")
        elif found.group(1) not in scope:
            findings.error((*path, "switch"), _missing(found.group(1)))
        else:
            _check_cases(step, scope[found.group(1)], path, findings)


def _check_cases(step: SwitchStep, variable: Variable, path: Path, findings: Findings) -> None:
    """A case that no value of the variable's type can be would never run."""
    for case in step.cases:
        try:
            value_of("the case", variable.model_copy(update={"value": case}))
        except ConditionError as error:
            if case != "default":
                findings.error((*path, "cases", case), str(error))


def _check_argument(name: str, key: str, place: Path, scope: Mapping[str, Variable], findings: Findings) -> None:
    if name not in scope:
        findings.error(place, _missing(name))
    elif key == "out_args" and scope[name].constant:
        findings.error(place, f"{quote_untrusted(name, 60)} is constant; a step cannot give it another value")


def _condition(text: str, place: Path, scope: Mapping[str, Variable], findings: Findings) -> Condition | None:
    try:
        condition = parse_condition(text)
    except ConditionError as error:
        findings.error(place, f"the condition is not readable: {error}")
        return None
    for comparison in comparisons_of(condition):
        variable = scope.get(comparison.variable)
        if variable is None:
            findings.error(place, _missing(comparison.variable))
        elif (why := check_types(comparison, variable)) is not None:
            kind = quote_untrusted(variable.type, 40)
            findings.error(place, f"{comparison.variable} is of type {kind}: {why}")
    return condition


def _check_loop(
    flow: Flow,
    parts: Parts,
    name: str,
    step: WhileStep,
    condition: Condition,
    scope: Mapping[str, Variable],
    findings: Findings,
) -> None:
    """A loop whose condition nothing in it can change is endless, or does not begin at all."""
    written: set[str] = set()
    if not flow.beyond:
        return  # There is a loop of another kind, of which is told already.
    for inner in flow.names(flow.reached(step.on_true)):
        written |= set(getattr(parts.steps.get(inner), "out_args", None) or ())
    read = dict.fromkeys(variables_of(condition))
    if any(one in written and not scope[one].constant for one in read if one in scope):
        return
    message = f"an endless loop: no step of its branch has {' or '.join(read)} in its 'out_args'"
    if step.timeout:
        findings.warn(("workflow", name, "condition"), f"{message}; only its time-out ends it")
    else:
        findings.error(("workflow", name, "condition"), f"{message}; have one write it, or give the step a 'timeout'")


def _check_texts(
    holder: Mapping[str, JsonValue], path: Path, scope: Mapping[str, Variable], findings: Findings
) -> None:
    for place, text in _texts(dict(holder), path):
        for found in REFERENCE.finditer(text):
            if found.group(1) not in scope:
                findings.error(place, _missing(found.group(1)))
        for found in BARE_REFERENCE.finditer(text):
            findings.warn(
                place, f"{found.group(1)} is sent as it stands; where a variable is meant, write ':value' after it"
            )


def _texts(value: JsonValue, path: Path) -> Iterator[tuple[Path, str]]:
    match value:
        case str():
            yield path, value
        case list():
            for index, one in enumerate(value):
                yield from _texts(one, (*path, index))
        case dict():
            for key, one in value.items():
                if key not in _NOT_TEXT:
                    yield from _texts(one, (*path, key))
        case _:
            pass


def _check_definitions(
    parts: Parts, shared: Mapping[str, Variable], users: Mapping[str, list[str]], findings: Findings
) -> None:
    """Variables in agents and targets have to be known to every step that uses them."""
    for dictionary, defined in (("agent_definitions", parts.agents), ("target_definitions", parts.targets)):
        for name, part in defined.items():
            content = part.model_dump(exclude_none=True)
            scope = _common(shared, (parts.steps[one].step_variables for one in users.get(name, ())))
            _check_texts({**content, "name": None, "type": None}, (dictionary, name), scope, findings)
            _check_texts({"text": part.name}, (dictionary, name), scope, findings)


def _common(shared: Mapping[str, Variable], own: Iterable[Mapping[str, Variable]]) -> Mapping[str, Variable]:
    every = list(own)
    names = set.intersection(*(set(one) for one in every)) if every else set()
    return {**shared, **{name: every[0][name] for name in names}}


def _missing(name: str) -> str:
    return f"{quote_untrusted(name, 60)} is no variable of the playbook or of this step; declare it, or mend the name"
