"""What the installation's own store says of an entity, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, update

from watchfloor_core.alert import EntityKind
from watchfloor_core.context import Facts, LookUp
from watchfloor_core.errors import UnavailableError
from watchfloor_core.incident import ClosedBy, IncidentStatus, Verdict
from watchfloor_core.logs.query import EntityRef
from watchfloor_core.logs.source import Health
from watchfloor_core.store.engine import Store
from watchfloor_core.store.interning import entity_id
from watchfloor_core.store.schema import asset, incident, incident_entity
from watchfloor_workflows.investigation.own_context import own_context
from watchfloor_workflows.testing.incidents import plant_incident

HOST = EntityRef(EntityKind.HOST, "WS1.example.org")


def looked_up(store: Store, which: int, *entities: EntityRef, tenant: str = "acme") -> Facts:
    source = own_context(store, tenant)[which]
    return source.look_up(LookUp(kind=source.kind, entities=entities))


def plant(
    store: Store, number: int, verdict: Verdict | None, by: ClosedBy | None, tenant: str = "acme", **values: object
) -> None:
    id_ = f"inc-{number}"
    with store.write() as connection:
        plant_incident(connection, tenant, id_, announce=False)
        connection.execute(
            update(incident)
            .where(incident.c.tenant == tenant, incident.c.id == id_)
            .values(
                status=IncidentStatus.CLOSED if by else IncidentStatus.QUEUED, verdict=verdict, closed_by=by, **values
            )
        )
        connection.execute(
            insert(incident_entity).values(
                tenant=tenant,
                incident_id=id_,
                entity_id=entity_id("host", "ws1.example.org"),
                alerts=1,
                is_asset=True,
            )
        )


@pytest.fixture
def filled(store: Store) -> Store:
    with store.write() as connection:
        row = {"kind": "host", "value": "ws1.example.org", "entity_id": entity_id("host", "ws1.example.org")}
        connection.execute(insert(asset).values(tenant="acme", tier=1, groups=["servers", "web"], **row))
    plant(store, 1, Verdict.TRUE_POSITIVE, ClosedBy.PERSON)
    plant(store, 2, Verdict.FALSE_POSITIVE, ClosedBy.PERSON)
    plant(store, 3, Verdict.FALSE_POSITIVE, ClosedBy.AGENT)
    plant(store, 4, Verdict.FALSE_POSITIVE, ClosedBy.RULE)
    plant(store, 5, Verdict.TRUE_POSITIVE, None)
    plant(store, 6, Verdict.TRUE_POSITIVE, ClosedBy.PERSON, merged_into="inc-1")
    plant(store, 7, Verdict.BENIGN_POSITIVE, ClosedBy.PERSON, tenant="other")
    return store


def test_the_inventory_says_what_is_ours_however_it_is_spelled(filled: Store) -> None:
    found = looked_up(filled, 0, HOST, EntityRef(EntityKind.HOST, "elsewhere"))
    [fact] = found.facts
    assert fact.fields == {"asset.value": "ws1.example.org", "asset.tier": 1, "asset.groups": "servers, web"}
    assert (fact.entity, found.coverage.health) == (HOST, Health.WHOLE)


def test_the_history_is_what_people_closed_and_nobody_else(filled: Store) -> None:
    [fact] = looked_up(filled, 1, HOST).facts
    assert fact.fields == {
        "incidents.decided": 2,
        "incidents.true_positive": 1,
        "incidents.benign_positive": 0,
        "incidents.false_positive": 1,
    }


def test_another_tenants_past_and_inventory_are_not_told(filled: Store) -> None:
    assert looked_up(filled, 0, HOST, tenant="other").facts == ()
    [fact] = looked_up(filled, 1, HOST, tenant="other").facts
    assert fact.fields["incidents.decided"] == 1


def test_a_store_that_cannot_be_read_is_dark(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: Store) -> None:
        raise UnavailableError("gone")

    monkeypatch.setattr(Store, "read", gone)
    found = looked_up(filled, 1, HOST)
    assert (found.facts, found.coverage.health) == ((), Health.DARK)
    assert "gone" in found.coverage.reason
