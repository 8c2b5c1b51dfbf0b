"""Splunk as a log source: a search by the REST API's export, with a token.

Source of the wire format: https://docs.splunk.com/Documentation/Splunk/latest/RESTREF/RESTsearch.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import orjson
from pydantic import SecretStr

from watchfloor_connectors.logs.fetching import Fetched, FetchingLogSource, bounded_answer
from watchfloor_connectors.logs.spl import bounds, held_spl, select_spl
from watchfloor_connectors.logs.splunk_rows import record_of
from watchfloor_core.errors import UnavailableError
from watchfloor_core.logs.query import Select, TimeRange


class SplunkSource(FetchingLogSource):
    """A `LogSource`; the token's role needs to search the indexes and nothing else."""

    def __init__(
        self,
        name: str,
        url: str,
        indexes: Sequence[str],
        *,
        token: SecretStr,
        timeout_s: float = 60.0,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        """``url``: of the management port; ``indexes``: names, of lower-case letters, digits, ``_`` and ``-``."""
        super().__init__(name)
        self._url = f"{url.rstrip('/')}/services/search/v2/jobs/export"
        self._indexes = tuple(indexes)
        self._timeout_s = timeout_s
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {token.get_secret_value()}"},
            timeout=timeout_s,
            verify=verify,
            follow_redirects=False,
            # What the environment says of proxies is not where credentials are to go.
            trust_env=False,
        )

    def fetch(self, query: Select, limit: int) -> Fetched:
        earliest, latest = bounds(query.range)
        rows, problem = self._asked(
            select_spl(query, self._indexes, limit + 1), earliest_time=earliest, latest_time=latest
        )
        return Fetched(tuple(record_of(one) for one in rows[:limit]), len(rows) > limit, problem)

    def held(self) -> TimeRange | None:
        rows, _ = self._asked(held_spl(self._indexes), earliest_time="0", latest_time="now")
        try:
            times = [(float(one["first"]), float(one["last"])) for one in rows if one.get("first") and one.get("last")]
        except (TypeError, ValueError) as error:
            raise UnavailableError("its answer has no readable times") from error
        if not times:
            return None
        first, last = min(one for one, _ in times), max(one for _, one in times)
        return TimeRange(int(first * 1_000_000), int(last * 1_000_000) + 1_000_000)

    def _asked(self, search: str, **more: str) -> tuple[list[Mapping[str, Any]], str]:
        """The results, and what the search says against them."""
        form = {
            "search": search,
            "output_mode": "json",
            "preview": "false",
            "max_time": str(int(self._timeout_s)),
            **more,
        }
        try:
            with self._client.stream("POST", self._url, data=form) as response:
                status, content = response.status_code, bounded_answer(response)
        except httpx.TimeoutException as error:
            raise UnavailableError(f"no answer within {self._timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise UnavailableError(f"it cannot be reached ({type(error).__name__})") from error
        if status != 200:
            raise UnavailableError(_refusal(status))
        return _results(content)


def _results(content: bytes) -> tuple[list[Mapping[str, Any]], str]:
    """One JSON object a line; ``messages`` tell of what went wrong."""
    rows: list[Mapping[str, Any]] = []
    problem = ""
    for line in content.splitlines():
        if not line.strip():
            continue
        try:
            one = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise UnavailableError("its answer is no JSON") from error
        if not isinstance(one, dict):
            raise UnavailableError("its answer is no JSON object")
        for message in one.get("messages") or ():
            kind = str(message.get("type", "")) if isinstance(message, dict) else ""
            if kind == "FATAL":
                raise UnavailableError("the search failed")
            if kind in ("ERROR", "WARN"):
                problem = f"the search was told of as {kind.lower()}: it may lack a part"
        if isinstance(one.get("result"), dict):
            rows.append(one["result"])
    return rows, problem


def _refusal(status: int) -> str:
    match status:
        case 401 | 403:
            return f"it refuses the token (status {status}); check it and the role's right to search the indexes"
        case 400:
            return "it does not take the search (status 400)"
        case 429 | 503:
            return f"it is asked too often (status {status})"
        case _:
            return f"it answers with status {status}"
