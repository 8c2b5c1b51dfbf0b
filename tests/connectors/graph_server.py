"""Microsoft Graph as far as tools use it.

Source: https://learn.microsoft.com/graph/api/ and there ``user-get``, ``user-update``, ``user-revokesigninsessions``,
``serviceprincipal-get`` and ``serviceprincipal-update``, each with its application permissions;
https://learn.microsoft.com/graph/permissions-reference for what ``User.EnableDisableAccount.All`` lets write.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.connectors.microsoft_server import APPLICATION, Microsoft, error
from tests.connectors.vendor_server import Reply, Request

PERMISSIONS = frozenset(
    {"User.Read.All", "User.EnableDisableAccount.All", "User.RevokeSessions.All", "Application.ReadWrite.All"}
)


def guid(number: int) -> str:
    return f"11111111-2222-4333-8444-{number:012}"


@dataclass
class User:
    id: str
    userPrincipalName: str
    accountEnabled: bool = True
    onPremisesSyncEnabled: bool | None = None
    signInSessionsValidFromDateTime: str = "2025-01-02T03:04:05Z"


@dataclass
class ServicePrincipal:
    id: str
    appId: str
    accountEnabled: bool = True
    notes: str | None = None


class Graph(Microsoft):
    resource = ""
    """The address of this server: the fixture sets it."""

    def __init__(self) -> None:
        super().__init__(PERMISSIONS)
        self.users = [
            User(guid(1), "ann@example.org"),
            User(guid(2), "Bob.O'Hara@example.org", onPremisesSyncEnabled=True),
            User(guid(3), "glass@example.org"),
            User(guid(4), "guest_example.com#EXT#@example.org"),
        ]
        self.apps = [
            ServicePrincipal(guid(11), guid(21)),
            ServicePrincipal(guid(12), guid(22), notes="owner: Ann\n"),
            ServicePrincipal(guid(13), APPLICATION),
        ]
        self.revoked = 0
        self.is_slow = False
        """Does what it is told, and says for now that it has not."""

    def user(self, name: str) -> User:
        return next(one for one in self.users if name.lower() in (one.id, one.userPrincipalName.lower()))

    @property
    def enabled(self) -> list[bool]:
        return [one.accountEnabled for one in self.users] + [one.accountEnabled for one in self.apps]

    def is_effect(self, request: Request) -> bool:
        return request.method == "PATCH" or request.path.endswith("/revokeSignInSessions")

    def authorised(self, request: Request) -> Reply:
        match request.method, request.segments:
            case "GET", ["v1.0", "users", name]:
                return self.allowed("User.Read.All") or self._read(request, self._users(name))
            case "PATCH", ["v1.0", "users", name]:
                return self.allowed("User.EnableDisableAccount.All") or self._user_changed(request, self._users(name))
            case "POST", ["v1.0", "users", name, "revokeSignInSessions"]:
                return self.allowed("User.RevokeSessions.All") or self._revoked(request, self._users(name))
            case "GET", ["v1.0", last]:
                needed = ("Application.Read.All", "Application.ReadWrite.All")
                return self.allowed(*needed) or self._read(request, self._principals(last))
            case "PATCH", ["v1.0", last]:
                return self.allowed("Application.ReadWrite.All") or self._app_changed(request, self._principals(last))
            case _:
                return error(404, "Request_ResourceNotFound")

    def _users(self, name: str) -> list[Any]:
        return [one for one in self.users if name.lower() in (one.id, one.userPrincipalName.lower())]

    def _principals(self, segment: str) -> list[Any]:
        match = re.fullmatch(r"servicePrincipals\(appId='([0-9a-f-]{36})'\)", segment)
        return [one for one in self.apps if match is not None and one.appId == match[1]]

    def _read(self, request: Request, found: list[Any]) -> Reply:
        if not found:
            return error(404, "Request_ResourceNotFound")
        selected = request.query["$select"][0].split(",")
        told = {"@odata.context": "https://graph.microsoft.com/v1.0/$metadata"}
        return Reply(200, told | {name: getattr(found[0], name) for name in selected})

    def _user_changed(self, request: Request, found: list[Any]) -> Reply:
        if not found:
            return error(404, "Request_ResourceNotFound")
        body = request.json
        if set(body) != {"accountEnabled"} or not isinstance(body["accountEnabled"], bool):
            # The permission is for this property alone.
            return error(403, "Authorization_RequestDenied")
        if not self.is_slow:
            found[0].accountEnabled = body["accountEnabled"]
        return Reply(204)

    def _revoked(self, request: Request, found: list[Any]) -> Reply:
        if not found:
            return error(404, "Request_ResourceNotFound")
        assert request.body == b""
        self.revoked += 1
        if not self.is_slow:
            found[0].signInSessionsValidFromDateTime = f"2026-02-25T06:13:{self.revoked:02}Z"
        return Reply(200, {"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#Edm.Boolean", "value": True})

    def _app_changed(self, request: Request, found: list[Any]) -> Reply:
        if not found:
            return error(404, "Request_ResourceNotFound")
        body = request.json
        if not set(body) <= {"accountEnabled", "notes"} or len(body.get("notes") or "") > 1024:
            return error(400, "Request_BadRequest")
        for name, value in body.items():
            setattr(found[0], name, value)
        return Reply(204)
