"""What the organisation's own store knows of an entity: the inventory, and what people have decided before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from watchfloor_core.context import ContextKind, ContextSource, Fact, Facts, LookUp
from watchfloor_core.errors import UnavailableError
from watchfloor_core.incident import ClosedBy, Verdict
from watchfloor_core.logs.event import Value
from watchfloor_core.logs.query import EntityRef
from watchfloor_core.logs.source import Coverage, Health
from watchfloor_core.store.engine import Store
from watchfloor_core.store.interning import entity_id
from watchfloor_core.store.schema import asset, incident, incident_entity
from watchfloor_workflows.authority.spelling import spelled

Reader = Callable[[Connection, str, EntityRef], "dict[str, Value] | None"]
"""What is known of an entity in a tenant; None where it is not known."""

_ASSET: Final = select(asset.c.value, asset.c.tier, asset.c.groups).where(
    asset.c.tenant == bindparam("tenant"), asset.c.entity_id == bindparam("entity_id")
)
# An agent's own closures are no evidence for it: what counts is what a person closed.
_DECIDED: Final = (
    select(incident.c.verdict, func.count())
    .select_from(
        incident_entity.join(
            incident, (incident.c.tenant == incident_entity.c.tenant) & (incident.c.id == incident_entity.c.incident_id)
        )
    )
    .where(
        incident_entity.c.tenant == bindparam("tenant"),
        incident_entity.c.entity_id == bindparam("entity_id"),
        incident.c.closed_by == ClosedBy.PERSON.value,
        incident.c.merged_into.is_(None),
    )
    .group_by(incident.c.verdict)
)


def own_context(store: Store, tenant: str) -> tuple[ContextSource, ...]:
    """The sources that every installation has."""
    return (
        StoreSource("inventory", ContextKind.INVENTORY, store, tenant, _of_inventory),
        StoreSource("history", ContextKind.HISTORY, store, tenant, _of_history),
    )


class StoreSource:
    """A `ContextSource` over the store, for one tenant alone."""

    def __init__(self, name: str, kind: ContextKind, store: Store, tenant: str, read: Reader) -> None:
        self.name = name
        self.kind = kind
        self._store = store
        self._tenant = tenant
        self._read = read

    def look_up(self, question: LookUp) -> Facts:
        try:
            with self._store.read() as connection:
                facts = tuple(self._facts(connection, question.entities))
        except UnavailableError as error:
            return Facts((), Coverage(self.name, Health.DARK, f"the store cannot be read: {error}"))
        return Facts(facts, Coverage(self.name, Health.WHOLE))

    def _facts(self, connection: Connection, entities: Sequence[EntityRef]) -> Iterator[Fact]:
        for one in entities:
            fields = self._read(connection, self._tenant, one)
            if fields is not None:
                yield Fact(entity=one, fields=fields)


def _of_inventory(connection: Connection, tenant: str, entity: EntityRef) -> dict[str, Value] | None:
    row = connection.execute(_ASSET, {"tenant": tenant, "entity_id": _id(entity)}).one_or_none()
    if row is None:
        return None
    fields: dict[str, Value] = {"asset.value": row.value, "asset.tier": row.tier}
    if row.groups:
        fields["asset.groups"] = ", ".join(row.groups)
    return fields


def _of_history(connection: Connection, tenant: str, entity: EntityRef) -> dict[str, Value] | None:
    rows = connection.execute(_DECIDED, {"tenant": tenant, "entity_id": _id(entity)})
    counts = {verdict: int(count) for verdict, count in rows if verdict is not None}
    if not counts:
        return None
    return {
        "incidents.decided": sum(counts.values()),
        "incidents.true_positive": counts.get(Verdict.TRUE_POSITIVE.value, 0),
        "incidents.benign_positive": counts.get(Verdict.BENIGN_POSITIVE.value, 0),
        "incidents.false_positive": counts.get(Verdict.FALSE_POSITIVE.value, 0),
    }


def _id(entity: EntityRef) -> bytes:
    return entity_id(entity.kind.value, spelled(entity.kind.value, entity.value))
