"""Filling a playbook's variables from an incident: what its alerts name, with who could have written it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from watchfloor_core.addresses import is_outside
from watchfloor_core.alert import EntityKind, EntityRole, Integrity
from watchfloor_core.errors import RecordError
from watchfloor_core.store.schema import detector, entity, observation, shape, shape_entity
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.endorsement import endorse_by_corroboration
from watchfloor_playbooks.extension import Binding, of_playbook
from watchfloor_playbooks.part import Variable
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.values import Held, checked

MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Filling:
    """What the incident says of the variables that a playbook wants from it."""

    values: Mapping[str, Held]
    """Those for which there is one candidate."""
    choices: Mapping[str, tuple[str, ...]]
    """Those for which there are several, the most frequent first: a person chooses."""


def fill(connection: Connection, tenant: str, incident_id: str, playbook: Playbook) -> Filling:
    """By the bindings of the playbook's extension, and only with what is of the variable's type. A variable that the
    incident says nothing of is in neither."""
    values, choices = {}, {}
    declared = playbook.head.playbook_variables
    for name, binding in of_playbook(playbook).bindings.items():
        candidates = _candidates(connection, tenant, incident_id, binding)
        found = [one for one in candidates if _fits(name, declared[name], one[1])]
        if len(found) == 1:
            values[name] = found[0][1]
        elif found:
            choices[name] = tuple(value for value, _ in found[:MOST_SHOWN])
    return Filling(values, choices)


def _candidates(connection: Connection, tenant: str, incident_id: str, binding: Binding) -> list[tuple[str, Held]]:
    statement = (
        select(entity.c.value, shape_entity.c.role, shape_entity.c.integrity, observation.c.alerts, detector.c.product)
        .select_from(observation)
        .join(shape, (shape.c.tenant == observation.c.tenant) & (shape.c.id == observation.c.shape_id))
        .join(
            shape_entity,
            (shape_entity.c.tenant == observation.c.tenant) & (shape_entity.c.shape_id == observation.c.shape_id),
        )
        .join(entity, (entity.c.tenant == shape_entity.c.tenant) & (entity.c.id == shape_entity.c.entity_id))
        .join(detector, (detector.c.tenant == shape.c.tenant) & (detector.c.id == shape.c.detector_id))
        .where(
            observation.c.tenant == tenant,
            observation.c.incident_id == incident_id,
            entity.c.kind == binding.entity.value,
        )
    )
    if binding.role is None:
        statement = statement.where(shape_entity.c.role != EntityRole.OBSERVER.value)
    else:
        statement = statement.where(shape_entity.c.role == binding.role.value)
    # SQLAlchemy's rows are untyped; the column types of the schema hold.
    by_value: defaultdict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(statement):
        by_value[row.value].append(row)
    # What is ours is rarely what is to be shut out; what most alerts name comes first.
    ordered = sorted(
        by_value.items(),
        key=lambda one: (
            binding.entity is EntityKind.IP and not is_outside(one[0]),
            -sum(row.alerts for row in one[1]),
            one[0],
        ),
    )
    return [(value, _held(value, rows)) for value, rows in ordered]


def _fits(name: str, declared: Variable, held: Held) -> bool:
    try:
        checked(name, declared, held)
    except RecordError:
        return False
    return True


def _held(value: str, rows: list[Any]) -> Held:
    """The best label that any sensor's own field gives it; sensors that agree vouch for it, as for any action."""
    integrity = Integrity(min(row.integrity for row in rows))
    products = {row.product for row in rows if row.integrity < Integrity.EXTERNAL}
    return Held.of(endorse_by_corroboration(Labelled(value, integrity), products))
