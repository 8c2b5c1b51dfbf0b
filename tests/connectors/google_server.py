"""Google Workspace as far as tools use it, and Google's token endpoint.

Sources: https://developers.google.com/identity/protocols/oauth2/service-account for the assertion, which is verified;
https://developers.google.com/workspace/admin/directory/reference/rest/v1/users (get, patch, signOut), and their scopes;
https://developers.google.com/workspace/admin/reports/reference/rest/v1/activities/list.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from tests.connectors.vendor_server import LEAK, Reply, Request, Vendor

ROBOT, ADMINISTRATOR = "watchfloor@acme.iam.gserviceaccount.com", "watchfloor-admin@example.org"
SCOPE = "https://www.googleapis.com/auth/"
SCOPES = frozenset(
    SCOPE + one for one in ("admin.directory.user", "admin.directory.user.security", "admin.reports.audit.readonly")
)


@cache
def robot_key() -> RSAKey:
    """Made once for a test run: it takes a tenth of a second."""
    return RSAKey.generate_key(2048)


def key_file(**changed: str) -> str:
    """What Google's console gives for a key of a service account."""
    pem = robot_key().as_pem(private=True).decode()
    told = {
        "type": "service_account",
        "project_id": "acme",
        "private_key_id": "0123456789abcdef",
        "private_key": pem,
        "client_email": ROBOT,
        "client_id": "123456789012345678901",
        # Where an attacker who may write the file would like the assertion to go.
        "token_uri": "http://127.0.0.1:1/token",
    }
    return json.dumps(told | changed)


@dataclass
class User:
    id: str
    primaryEmail: str
    suspended: bool = False


class Google(Vendor):
    def __init__(self) -> None:
        super().__init__()
        self.users = [
            User("100000000000000000001", "ann@example.org"),
            User("100000000000000000002", "glass@example.org"),
            User("100000000000000000003", ADMINISTRATOR),
        ]
        self.delegated = SCOPES
        self.roles = True
        """Whether the administrator may do what is asked at all."""
        self.granted: frozenset[str] = frozenset()
        self.tokens = 0
        self.signed_out: list[str] = []
        self.is_slow = False
        """Its audit log is behind."""

    def is_effect(self, request: Request) -> bool:
        return request.method == "PATCH" or request.path.endswith("/signOut")

    def answer(self, request: Request) -> Reply:
        if request.path == "/token":
            return self._token(request)
        if request.headers.get("authorization") != f"Bearer token-{self.tokens}":
            return _error(401, "authError")
        match request.method, request.segments:
            case "GET", ["admin", "directory", "v1", "users", name]:
                return self._scoped("admin.directory.user", "admin.directory.user.readonly") or self._read(
                    request, name
                )
            case "PATCH", ["admin", "directory", "v1", "users", name]:
                return self._scoped("admin.directory.user") or self._patched(request, name)
            case "POST", ["admin", "directory", "v1", "users", name, "signOut"]:
                return self._scoped("admin.directory.user.security") or self._out(request, name)
            case "GET", ["admin", "reports", "v1", "activity", "users", "all", "applications", "admin"]:
                return self._scoped("admin.reports.audit.readonly") or self._audit(request)
            case _:
                return _error(404, "notFound")

    def _token(self, request: Request) -> Reply:
        form = request.form
        assert (request.method, form["grant_type"]) == ("POST", "urn:ietf:params:oauth:grant-type:jwt-bearer")
        try:
            told = jwt.decode(form["assertion"], robot_key(), algorithms=["RS256"])
        except JoseError:
            return Reply(400, {"error": "invalid_grant", "error_description": LEAK})
        claims = told.claims
        assert claims["aud"] == f"{self.url}/token"
        assert claims["exp"] - claims["iat"] == 3600
        assert told.header["kid"] == "0123456789abcdef"
        asked = frozenset(claims["scope"].split(" "))
        if (claims["iss"], claims["sub"]) != (ROBOT, ADMINISTRATOR) or not asked <= self.delegated:
            return Reply(401, {"error": "unauthorized_client", "error_description": LEAK})
        self.tokens += 1
        self.granted = asked
        return Reply(200, {"access_token": f"token-{self.tokens}", "expires_in": 3599, "token_type": "Bearer"})

    def _scoped(self, *any_of: str) -> Reply | None:
        if not self.granted & {SCOPE + one for one in any_of}:
            return _error(403, "insufficientPermissions")
        return None if self.roles else _error(403, "forbidden")

    def _user(self, name: str) -> User | None:
        return next((one for one in self.users if name.lower() in (one.id, one.primaryEmail)), None)

    def _read(self, request: Request, name: str) -> Reply:
        user = self._user(name)
        if user is None:
            return _error(404, "notFound")
        return Reply(200, {field: getattr(user, field) for field in request.query["fields"][0].split(",")})

    def _patched(self, request: Request, name: str) -> Reply:
        user, body = self._user(name), request.json
        if user is None:
            return _error(404, "notFound")
        assert set(body) == {"suspended"}
        user.suspended = body["suspended"]
        return Reply(200, {"kind": "admin#directory#user", "id": user.id, "suspended": user.suspended})

    def _out(self, request: Request, name: str) -> Reply:
        user = self._user(name)
        if user is None:
            return _error(404, "notFound")
        assert request.body == b""
        self.signed_out.append(user.primaryEmail)
        return Reply(204)

    def _audit(self, request: Request) -> Reply:
        assert (request.query["eventName"], request.query["maxResults"]) == (["RESET_SIGNIN_COOKIES"], ["1"])
        name, _, value = request.query["filters"][0].partition("==")
        assert name == "USER_EMAIL"
        shown = [] if self.is_slow else [number for number, one in enumerate(self.signed_out) if one == value]
        told: dict[str, Any] = {"kind": "admin#reports#activities", "etag": "x"}
        if shown:
            when = {"time": f"2026-02-25T06:13:{shown[-1]:02}.000Z", "uniqueQualifier": "-4523746", "customerId": "C0"}
            event = {"type": "USER_SETTINGS", "name": "RESET_SIGNIN_COOKIES", "parameters": []}
            told["items"] = [{"kind": "admin#reports#activity", "id": when, "events": [event]}]
        return Reply(200, told)


def _error(status: int, reason: str) -> Reply:
    told = {"code": status, "message": LEAK, "errors": [{"message": LEAK, "domain": "global", "reason": reason}]}
    return Reply(status, {"error": told})
