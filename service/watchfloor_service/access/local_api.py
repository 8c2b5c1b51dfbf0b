"""The API of the stack that runs on this machine, as the command line calls it: with the operator's token."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from watchfloor_core.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    WatchfloorError,
)
from watchfloor_core.ports import Json
from watchfloor_core.settings import Settings
from watchfloor_core.store.address import shown
from watchfloor_core.store.engine import Store
from watchfloor_core.untrusted import escape_untrusted, quote_untrusted
from watchfloor_service.access.operator_token import operator_token
from watchfloor_service.supervision.running import find_running

USER_AGENT: Final = "watchfloor-cli"
TIMEOUT_S: Final = 60.0
MAX_ANSWER: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class LocalApi:
    """Speaks to ``http://host:port`` directly, never through a proxy."""

    url: str
    token: str

    def get(self, path: str) -> dict[str, Json]:
        """What the API answers. Its refusals come as the error that they stand for, with its own words."""
        return self._ask("GET", path, None, {})

    def post(self, path: str, body: dict[str, Json]) -> dict[str, Json]:
        """The same for a request that changes something, which is sent once."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid4().hex}
        return self._ask("POST", path, json.dumps(body), headers)

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> dict[str, Json]:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_S)
        try:
            common = {"Authorization": f"Bearer {self.token}", "User-Agent": USER_AGENT}
            connection.request(method, path, body, {**common, **headers})
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(
                f"the API at {self.url} does not answer ({error}); is `watchfloor up` running?"
            ) from error
        finally:
            connection.close()
        return _understood(response.status, answer)


def local_api(settings: Settings, store: Store, *, token: str | None = None) -> LocalApi:
    """The API of the stack in the settings' data directory; without a ``token`` of their own, as the operator.

    Raises `UnavailableError` where none runs.
    """
    stack = find_running(settings.data_dir)
    if stack is None:
        raise UnavailableError(
            f"no Watchfloor runs in {str(settings.data_dir)!r}, and decisions go through its API; "
            "start it with `watchfloor up`"
        )
    if stack.api_url is None:
        raise UnavailableError(
            f"`watchfloor {stack.command}` holds {str(settings.data_dir)!r} and has no API; "
            "when it has ended, start `watchfloor up`"
        )
    if stack.store != shown(store.address):
        raise ConfigurationError(
            f"the stack that runs in {str(settings.data_dir)!r} works on {stack.store}, this command on "
            f"{shown(store.address)}; give both the same WATCHFLOOR_DATABASE_URL"
        )
    return LocalApi(stack.api_url, token or operator_token(store, settings.data_dir, settings.tenant))


def _understood(status: int, answer: bytes) -> dict[str, Json]:
    try:
        content = json.loads(answer)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UnavailableError(f"the API answered {status} and no JSON; is something else on its port?")
    if 200 <= status < 300:
        return content
    raise _error(status, str(content.get("detail", "")) or str(content.get("title", "")), content)


def _error(status: int, detail: str, content: dict[str, Json]) -> WatchfloorError:
    match status:
        case 404:
            return NotFoundError(detail)
        case 409 if content.get("type") == "urn:watchfloor:problem:conflict":
            return ConflictError(detail)
        case 409:
            return RefusedError(detail)
        case 403:
            return RefusedError(detail)
        case 429 | 500 | 503:
            return UnavailableError(detail)
        case _:
            return ConfigurationError(f"the API refuses the call ({status}): {detail}{_field_errors(content)}")


def _field_errors(content: dict[str, Json]) -> str:
    """The fields that are wrong, a line each."""
    errors = content.get("errors")
    if not isinstance(errors, list):
        return ""
    return "".join(f"\n  {_field_error(error)}" for error in errors)


def _field_error(error: Json) -> str:
    if isinstance(error, dict) and {"path", "message"} <= error.keys():
        return f"{escape_untrusted(str(error['path'])[:100])}: {escape_untrusted(str(error['message'])[:300])}"
    return quote_untrusted(json.dumps(error), 200)
