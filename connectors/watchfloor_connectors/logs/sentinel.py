"""Microsoft Sentinel as a log source: a Log Analytics workspace, asked in KQL with an application's own credentials.

Source of the wire format: https://learn.microsoft.com/azure/azure-monitor/logs/api/overview, and of the token's
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import httpx
import orjson
from pydantic import SecretStr

from watchfloor_connectors.logs.fetching import Fetched, FetchingLogSource, bounded_answer
from watchfloor_connectors.logs.kql import held_kql, select_kql
from watchfloor_connectors.logs.sentinel_rows import record_of
from watchfloor_connectors.times import parse_iso
from watchfloor_core.errors import RecordError, UnavailableError
from watchfloor_core.logs.query import Select, TimeRange

API: Final = "https://api.loganalytics.azure.com"
LOGIN: Final = "https://login.microsoftonline.com"
SCOPE: Final = "https://api.loganalytics.io/.default"
_EARLY_S: Final = 120.0
"""A token is renewed so long before it ends."""


class SentinelSource(FetchingLogSource):
    """A `LogSource`; the application needs the role *Log Analytics Reader* and nothing else."""

    def __init__(
        self,
        name: str,
        workspace: str,
        *,
        directory: str,
        application: str,
        secret: SecretStr,
        timeout_s: float = 60.0,
        api_url: str = API,
        login_url: str = LOGIN,
    ) -> None:
        """``workspace``, ``directory`` (the Entra tenant) and ``application`` are ids."""
        super().__init__(name)
        self._query_url = f"{api_url.rstrip('/')}/v1/workspaces/{quote(workspace, safe='')}/query"
        self._token_url = f"{login_url.rstrip('/')}/{quote(directory, safe='')}/oauth2/v2.0/token"
        self._application = application
        self._secret = secret
        self._timeout_s = timeout_s
        # What the environment says of proxies is not where credentials are to go.
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=False, trust_env=False)
        self._token = SecretStr("")
        self._ends_s = float("-inf")
        self._token_lock = threading.Lock()

    def fetch(self, query: Select, limit: int) -> Fetched:
        answer = self._asked(select_kql(query, limit + 1))
        rows = [record_of(one) for one in _rows(answer)]
        return Fetched(tuple(rows[:limit]), len(rows) > limit, _problem(answer))

    def held(self) -> TimeRange | None:
        for row in _rows(self._asked(held_kql())):
            first, last = row.get("First"), row.get("Last")
            if isinstance(first, str) and isinstance(last, str):
                try:
                    return TimeRange(parse_iso(first)[0], parse_iso(last)[0] + 1)
                except (RecordError, ValueError) as error:
                    raise UnavailableError("its answer has no readable times") from error
        return None

    def _asked(self, kql: str) -> Mapping[str, Any]:
        headers = {
            "Authorization": f"Bearer {self._bearer()}",
            "Content-Type": "application/json",
            "Prefer": f"wait={int(self._timeout_s)}",
        }
        status, content = self._sent(self._query_url, headers, orjson.dumps({"query": kql}))
        if status == 401:
            # Taken back before its time: the next question asks for a new one.
            self._ends_s = float("-inf")
        if status not in (200, 206):
            raise UnavailableError(_refusal(status))
        return _object(content)

    def _bearer(self) -> str:
        with self._token_lock:
            if time.monotonic() > self._ends_s - _EARLY_S:
                self._renew()
            return self._token.get_secret_value()

    def _renew(self) -> None:
        form = httpx.QueryParams(
            {
                "grant_type": "client_credentials",
                "client_id": self._application,
                "client_secret": self._secret.get_secret_value(),
                "scope": SCOPE,
            }
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        status, content = self._sent(self._token_url, headers, str(form).encode())
        if status != 200:
            raise UnavailableError(f"no token is given to the application (status {status}); check its id and secret")
        answer = _object(content)
        token, lifetime = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not isinstance(lifetime, (int, float)):
            raise UnavailableError("the answer to the request for a token holds none")
        self._token, self._ends_s = SecretStr(token), time.monotonic() + float(lifetime)

    def _sent(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        try:
            with self._client.stream("POST", url, headers=dict(headers), content=body) as response:
                return response.status_code, bounded_answer(response)
        except httpx.TimeoutException as error:
            raise UnavailableError(f"no answer within {self._timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise UnavailableError(f"it cannot be reached ({type(error).__name__})") from error


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UnavailableError("its answer is no JSON") from error
    if not isinstance(answer, dict):
        raise UnavailableError("its answer is no JSON object")
    return answer


def _rows(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    tables = answer.get("tables")
    if not isinstance(tables, list) or not tables or not isinstance(tables[0], dict):
        raise UnavailableError("its answer has no table")
    columns, rows = tables[0].get("columns"), tables[0].get("rows")
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise UnavailableError("its answer has no table")
    names = [str(one.get("name", "")) if isinstance(one, dict) else "" for one in columns]
    return [dict(zip(names, row, strict=False)) for row in rows if isinstance(row, list)]


def _problem(answer: Mapping[str, Any]) -> str:
    """An ``error`` beside the tables: what is there is a part."""
    error = answer.get("error")
    if not isinstance(error, Mapping):
        return ""
    code = str(error.get("code", ""))
    return f"it gave a part of the answer ({code if code.isalnum() else 'error'})"


def _refusal(status: int) -> str:
    match status:
        case 401 | 403:
            return f"it refuses the application (status {status}); give it the role Log Analytics Reader"
        case 404:
            return "there is no such workspace"
        case 429:
            return "it is asked too often (status 429)"
        case 504:
            return "its own time was up (status 504)"
        case _:
            return f"it answers with status {status}"
