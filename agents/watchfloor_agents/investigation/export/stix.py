"""A report as a STIX 2.1 bundle (https://docs.oasis-open.org/cti/stix/v2.1/os/stix-v2.1-os.html).

Ids are UUIDs of version 5 over what an object says, so that the same report gives the same bundle.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

import stix2

from watchfloor_core.alert import EntityKind
from watchfloor_core.report import AffectedEntity, Report
from watchfloor_core.untrusted import escape_untrusted

NAMESPACE: Final = uuid.UUID("5f0f9a54-2f0c-5c52-9a67-6a3b0a6c2a7e")
"""Of ids that Watchfloor makes."""


def report_bundle(report: Report) -> str:
    """The bundle's JSON: a report with its author, techniques as attack patterns, entities as observables, unknowns as
    a note. What was recommended is not part of it: it is for those who answer for it here."""
    made = datetime.fromtimestamp(max(report.ended_us, 1_000_000) / 1_000_000, UTC)
    author = stix2.Identity(
        id=_id("identity", "watchfloor"), name="Watchfloor", identity_class="system", created=made, modified=made
    )
    objects: list[Any] = [author, *_patterns(report, author, made), *_observables(report)]
    unknown = "\n".join(escape_untrusted(one.text) for one in report.unknowns)
    summary = stix2.Report(
        id=_id("report", report.tenant, report.incident_id, str(report.revision), str(report.ended_us)),
        created_by_ref=author.id,
        created=made,
        modified=made,
        published=made,
        name=escape_untrusted(f"Investigation of incident {report.incident_id}, revision {report.revision}"),
        description=escape_untrusted(report.summary),
        confidence=round(report.probability * 100),
        report_types=["incident"],
        object_refs=[one.id for one in objects],
    )
    notes = [
        stix2.Note(
            id=_id("note", report.incident_id, str(report.revision), unknown),
            created_by_ref=author.id,
            created=made,
            modified=made,
            abstract="What is not known",
            content=unknown,
            object_refs=[summary.id],
        )
    ]
    bundle = stix2.Bundle(
        id=_id("bundle", summary.id, str(report.ended_us)), objects=[*objects, summary, *(notes if unknown else [])]
    )
    return str(bundle.serialize(pretty=True)) + "\n"


def _patterns(report: Report, author: Any, made: datetime) -> Iterator[Any]:  # Any: the library is untyped
    for one in report.techniques:
        yield stix2.AttackPattern(
            id=_id("attack-pattern", one.technique),
            created_by_ref=author.id,
            created=made,
            modified=made,
            name=escape_untrusted(one.name),
            external_references=[{"source_name": "mitre-attack", "external_id": escape_untrusted(one.technique)}],
        )


def _observables(report: Report) -> Iterator[Any]:
    for one in report.entities:
        made = _observable(one)
        if made is not None:
            yield made


def _observable(entity: AffectedEntity) -> Any | None:
    """None for kinds that STIX has no observable of by a name alone, such as a host."""
    value = escape_untrusted(entity.value)
    match entity.kind:
        case EntityKind.IP:
            try:
                version = ip_address(entity.value).version
            except ValueError:
                return None
            return stix2.IPv4Address(value=value) if version == 4 else stix2.IPv6Address(value=value)
        case EntityKind.DOMAIN:
            return stix2.DomainName(value=value)
        case EntityKind.URL:
            return stix2.URL(value=value)
        case EntityKind.USER:
            return stix2.UserAccount(account_login=value)
        case EntityKind.FILE:
            return stix2.File(name=value)
        case EntityKind.MAILBOX:
            return stix2.EmailAddress(value=value)
        case _:
            return None


def _id(kind: str, *parts: str) -> str:
    return f"{kind}--{uuid.uuid5(NAMESPACE, chr(0).join((kind, *parts)))}"
