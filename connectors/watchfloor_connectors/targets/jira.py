"""Jira Cloud: makes an issue about an incident, and cancels it by a transition to a status of yours.

Source of the wire format: https://developer.atlassian.com/cloud/jira/platform/rest/v3/ (Issues, Issue search), and for
descriptions https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, Field

from watchfloor_connectors.targets.http_api import Api, ApiOptions, BaseUrl, Clock, Session, path_of
from watchfloor_connectors.targets.secret import SecretReference
from watchfloor_connectors.targets.tickets import MAX_FOUND, BasicSecret, Entry, Ticket, TicketTool, cut
from watchfloor_core.canonical import JsonValue
from watchfloor_guardrails.effect import NotDoneError

_LABEL: Final = re.compile(r"wf-([0-9a-f]{64})")
_MAX_SUMMARY: Final = 255


class JiraOptions(ApiOptions):
    """Options of the kind ``jira``."""

    api_url: BaseUrl
    """Your site, e.g. ``https://corp.atlassian.net``."""
    email: Annotated[str, Field(pattern=r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,190}$")]
    """Of the account that the token belongs to."""
    api_token: SecretReference
    project: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{1,49}$")]
    """Its key."""
    issue_type: str = Field(default="Task", min_length=1, max_length=60)
    cancel_status: str = Field(default="Cancelled", min_length=1, max_length=60)
    """Where a transition leads that takes a ticket back; its category has to be *done*."""
    never: tuple[str, ...] = ()
    """Ids of incidents about which none is made."""


class _Made(BaseModel):
    id: str = Field(pattern=r"^[0-9]{1,19}$")


class _Found(BaseModel):
    issues: tuple[_Made, ...] = Field(max_length=10 * MAX_FOUND)


class _Category(BaseModel):
    key: str = ""


class _Status(BaseModel):
    name: str = Field(max_length=255)
    statusCategory: _Category


class _Fields(BaseModel):
    labels: tuple[str, ...] = ()
    status: _Status


class _Issue(BaseModel):
    id: str
    key: str = Field(max_length=255)
    fields: _Fields


class _Transition(BaseModel):
    id: str = Field(pattern=r"^[0-9]{1,19}$")
    to: _Status


class _Transitions(BaseModel):
    transitions: tuple[_Transition, ...]


class Jira(TicketTool[JiraOptions]):
    kind = "jira"
    revision: ClassVar[str] = "1"
    options_type = JiraOptions

    def privileges(self) -> tuple[str, ...]:
        return (
            f"in the project {self.options.project}: Browse Projects, Create Issues, Transition Issues",
            "for a token with scopes: read:jira-work, write:jira-work",
        )

    def api(self, clock: Clock) -> Api:
        credentials = BasicSecret(self.options.email, self.options.api_token)
        denied = f"check the token, and grant its account {'; '.join(self.least_privilege)}"
        return Api(self.tool, self.options, self.options.api_url, credentials, denied=denied, clock=clock)

    def search(self, session: Session, incident_id: str) -> list[str]:
        # Whoever may edit an issue may label it; nobody can change who made it.
        jql = f'project = "{self.options.project}" AND labels = "wf-{incident_id}" AND creator = currentUser()'
        asked = {"jql": jql, "fields": ["id"], "maxResults": MAX_FOUND + 1}
        return [one.id for one in session.read(_Found, "rest/api/3/search/jql", json=asked).issues]

    def get(self, session: Session, ticket_id: str) -> Ticket:
        path = path_of("rest", "api", "3", "issue", ticket_id)
        issue = session.read(_Issue, path, params={"fields": "labels,status"})
        keys = [match[1] for label in issue.fields.labels if (match := _LABEL.fullmatch(label))]
        status = issue.fields.status
        is_cancelled = status.name.casefold() == self.options.cancel_status.casefold()
        is_open = not is_cancelled and status.statusCategory.key != "done"
        return Ticket(issue.id, issue.key, keys[0] if len(keys) == 1 else None, is_open, is_cancelled)

    def make(self, session: Session, entry: Entry) -> str:
        fields: dict[str, object] = {
            "project": {"key": self.options.project},
            "issuetype": {"name": self.options.issue_type},
            "summary": cut(entry.title, _MAX_SUMMARY),
            "description": document(entry),
            "labels": [f"wf-{entry.key}", f"wf-{entry.incident_id}"],
        }
        return session.change("POST", "rest/api/3/issue", json={"fields": fields}).parse(_Made).id

    def cancel(self, session: Session, ticket: Ticket, key: str) -> None:  # noqa: ARG002 - an issue has no room for it
        path = path_of("rest", "api", "3", "issue", ticket.id, "transitions")
        wanted = self.options.cancel_status.casefold()
        ways = [one.id for one in session.read(_Transitions, path).transitions if one.to.name.casefold() == wanted]
        if not ways:
            raise NotDoneError(f"from where it is no transition leads to the status {self.options.cancel_status!r}")
        session.change("POST", path, json={"transition": {"id": ways[0]}})


def document(entry: Entry) -> dict[str, JsonValue]:
    """In the Atlassian Document Format, of text nodes alone: links and mentions are nodes and marks of other types."""
    lines = [*entry.facts, *(line for line in entry.body if line)]
    content: list[JsonValue] = [{"type": "paragraph", "content": [{"type": "text", "text": line}]} for line in lines]
    return {"type": "doc", "version": 1, "content": content}
