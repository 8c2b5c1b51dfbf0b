"""What Microsoft's APIs have in common: tokens of Entra ID, and errors.

Tokens: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow. Errors:
https://learn.microsoft.com/graph/errors, the same envelope at Defender for Endpoint.
"""

from __future__ import annotations

from abc import abstractmethod

from tests.connectors.vendor_server import LEAK, SECRET, Reply, Request, Vendor

DIRECTORY, APPLICATION = ("0" * 8 + "-0000-4000-8000-" + "0" * 11 + one for one in "12")


class Microsoft(Vendor):
    resource: str

    def __init__(self, permissions: frozenset[str]) -> None:
        super().__init__()
        self.permissions = permissions
        """Application permissions that were consented to."""
        self.tokens = 0

    @abstractmethod
    def authorised(self, request: Request) -> Reply: ...

    def answer(self, request: Request) -> Reply:
        if request.path == f"/{DIRECTORY}/oauth2/v2.0/token":
            return self._token(request)
        if request.headers.get("authorization") != f"Bearer token-{self.tokens}":
            return error(401, "InvalidAuthenticationToken")
        return self.authorised(request)

    def allowed(self, *any_of: str) -> Reply | None:
        return None if self.permissions & set(any_of) else error(403, "Authorization_RequestDenied")

    def _token(self, request: Request) -> Reply:
        assert request.method == "POST"
        form = request.form
        assert (form["grant_type"], form["scope"]) == ("client_credentials", f"{self.resource}/.default")
        if (form["client_id"], form["client_secret"]) != (APPLICATION, SECRET):
            return Reply(401, {"error": "invalid_client", "error_description": f"AADSTS7000215 {LEAK}"})
        self.tokens += 1
        return Reply(200, {"token_type": "Bearer", "expires_in": 3599, "access_token": f"token-{self.tokens}"})


def error(status: int, code: str) -> Reply:
    return Reply(status, {"error": {"code": code, "message": LEAK, "innerError": {"request-id": "0", "date": "x"}}})
