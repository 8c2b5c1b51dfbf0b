"""What Temporal's visibility store can be asked about incidents: tenant, status, severity, verdict, level."""

from __future__ import annotations

from typing import Final

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, SearchAttributeUpdate, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_workflows.messages import IncidentStanding

TENANT: Final = SearchAttributeKey.for_keyword("WatchfloorTenant")
STATUS: Final = SearchAttributeKey.for_keyword("WatchfloorStatus")
SEVERITY: Final = SearchAttributeKey.for_int("WatchfloorSeverity")
VERDICT: Final = SearchAttributeKey.for_keyword("WatchfloorVerdict")
LEVEL: Final = SearchAttributeKey.for_int("WatchfloorLevel")

TYPES: Final = {
    TENANT.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    STATUS.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    SEVERITY.name: IndexedValueType.INDEXED_VALUE_TYPE_INT,
    VERDICT.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    LEVEL.name: IndexedValueType.INDEXED_VALUE_TYPE_INT,
}


def of_new_workflow(tenant: str) -> TypedSearchAttributes:
    """Set with the start: it costs no event of its own."""
    return TypedSearchAttributes([SearchAttributePair(TENANT, tenant)])


def changes(
    before: IncidentStanding | None, after: IncidentStanding
) -> list[SearchAttributeUpdate[str] | SearchAttributeUpdate[int]]:
    """What one upsert has to say; empty where nothing visible changed, so that no event is written."""
    updates: list[SearchAttributeUpdate[str] | SearchAttributeUpdate[int]] = []
    if before is None or before.status != after.status:
        updates.append(STATUS.value_set(after.status))
    if before is None or before.severity != after.severity:
        updates.append(SEVERITY.value_set(after.severity))
    if (before.verdict if before else None) != after.verdict:
        updates.append(VERDICT.value_set(after.verdict) if after.verdict else VERDICT.value_unset())
    if (before.level if before else None) != after.level:
        updates.append(LEVEL.value_set(after.level) if after.level is not None else LEVEL.value_unset())
    return updates


def server_arguments() -> list[str]:
    """Arguments with which ``temporal server start-dev`` knows the attributes from its start."""
    names = {IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD: "Keyword", IndexedValueType.INDEXED_VALUE_TYPE_INT: "Int"}
    return [part for name, kind in TYPES.items() for part in ("--search-attribute", f"{name}={names[kind]}")]


async def register(client: Client) -> tuple[str, ...]:
    """Make the cluster know the attributes; those that it knows already are left alone. Returns the added names.

    Raises `ConfigurationError` where the cluster has one of the names with another type or does not let this client
    add any (Temporal Cloud: add them in its console), and `UnavailableError` where it cannot be reached.
    """
    try:
        listed = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
        known = dict(listed.custom_attributes)
        clashes = [name for name, kind in TYPES.items() if known.get(name, kind) != kind]
        if clashes:
            wanted = ", ".join(f"{name} as {IndexedValueType.Name(TYPES[name])}" for name in clashes)
            raise ConfigurationError(
                f"namespace {client.namespace!r} has search attributes of our names but other types; "
                f"expected {wanted}; remove them or use another namespace"
            )
        missing = {name: kind for name, kind in TYPES.items() if name not in known}
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
            )
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            return ()  # another worker was quicker
        if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED):
            raise ConfigurationError(
                f"Temporal does not let this client add search attributes ({error.message}); "
                f"add them as an administrator: {' '.join(server_arguments())}"
            ) from error
        raise UnavailableError(f"Temporal did not take the search attributes: {error.message}; retry later") from error
    return tuple(missing)
