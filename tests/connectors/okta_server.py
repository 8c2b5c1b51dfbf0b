"""Okta as far as tools use it.

Source: https://developer.okta.com/docs/api/openapi/okta-management/management/ (User, UserLifecycle, UserSessions,
SystemLog); permissions of custom roles: https://developer.okta.com/docs/api/openapi/okta-management/guides/permissions.
"""

from __future__ import annotations

import re
from typing import Any

from tests.connectors.vendor_server import LEAK, SECRET, Reply, Request, Vendor

PERMISSIONS = frozenset(
    {"okta.users.read", "okta.users.lifecycle.suspend", "okta.users.lifecycle.unsuspend",
     "okta.users.lifecycle.clearSessions", "Report Administrator"}
)  # fmt: skip


def user_id(number: int) -> str:
    return f"00uAbCdEfGhIjKlMn{number:03}"


class OktaOrg(Vendor):
    def __init__(self) -> None:
        super().__init__()
        self.permissions = PERMISSIONS
        self.users = {user_id(1): "ann@example.org", user_id(2): "glass@example.org", user_id(3): "new@example.org"}
        self.status = dict.fromkeys(self.users, "ACTIVE") | {user_id(3): "PROVISIONED"}
        self.clearings: list[str] = []
        self.is_slow = False
        """Its log is behind."""

    def is_effect(self, request: Request) -> bool:
        return request.method in ("POST", "DELETE")

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"SSWS {SECRET}":
            return _error(401, "E0000011")
        match request.method, request.segments:
            case "GET", ["api", "v1", "users", name]:
                id_ = self._id(name)
                return self._allowed("okta.users.read") or (
                    Reply(200, self._told(id_)) if id_ else _error(404, "E0000007")
                )
            case "POST", ["api", "v1", "users", id_, "lifecycle", "suspend" | "unsuspend" as verb]:
                return self._allowed(f"okta.users.lifecycle.{verb}") or self._turned(request, id_, verb)
            case "DELETE", ["api", "v1", "users", id_, "sessions"]:
                assert request.query == {"oauthTokens": ["true"]}
                refusal = self._allowed("okta.users.lifecycle.clearSessions")
                if refusal is None:
                    self.clearings.append(id_)
                return refusal or Reply(204)
            case "GET", ["api", "v1", "logs"]:
                return self._allowed("Report Administrator") or self._logged(request)
            case _:
                return _error(404, "E0000022")

    def _allowed(self, permission: str) -> Reply | None:
        return None if permission in self.permissions else _error(403, "E0000006")

    def _id(self, name: str) -> str | None:
        return next((id_ for id_, login in self.users.items() if name == id_ or name.lower() == login), None)

    def _told(self, id_: str) -> dict[str, Any]:
        profile = {"login": self.users[id_], "email": self.users[id_], "firstName": LEAK, "lastName": LEAK}
        return {"id": id_, "status": self.status[id_], "created": "2025-01-02T03:04:05.000Z", "profile": profile,
                "credentials": {"provider": {"type": "OKTA", "name": "OKTA"}}, "_links": {}}  # fmt: skip

    def _turned(self, request: Request, id_: str, verb: str) -> Reply:
        assert request.body == b""
        before, after = ("ACTIVE", "SUSPENDED") if verb == "suspend" else ("SUSPENDED", "ACTIVE")
        if self.status.get(id_) != before:
            return _error(400, "E0000001")
        self.status[id_] = after
        return Reply(200, {})

    def _logged(self, request: Request) -> Reply:
        match = re.fullmatch(
            r'eventType eq "user.session.clear" and target.id eq "(00u[0-9A-Za-z]{17})"', request.query["filter"][0]
        )
        if match is None or (request.query["sortOrder"], request.query["limit"]) != (["DESCENDING"], ["1"]):
            return _error(400, "E0000031")
        shown = [] if self.is_slow else [number for number, one in enumerate(self.clearings) if one == match[1]]
        told = {"eventType": "user.session.clear", "published": "2026-02-25T06:13:21.123Z"}
        target = [{"id": match[1], "type": "User"}]
        events = [{"uuid": f"event-{number}", "target": target, **told} for number in reversed(shown)]
        return Reply(200, events[:1])


def _error(status: int, code: str) -> Reply:
    told = {"errorCode": code, "errorSummary": LEAK, "errorLink": code, "errorId": "oae1", "errorCauses": []}
    return Reply(status, told)
