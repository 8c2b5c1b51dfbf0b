"""A person merges or splits incidents: observations move, alerts stay where they are, and both are told to re-triage.

Each act is one transaction under the tenant's cursor, so that correlation never works on a state that a person has
changed: it reads its state anew.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from sqlalchemy import Case, ColumnElement, Connection, Row, case, func, insert, select, text, update

from watchfloor_agents.correlation.record import move_entities
from watchfloor_agents.triage.features import Features
from watchfloor_core import identity
from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConflictError, NotFoundError
from watchfloor_core.incident import IncidentKind, IncidentStatus, Verdict
from watchfloor_core.ledger import Decision, record_decisions
from watchfloor_core.store import schema
from watchfloor_core.telemetry.names import SpanName

_SPAN: Final = {"merge": SpanName.MERGE, "split": SpanName.SPLIT}

_Incident = Row[Any]
"""A whole row of the incident table."""
_Observed = Row[Any, Any, Any, Any, Any, Any]
"""Shape id, alerts, first and last time, detector id, severity."""


def merge(connection: Connection, tenant: str, into: str, other: str, *, principal: str, reason: str) -> None:
    """Join `other` into `into`.

    Raises NotFoundError, and ConflictError where the two are one, or one of them is merged already or still gathers
    routine alerts.
    """
    if into == other:
        raise ConflictError(f"{into} cannot be merged into itself; name two incidents")
    _lock(connection, tenant)
    kept, absorbed = _unmerged(connection, tenant, into), _unmerged(connection, tenant, other)
    features = Features.from_json(kept.features["triage"])
    features.absorb(Features.from_json(absorbed.features["triage"]))
    revision = kept.revision + 1
    links = {**absorbed.features["fold"]["links"], **kept.features["fold"]["links"]}
    fold = {**kept.features["fold"], "links": links, "emitted": revision}
    _update(
        connection,
        tenant,
        into,
        features={"triage": features.to_json(), "fold": fold},
        alert_count=kept.alert_count + absorbed.alert_count,
        first_us=min(kept.first_us, absorbed.first_us),
        last_us=max(kept.last_us, absorbed.last_us),
        severity=max(kept.severity, absorbed.severity),
        revision=revision,
    )
    _update(
        connection,
        tenant,
        other,
        status=IncidentStatus.MERGED.value,
        merged_into=into,
        is_sealed=True,
        alert_count=0,
        revision=absorbed.revision + 1,
    )
    table = schema.observation
    connection.execute(
        update(table)
        .where(table.c.tenant == tenant, table.c.incident_id == other)
        .values(incident_id=into, revision=revision)
    )
    move_entities(connection, tenant, other, into)
    _hand_over(connection, tenant, {into: revision, other: absorbed.revision + 1})
    body: dict[str, JsonValue] = {"into": into, "absorbed": other, "by": principal, "reason": reason}
    _record(connection, tenant, "merge", (into, other), body)


def split(
    connection: Connection,
    tenant: str,
    incident_id: str,
    shape_ids: Collection[bytes],
    *,
    principal: str,
    reason: str,
) -> str:
    """Take the observations of some shapes out into an incident of their own; returns its id.

    The new incident takes no further alerts by itself, and waits for a person whatever triage says.

    Raises NotFoundError, and ConflictError where none or all of
    the observations would move, or the incident is merged already or still gathers routine alerts.
    """
    _lock(connection, tenant)
    old = _unmerged(connection, tenant, incident_id)
    observations = _observations(connection, tenant, incident_id)
    wanted = set(shape_ids)
    moving = [row for row in observations if bytes(row.shape_id) in wanted]
    staying = [row for row in observations if bytes(row.shape_id) not in wanted]
    if not moving or not staying:
        which = "none" if not moving else "all"
        raise ConflictError(f"{which} of the {len(observations)} observations of {incident_id} would move: choose some")
    new_id = identity.incident_id(tenant, "split", incident_id, str(old.revision), *sorted(s.hex() for s in wanted))
    features = Features.from_json(old.features["triage"])
    revision = old.revision + 1
    connection.execute(insert(schema.incident).values(_split_row(old, new_id, moving, features)))
    _update(
        connection,
        tenant,
        incident_id,
        **_span(staying),
        features={
            "triage": _part(features, staying).to_json(),
            "fold": {**old.features["fold"], "emitted": revision},
        },
        revision=revision,
    )
    table = schema.observation
    connection.execute(
        update(table)
        .where(table.c.tenant == tenant, table.c.incident_id == incident_id, table.c.shape_id.in_(wanted))
        .values(incident_id=new_id, revision=1)
    )
    _take_in_hand(connection, tenant, new_id, principal, reason)
    _count_entities(connection, tenant, (incident_id, new_id))
    _hand_over(connection, tenant, {incident_id: revision, new_id: 1})
    body: dict[str, JsonValue] = {
        "from": incident_id,
        "into": new_id,
        "shapes": sorted(shape_id.hex() for shape_id in wanted),
        "observations": len(moving),
        "by": principal,
        "reason": reason,
    }
    _record(connection, tenant, "split", (incident_id, new_id), body)
    return new_id


def _lock(connection: Connection, tenant: str) -> None:
    """Take the tenant's cursor and make every kept fold stale."""
    connection.execute(
        text("UPDATE cursor SET version = version + 1 WHERE tenant = :tenant"),
        {"tenant": tenant},
    )


def _unmerged(connection: Connection, tenant: str, incident_id: str) -> _Incident:
    table = schema.incident
    row = connection.execute(
        select(table).where(table.c.tenant == tenant, table.c.id == incident_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"no incident {incident_id!r} in this tenant")
    if row.merged_into is not None:
        raise ConflictError(f"{incident_id} was merged into {row.merged_into}; work on that one")
    if row.kind == IncidentKind.ROUTINE and not row.is_sealed:
        # Correlation goes on gathering into it, under the same id.
        raise ConflictError(f"{incident_id} gathers routine alerts until its window is over; merge or split it then")
    return row


def _update(connection: Connection, tenant: str, incident_id: str, **values: Any) -> None:  # columns of several types
    table = schema.incident
    connection.execute(
        update(table).where(table.c.tenant == tenant, table.c.id == incident_id).values(updated_us=now_us(), **values)
    )


def _observations(connection: Connection, tenant: str, incident_id: str) -> Sequence[_Observed]:
    seen, shape = schema.observation, schema.shape
    return connection.execute(
        select(seen.c.shape_id, seen.c.alerts, seen.c.first_us, seen.c.last_us, shape.c.detector_id, shape.c.severity)
        .join(shape, (shape.c.tenant == seen.c.tenant) & (shape.c.id == seen.c.shape_id))
        .where(seen.c.tenant == tenant, seen.c.incident_id == incident_id)
    ).all()


def _span(observations: Sequence[_Observed]) -> dict[str, int]:
    return {
        "alert_count": sum(row.alerts for row in observations),
        "first_us": min(row.first_us for row in observations),
        "last_us": max(row.last_us for row in observations),
        "severity": max(row.severity if row.severity < 99 else 0 for row in observations),
    }


def _part(features: Features, observations: Sequence[_Observed]) -> Features:
    """The features of some of an incident's observations: the evidence of their detectors."""
    kept = {bytes(row.detector_id).hex() for row in observations}
    detectors = {
        key: replace(held, assets=list(held.assets)) for key, held in features.detectors.items() if key in kept
    }
    assets = {asset for held in detectors.values() for asset in held.assets}
    return replace(
        features,
        detectors=detectors,
        assets={asset: alerts for asset, alerts in features.assets.items() if asset in assets},
        context_alerts=0,
    )


def _split_row(old: _Incident, new_id: str, moving: Sequence[_Observed], features: Features) -> dict[str, Any]:
    fold = {
        **old.features["fold"],
        "links": {},
        "alarms": {},
        "hot_assets": [],
        "is_hot": False,
        "is_sealed": True,
        "hindsight_tick": None,
        "emitted": 1,
    }
    return {
        "tenant": old.tenant,
        "id": new_id,
        "kind": IncidentKind.ACTIVITY.value,
        "title": old.title,
        "opened_us": old.opened_us,
        "status": IncidentStatus.NEW.value,
        "revision": 1,
        "is_sealed": True,
        "features": {"triage": _part(features, moving).to_json(), "fold": fold},
        "updated_us": now_us(),
        **_span(moving),
    }


def _take_in_hand(connection: Connection, tenant: str, incident_id: str, principal: str, reason: str) -> None:
    """What a person split off is in that person's hands, as a reopened incident is: no agent closes it."""
    connection.execute(
        insert(schema.human_verdict).values(
            tenant=tenant,
            incident_id=incident_id,
            revision=1,
            verdict=Verdict.UNDETERMINED.value,
            principal=principal,
            comment=reason,
            decided_us=now_us(),
            saw_agent_answer=False,
            update_id=f"split:{incident_id}",
        )
    )


def _count_entities(connection: Connection, tenant: str, incident_ids: Collection[str]) -> None:
    """Count the alerts of incidents by entity anew, from their observations."""
    seen, part, shape, table = schema.observation, schema.shape_entity, schema.shape, schema.incident_entity
    for incident_id in incident_ids:
        connection.execute(table.delete().where(table.c.tenant == tenant, table.c.incident_id == incident_id))
        connection.execute(
            insert(table).from_select(
                ["tenant", "incident_id", "entity_id", "alerts", "is_asset"],
                select(
                    seen.c.tenant,
                    seen.c.incident_id,
                    part.c.entity_id,
                    func.sum(seen.c.alerts),
                    func.max(_one_where(shape.c.asset_id == part.c.entity_id)) == 1,
                )
                .join(part, (part.c.tenant == seen.c.tenant) & (part.c.shape_id == seen.c.shape_id))
                .join(shape, (shape.c.tenant == seen.c.tenant) & (shape.c.id == seen.c.shape_id))
                .where(seen.c.tenant == tenant, seen.c.incident_id == incident_id, part.c.role != "observer")
                .group_by(seen.c.tenant, seen.c.incident_id, part.c.entity_id),
            )
        )


def _one_where(condition: ColumnElement[bool]) -> Case[int]:
    # PostgreSQL has no MAX over booleans.
    return case((condition, 1), else_=0)


def _hand_over(connection: Connection, tenant: str, revisions: dict[str, int]) -> None:
    rows: list[dict[str, Any]] = [
        {"tenant": tenant, "incident_id": incident_id, "revision": revision, "created_us": now_us()}
        for incident_id, revision in sorted(revisions.items())
    ]
    connection.execute(insert(schema.outbox), rows)


def _record(
    connection: Connection,
    tenant: str,
    kind: Literal["merge", "split"],
    chains: Sequence[str],
    body: dict[str, JsonValue],
) -> None:
    at_us = now_us()
    record_decisions(connection, tenant, [Decision(chain, kind, body, _SPAN[kind], at_us, at_us) for chain in chains])
