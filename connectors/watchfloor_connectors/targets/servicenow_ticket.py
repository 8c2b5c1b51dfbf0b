"""ServiceNow: makes an incident record about an incident, and cancels it.

Source of the wire format: https://www.servicenow.com/docs, *Table API*; states and fields are those of the base
system's table ``incident`` (state 6 resolved, 7 closed, 8 canceled).
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, Field

from watchfloor_connectors.targets.base import MARK
from watchfloor_connectors.targets.http_api import Api, ApiOptions, BaseUrl, Clock, Session, path_of
from watchfloor_connectors.targets.secret import SecretReference
from watchfloor_connectors.targets.tickets import MAX_FOUND, BasicSecret, Entry, Ticket, TicketTool, cut

_PATH: Final = "api/now/table/incident"
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_ENDED: Final = frozenset({"6", "7", "8"})
_CANCELED: Final = "8"
_MAX_SHORT: Final = 160
_MAX_DESCRIPTION: Final = 4_000
_READ: Final = "sys_id,number,state,correlation_id"

Level = Annotated[int, Field(ge=1, le=3)]


class ServicenowTicketOptions(ApiOptions):
    """Options of the kind ``servicenow_ticket``."""

    api_url: BaseUrl
    """Your instance, e.g. ``https://corp.service-now.com``."""
    username: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,100}$")]
    password: SecretReference
    assignment_group: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """The ``sys_id`` of the group that gets them; None leaves that to the instance's rules."""
    impact: Level = 2
    urgency: Level = 2
    close_code: str = Field(default="No resolution provided", min_length=1, max_length=100)
    """Of those that your instance has, for a record that is cancelled."""
    never: tuple[str, ...] = ()
    """Ids of incidents about which none is made."""


class _Made(BaseModel):
    sys_id: str = Field(pattern=r"^[0-9a-f]{32}$")


class _MadeResult(BaseModel):
    result: _Made


class _FoundResult(BaseModel):
    result: tuple[_Made, ...] = Field(max_length=10 * MAX_FOUND)


class _Record(_Made):
    number: str = Field(max_length=255)
    state: str = Field(max_length=40)
    correlation_id: str = Field(default="", max_length=255)


class _RecordResult(BaseModel):
    result: _Record


class ServicenowTicket(TicketTool[ServicenowTicketOptions]):
    kind = "servicenow_ticket"
    revision: ClassVar[str] = "1"
    options_type = ServicenowTicketOptions

    def privileges(self) -> tuple[str, ...]:
        return ("the role sn_incident_write (or itil), and no other; web service access only",)

    def api(self, clock: Clock) -> Api:
        credentials = BasicSecret(self.options.username, self.options.password)
        denied = "check the password, and give the account the role sn_incident_write"
        return Api(self.tool, self.options, self.options.api_url, credentials, denied=denied, clock=clock)

    def search(self, session: Session, incident_id: str) -> list[str]:
        # Neither value has a character that means anything in an encoded query.
        query = f"correlation_display={MARK}{incident_id}^sys_created_by={self.options.username}"
        params = {"sysparm_query": query, "sysparm_fields": "sys_id", "sysparm_limit": str(MAX_FOUND + 1)}
        return [one.sys_id for one in session.read(_FoundResult, _PATH, params=params).result]

    def get(self, session: Session, ticket_id: str) -> Ticket:
        path = f"{_PATH}/{path_of(ticket_id)}"
        record = session.read(_RecordResult, path, params={"sysparm_fields": _READ}).result
        key = record.correlation_id if _KEY.fullmatch(record.correlation_id) else None
        is_cancelled = record.state == _CANCELED
        return Ticket(record.sys_id, record.number, key, record.state not in _ENDED, is_cancelled)

    def make(self, session: Session, entry: Entry) -> str:
        options = self.options
        fields = {
            "short_description": cut(entry.title, _MAX_SHORT),
            "description": cut("\n".join([*entry.facts, "", *entry.body]), _MAX_DESCRIPTION),
            "correlation_id": entry.key,
            "correlation_display": f"{MARK}{entry.incident_id}",
            "impact": str(options.impact),
            "urgency": str(options.urgency),
            **({"assignment_group": options.assignment_group} if options.assignment_group else {}),
        }
        answer = session.change("POST", _PATH, params={"sysparm_fields": "sys_id,number"}, json=fields)
        return answer.parse(_MadeResult).result.sys_id

    def cancel(self, session: Session, ticket: Ticket, key: str) -> None:
        fields = {
            "state": _CANCELED,
            "close_code": self.options.close_code,
            "close_notes": f"Cancelled by Watchfloor, proposal of digest {key}",
        }
        path = f"{_PATH}/{path_of(ticket.id)}"
        session.change("PATCH", path, params={"sysparm_fields": "sys_id,number"}, json=fields)
