"""Elasticsearch and OpenSearch as a log source: ``_search`` over an index pattern, with an API key or a password.

Records are expected in the Elastic Common Schema, as beats, Elastic Agent and Logstash write them. Source of the wire
format: https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-search.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import orjson
from pydantic import SecretStr

from watchfloor_connectors.logs.elasticsearch_query import held_body, search_body
from watchfloor_connectors.logs.fetching import Fetched, FetchingLogSource, bounded_answer
from watchfloor_core.errors import UnavailableError
from watchfloor_core.logs.query import Select, TimeRange


class ElasticsearchSource(FetchingLogSource):
    """A `LogSource`; never changes an index."""

    def __init__(
        self,
        name: str,
        url: str,
        index: str,
        *,
        authorization: SecretStr,
        timeout_s: float = 30.0,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        """``url``: of the cluster, https unless it is this machine; ``index``: pattern, ``logs-*``; ``authorization``:
        the header's value."""
        super().__init__(name)
        self._path = f"{url.rstrip('/')}/{quote(index, safe='*,-_.')}/_search"
        self._timeout_s = timeout_s
        self._client = httpx.Client(
            headers={"Authorization": authorization.get_secret_value(), "Content-Type": "application/json"},
            timeout=timeout_s,
            verify=verify,
            follow_redirects=False,
            # What the environment says of proxies is not where credentials are to go.
            trust_env=False,
        )

    def fetch(self, query: Select, limit: int) -> Fetched:
        body = search_body(query, limit + 1) | {"timeout": f"{int(self._timeout_s * 1000)}ms"}
        answer = self._asked(body)
        hits = answer.get("hits")
        found = hits.get("hits") if isinstance(hits, Mapping) else None
        if not isinstance(found, list):
            raise UnavailableError("its answer has no hits")
        records = [one["_source"] for one in found if isinstance(one, dict) and isinstance(one.get("_source"), dict)]
        return Fetched(tuple(records[:limit]), len(found) > limit, _problem(answer))

    def held(self) -> TimeRange | None:
        answer = self._asked(held_body())
        aggregations = answer.get("aggregations")
        values = aggregations if isinstance(aggregations, Mapping) else {}
        first, last = (_milliseconds(values.get(name)) for name in ("first", "last"))
        return None if first is None or last is None else TimeRange(first * 1_000, last * 1_000 + 1_000)

    def _asked(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            with self._client.stream("POST", self._path, content=orjson.dumps(body)) as response:
                content = bounded_answer(response)
                status = response.status_code
        except httpx.TimeoutException as error:
            raise UnavailableError(f"no answer within {self._timeout_s:g} s") from error
        except httpx.HTTPError as error:
            # The class alone: its text can hold the address.
            raise UnavailableError(f"it cannot be reached ({type(error).__name__})") from error
        if status != 200:
            raise UnavailableError(_refusal(status))
        try:
            answer = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise UnavailableError("its answer is no JSON") from error
        if not isinstance(answer, dict):
            raise UnavailableError("its answer is no JSON object")
        return answer


def _refusal(status: int) -> str:
    match status:
        case 401 | 403:
            return f"it refuses our credentials (status {status}); check the key and its rights to read the index"
        case 404:
            return "it has no such index"
        case 429:
            return "it is asked too often (status 429)"
        case _:
            return f"it answers with status {status}"


def _problem(answer: Mapping[str, Any]) -> str:
    shards = answer.get("_shards")
    failed = shards.get("failed", 0) if isinstance(shards, Mapping) else 0
    reasons = []
    if isinstance(failed, int) and failed > 0:
        reasons.append(f"{failed} of its shards failed")
    if answer.get("timed_out") is True:
        reasons.append("it gave up half-way, as its time was up")
    return "; ".join(reasons)


def _milliseconds(value: Any) -> int | None:  # Any: JSON of a vendor
    number = value.get("value") if isinstance(value, Mapping) else None
    return int(number) if isinstance(number, (int, float)) else None
