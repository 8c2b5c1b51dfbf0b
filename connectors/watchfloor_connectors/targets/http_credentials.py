"""What shows a vendor's API who asks: a secret in a header, or a token that a token endpoint gives for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from pydantic import BaseModel, Field, SecretStr

from watchfloor_connectors.targets.secret import read_secret

_EARLY_S: Final = 60.0
"""A token is renewed so long before it ends."""


class Token(BaseModel):
    """RFC 6749 section 5.1, as far as it is used."""

    access_token: SecretStr = Field(min_length=1, max_length=32_768)
    expires_in: float = Field(gt=0, le=10**7)


class TokenAsker(Protocol):
    """A running session of requests, as far as credentials need it."""

    def now_s(self) -> float: ...

    def token(self, url: str, form: Mapping[str, str]) -> Token:
        """What a form is answered with. Raises `NotReadyError`, or `UnavailableError` once a change was sent."""
        ...


class Credentials(Protocol):
    def headers(self, session: TokenAsker) -> Mapping[str, str]:
        """Raises `NotReadyError` or `UnavailableError` where there are none."""
        ...

    def forget(self) -> bool:
        """After a 401: whether asking anew gives others."""
        ...


class SecretHeader:
    """A header with a secret, read anew for each request: it may be renewed."""

    def __init__(self, secret: str, *, name: str = "Authorization", before: str = "Bearer ") -> None:
        self._secret, self._name, self._before = secret, name, before

    def headers(self, session: TokenAsker) -> Mapping[str, str]:  # noqa: ARG002 - it needs no request
        return {self._name: f"{self._before}{read_secret(self._secret).get_secret_value()}"}

    def forget(self) -> bool:
        return False


class OAuthToken:
    """A bearer token of an OAuth 2.0 token endpoint (RFC 6749 sections 4.4 and 5), kept until shortly before its end.

    ``form`` gives what is sent, with secrets that are read then: a client's credentials, or an assertion (RFC 7523).
    """

    def __init__(self, url: str, form: Callable[[], Mapping[str, str]]) -> None:
        self._url, self._form = url, form
        self._lock = threading.Lock()
        self._token = SecretStr("")
        self._ends_s = float("-inf")

    def headers(self, session: TokenAsker) -> Mapping[str, str]:
        with self._lock:
            if session.now_s() > self._ends_s - _EARLY_S:
                token = session.token(self._url, self._form())
                self._token, self._ends_s = token.access_token, session.now_s() + token.expires_in
            return {"Authorization": f"Bearer {self._token.get_secret_value()}"}

    def forget(self) -> bool:
        with self._lock:
            self._ends_s = float("-inf")
        return True
