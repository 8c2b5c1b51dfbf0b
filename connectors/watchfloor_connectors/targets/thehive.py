"""TheHive 5: makes a case about an incident, and closes it.

Source of the wire format: https://docs.strangebee.com/thehive/api-docs/ (API v1, Case and Query), and the vendor's
client https://github.com/TheHive-Project/TheHive4py.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, Field, RootModel

from watchfloor_connectors.targets.base import MARK
from watchfloor_connectors.targets.http_api import Api, ApiOptions, BaseUrl, Clock, Session, path_of
from watchfloor_connectors.targets.http_credentials import SecretHeader
from watchfloor_connectors.targets.secret import SecretReference
from watchfloor_connectors.targets.tickets import MAX_FOUND, Entry, Ticket, TicketTool, cut

_TAG: Final = re.compile(rf"{MARK}([0-9a-f]{{64}})")
_MAX_TITLE: Final = 512
_BACKTICKS: Final = re.compile("`+")

Rank = Annotated[int, Field(ge=1, le=4)]
Sharing = Annotated[int, Field(ge=0, le=4)]


class TheHiveOptions(ApiOptions):
    """Options of the kind ``thehive``."""

    api_url: BaseUrl
    api_key: SecretReference
    organisation: Annotated[str, Field(pattern=r"^[A-Za-z0-9 ._-]{1,100}$")] | None = None
    """Where the account has several; None: its default one."""
    severity: Rank = 2
    tlp: Sharing = 2
    pap: Annotated[int, Field(ge=0, le=3)] = 2
    cancel_status: Literal["Other", "Duplicated", "Indeterminate", "FalsePositive"] = "Other"
    """With which a case is closed that is taken back."""
    never: tuple[str, ...] = ()
    """Ids of incidents about which none is made."""


class _Made(BaseModel):
    id: str = Field(alias="_id", pattern=r"^~?[0-9A-Za-z]{1,40}$")


class _Found(RootModel[tuple[_Made, ...]]):
    """A query answers with a bare list."""


class _Case(_Made):
    number: int
    status: str = Field(max_length=255)
    stage: str = Field(max_length=60)
    tags: tuple[str, ...] = ()


class TheHive(TicketTool[TheHiveOptions]):
    kind = "thehive"
    revision: ClassVar[str] = "1"
    options_type = TheHiveOptions

    def privileges(self) -> tuple[str, ...]:
        where = (
            f"in the organisation {self.options.organisation!r}" if self.options.organisation else "in one organisation"
        )
        return (f"a service account {where} with a profile of manageCase/create and manageCase/update",)

    def api(self, clock: Clock) -> Api:
        denied = "check the API key, and that its profile may make and update cases"
        key = SecretHeader(self.options.api_key)
        return Api(self.tool, self.options, self.options.api_url, key, denied=denied, clock=clock)

    def search(self, session: Session, incident_id: str) -> list[str]:
        query = [
            {"_name": "listCase"},
            {"_name": "filter", "_field": "tags", "_value": f"{MARK}{incident_id}"},
            {"_name": "page", "from": 0, "to": MAX_FOUND + 1},
        ]
        found = session.read(
            _Found, "api/v1/query", params={"name": "cases"}, json={"query": query}, headers=self._headers()
        )
        return [one.id for one in found.root]

    def get(self, session: Session, ticket_id: str) -> Ticket:
        case = session.read(_Case, path_of("api", "v1", "case", ticket_id), headers=self._headers())
        keys = [match[1] for tag in case.tags if (match := _TAG.fullmatch(tag))]
        is_open = case.stage != "Closed"
        is_cancelled = not is_open and case.status == self.options.cancel_status
        return Ticket(case.id, str(case.number), keys[0] if len(keys) == 1 else None, is_open, is_cancelled)

    def make(self, session: Session, entry: Entry) -> str:
        options = self.options
        content = {
            "title": cut(entry.title, _MAX_TITLE),
            "description": markdown(entry),
            "tags": [f"{MARK}{entry.key}", f"{MARK}{entry.incident_id}"],
            "severity": options.severity,
            "tlp": options.tlp,
            "pap": options.pap,
        }
        return session.change("POST", "api/v1/case", json=content, headers=self._headers()).parse(_Made).id

    def cancel(self, session: Session, ticket: Ticket, key: str) -> None:
        content = {
            "status": self.options.cancel_status,
            "impactStatus": "NotApplicable",
            "summary": f"Cancelled by Watchfloor, proposal of digest {key}",
        }
        path = path_of("api", "v1", "case", ticket.id)
        session.change("PATCH", path, json=content, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {"X-Organisation": self.options.organisation} if self.options.organisation else {}


def markdown(entry: Entry) -> str:
    """Descriptions are Markdown: what others wrote stands in a fence that nothing in it can end."""
    text = "\n".join(entry.body)
    fence = "`" * max(3, 1 + max((len(one) for one in _BACKTICKS.findall(text)), default=0))
    return "\n".join([*(f"- {one}" for one in entry.facts), "", f"{fence}text", text, fence])
