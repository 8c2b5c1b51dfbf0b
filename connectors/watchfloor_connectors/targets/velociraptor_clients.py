"""What Velociraptor's server knows of one client, and what it is told to do with it, in VQL.

Columns and functions are those of https://docs.velociraptor.app/vql_reference/ (``clients``, ``flows``, ``source``,
``label``, ``collect_client``). A function that is not permitted gives NULL, and a plug-in no rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, Field

from watchfloor_connectors.targets.base import NotReadyError
from watchfloor_connectors.targets.http_api import NotThereError
from watchfloor_core.errors import UnavailableError

if TYPE_CHECKING:
    from watchfloor_connectors.targets.velociraptor_api import VqlSession

HOST: Final = re.compile(
    r"C\.[0-9a-f]{16}|[A-Za-z0-9]([A-Za-z0-9_-]{0,62}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]{0,62}[A-Za-z0-9])?)*"
)
"""A client id, or a host name (RFC 1123, and underscores): nothing that a search reads as more than a name."""
CLIENT_ID: Final = re.compile(r"C\.[0-9a-f]{16}")
QUARANTINE: Final = {"windows": "Windows.Remediation.Quarantine", "linux": "Linux.Remediation.Quarantine"}
"""By the system that a client reports."""
_LABEL: Final = re.compile(r"wf-([0-9a-f]{64})")
_SAME_NAME: Final = 20

_FIND: Final = """
SELECT client_id, os_info.hostname AS hostname, os_info.fqdn AS fqdn, os_info.system AS system, labels
FROM clients(search=WfSearch, limit=20)
"""
_GET: Final = """
SELECT client_id, os_info.hostname AS hostname, os_info.fqdn AS fqdn, os_info.system AS system, labels
FROM clients(client_id=WfClient)
"""
_FLOWS: Final = """
SELECT session_id, state, create_time FROM flows(client_id=WfClient)
WHERE WfArtifact IN request.artifacts
ORDER BY create_time DESC LIMIT 1
"""
_FLOW: Final = "SELECT session_id, state, create_time FROM flows(client_id=WfClient, flow_id=WfFlow)"
_RESULTS: Final = """
SELECT Result FROM source(client_id=WfClient, flow_id=WfFlow, artifact=WfArtifact) LIMIT 100
"""
ROWS: Final = "SELECT * FROM source(client_id=WfClient, flow_id=WfFlow, artifact=WfArtifact) LIMIT 200"
_LABEL_SET: Final = "SELECT label(client_id=WfClient, labels=WfLabel, op='set') AS done FROM scope()"
_LABEL_REMOVE: Final = "SELECT label(client_id=WfClient, labels=WfLabel, op='remove') AS done FROM scope()"
_COLLECT: Final = "SELECT collect_client(client_id=WfClient, artifacts=WfArtifact, urgent=TRUE) AS flow FROM scope()"
_RELEASE: Final = """
SELECT collect_client(client_id=WfClient, artifacts=WfArtifact, urgent=TRUE, env=dict(RemovePolicy='Y')) AS flow
FROM scope()
"""


class Status(StrEnum):
    """What the last quarantine that was collected from a client says of it."""

    FREE = "free"
    CONTAINED = "contained"
    PENDING = "pending"
    """The client has not done it yet; one that is away does it when it is back."""
    UNCLEAR = "unclear"


class _Client(BaseModel):
    client_id: Annotated[str, Field(pattern=r"^C\.[0-9a-f]{16}$")]
    hostname: str | None = Field(default="", max_length=255)
    fqdn: str | None = Field(default="", max_length=255)
    system: str | None = Field(default="", max_length=60)
    labels: tuple[str, ...] | None = ()


class _Flow(BaseModel):
    session_id: Annotated[str, Field(pattern=r"^F\.[0-9A-Za-z.]{1,40}$")]
    state: str = Field(max_length=40)

    @property
    def is_settled(self) -> bool:
        return self.state in ("FINISHED", "ERROR")


class _Result(BaseModel):
    Result: str | None = None


class _Started(BaseModel):
    flow_id: Annotated[str, Field(pattern=r"^F\.[0-9A-Za-z.]{1,40}$")]


class _Collected(BaseModel):
    flow: _Started | None = None


class _Done(BaseModel):
    done: object = None


class Row(BaseModel):
    """Whatever an artifact gives."""

    model_config = {"extra": "allow"}


@dataclass(frozen=True, slots=True)
class Client:
    id: str
    system: str
    names: frozenset[str]
    """In lower case."""
    keys: tuple[str, ...]
    """Of the labels of ours."""


def find_client(session: VqlSession, name: str) -> Client:
    """The one client of that host name or client id. Raises `NotThereError`, and `UnavailableError` for several."""
    is_id = CLIENT_ID.fullmatch(name) is not None
    # A search knows names in lower case.
    asked = {"WfClient": name} if is_id else {"WfSearch": f"host:{name.lower()}"}
    rows = session.read(_Client, _GET if is_id else _FIND, **asked)
    # A search finds prefixes too.
    found = {one.client_id: one for one in rows if name.lower() in _names(one)}
    if not found:
        raise NotThereError(f"Velociraptor has no client {name!r}, or does not show it to the API user (READ_RESULTS)")
    if len(found) > 1 or len(rows) >= _SAME_NAME:
        listed = ", ".join(sorted(found)[:5])
        raise UnavailableError(f"several clients report as {name!r} ({listed}); name the one meant by its client id")
    (one,) = found.values()
    keys = tuple(match[1] for label in sorted(one.labels or ()) if (match := _LABEL.fullmatch(label)))
    return Client(one.client_id, (one.system or "").lower(), _names(one), keys)


def status_of(session: VqlSession, client: Client) -> Status:
    artifact = QUARANTINE.get(client.system)
    if artifact is None:
        return Status.FREE
    flows = session.read(_Flow, _FLOWS, WfClient=client.id, WfArtifact=artifact)
    if not flows:
        return Status.FREE
    if not flows[0].is_settled:
        return Status.PENDING
    rows = session.read(_Result, _RESULTS, WfClient=client.id, WfFlow=flows[0].session_id, WfArtifact=artifact)
    # It first takes away what an earlier one left, so only its last word says how it ended.
    last = (rows[-1].Result or "") if rows else ""
    if "connection test successful" in last:
        return Status.CONTAINED
    # It looks whether it still reaches the server, and takes its rules away where it does not.
    is_free = "failed connection test" in last or last.endswith("removed.")
    return Status.FREE if is_free else Status.UNCLEAR


def flow_of(session: VqlSession, client: Client, flow_id: str) -> _Flow | None:
    found = session.read(_Flow, _FLOW, WfClient=client.id, WfFlow=flow_id)
    return found[0] if found else None


def collect(session: VqlSession, client: Client, artifact: str, *, release: bool = False) -> str | None:
    """The id of the collection that was begun; None where the server did not begin any."""
    query = _RELEASE if release else _COLLECT
    rows = session.change(_Collected, query, WfClient=client.id, WfArtifact=artifact)
    return rows[0].flow.flow_id if rows and rows[0].flow is not None else None


def set_label(session: VqlSession, client: Client, key: str) -> None:
    """Leaves the key; nothing that matters has changed by it. Raises `NotReadyError` where that is not permitted."""
    rows = session.read(_Done, _LABEL_SET, WfClient=client.id, WfLabel=f"wf-{key}")
    if f"wf-{key}" not in _labels(session, client):
        raise NotReadyError(f"no label could be set at {client.id} ({len(rows)} rows); give the API user LABEL_CLIENT")


def remove_labels(session: VqlSession, client: Client, keys: tuple[str, ...]) -> None:
    for key in keys:
        session.read(_Done, _LABEL_REMOVE, WfClient=client.id, WfLabel=f"wf-{key}")


def _labels(session: VqlSession, client: Client) -> frozenset[str]:
    rows = session.read(_Client, _GET, WfClient=client.id)
    return frozenset(label for one in rows for label in one.labels or ())


def _names(client: _Client) -> frozenset[str]:
    return frozenset(one.lower() for one in (client.client_id, client.hostname or "", client.fqdn or "") if one)


def row_content(row: Row) -> Mapping[str, object]:
    return row.model_extra or {}
