"""Which entities of an incident fill a playbook's variables, as its extension's ``bindings`` say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from watchfloor_core.alert import EntityKind, EntityRole, Integrity
from watchfloor_core.errors import RecordError
from watchfloor_playbooks.condition import ConditionError
from watchfloor_playbooks.condition_parser import parse_condition
from watchfloor_playbooks.evaluation import evaluate
from watchfloor_playbooks.extension import INCIDENT, Binding, of_playbook
from watchfloor_playbooks.part import Variable
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.values import Held, Values, checked

MOST_TRIED: Final = 200
"""Ways to fill the variables that are held against the precondition."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entity that could fill a variable."""

    kind: EntityKind
    roles: frozenset[EntityRole]
    """The parts that it plays; some sources tell several apart no further."""
    held: Held
    """Its value with its label."""


@dataclass(frozen=True, slots=True)
class Filling:
    """The variables as one incident fills them."""

    filled: Mapping[str, Candidate]
    """By variable."""
    others: Mapping[str, tuple[Candidate, ...]]
    """By variable, what would have done as well: for people to choose from."""
    values: Values
    """What a run is given: the above, and the incident's id where the playbook asks for it."""
    missing: tuple[str, ...]
    """Variables that come from outside and that nothing fills."""
    problem: str | None
    """Why the precondition does not hold; None where it does, or where a value is missing anyway."""

    @property
    def fits(self) -> bool:
        return not self.missing and self.problem is None


def fill(playbook: Playbook, candidates: Sequence[Candidate], incident_id: str) -> Filling:
    """Each bound variable takes the first candidate of its kind and role whose value is of its type; no two variables
    with the same binding take the same one.

    ``candidates``: the best first. Where the first choice does not meet the playbook's precondition, the next ones are
    tried, in order.
    """
    declared = playbook.head.playbook_variables
    bindings = of_playbook(playbook).bindings
    # What is needed chooses first; else by name: in canonical JSON the order of a file is gone.
    order = sorted(bindings, key=lambda name: (not _is_needed(declared[name]), name))
    first: Filling | None = None
    for chosen in islice(_choices([(name, bindings[name]) for name in order], declared, candidates), MOST_TRIED):
        found = _filling(playbook, chosen, candidates, incident_id)
        if found.fits:
            return found
        first = first or found
    return first or _filling(playbook, {}, candidates, incident_id)


def _choices(
    bindings: list[tuple[str, Binding]], declared: Mapping[str, Variable], candidates: Sequence[Candidate]
) -> Iterator[dict[str, Candidate]]:
    """Every way to fill the variables, the best first."""
    if not bindings:
        yield {}
        return
    (name, binding), *rest = bindings
    fitting = [one for one in candidates if _fits(one, name, binding, declared[name])]
    for one in fitting:
        others = [left for left in candidates if left is not one]
        for below in _choices(rest, declared, others):
            yield {name: one, **below}
    if not fitting:
        yield from _choices(rest, declared, candidates)


def _is_needed(declared: Variable) -> bool:
    return declared.external and declared.value is None


def _fits(one: Candidate, name: str, binding: Binding, declared: Variable) -> bool:
    roles = {binding.role} if binding.role is not None else set(EntityRole) - {EntityRole.OBSERVER}
    if one.kind is not binding.entity or not roles & one.roles:
        return False
    try:
        checked(name, declared, one.held)
    except RecordError:
        return False
    return True


def _filling(
    playbook: Playbook, chosen: Mapping[str, Candidate], candidates: Sequence[Candidate], incident_id: str
) -> Filling:
    declared, bindings = playbook.head.playbook_variables, of_playbook(playbook).bindings
    others = {
        name: tuple(one for one in candidates if one is not taken and _fits(one, name, bindings[name], declared[name]))
        for name, taken in chosen.items()
    }
    values = {name: one.held for name, one in chosen.items()}
    if INCIDENT in declared and not declared[INCIDENT].constant:
        values[INCIDENT] = Held(incident_id, Integrity.DERIVED)
    missing = tuple(name for name, one in declared.items() if one.external and one.value is None and name not in values)
    return Filling(chosen, others, values, missing, None if missing else precondition_problem(playbook, values))


def precondition_problem(playbook: Playbook, values: Values) -> str | None:
    """Why the playbook would not begin with these values; None where it would."""
    condition = of_playbook(playbook).precondition
    if condition is None:
        return None
    variables = {
        name: one.model_copy(update={"value": values[name].value}) if name in values else one
        for name, one in playbook.head.playbook_variables.items()
    }
    try:
        return None if evaluate(parse_condition(condition), variables) else "its precondition does not hold"
    except ConditionError as error:
        return f"its precondition cannot be answered: {error}"
