"""JSON APIs of vendors, as tools use them: one budget of time for each call of a tool, bounded answers, TLS always
verified, no redirect followed, no proxy out of the environment, and errors that say whether anything can have changed.

::

    api = Api("edr", options, options.api_url, OAuthToken(url, form), denied="give the client the scope hosts:write")
    with api.session() as session:
        found = session.read(Devices, "devices", params={"id": "1"})
        session.change("POST", path_of("devices", found.id, "isolate"), json={"Comment": "wf:…"})
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Final, Protocol, TypeAlias, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import orjson
from pydantic import AfterValidator, BaseModel, Field

from watchfloor_connectors.channels.http import url_fault
from watchfloor_connectors.targets.base import BadTargetError, NotReadyError, ToolOptions
from watchfloor_connectors.targets.files import absolute
from watchfloor_connectors.targets.http_answer import Answer
from watchfloor_connectors.targets.http_credentials import Credentials, Token
from watchfloor_connectors.targets.pace import MINUTE_S, Pace
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_guardrails.effect import NotDoneError

MAX_ANSWER: Final = 1024 * 1024
"""Bytes of one answer."""
RESTRICTING: Final = frozenset({"max_per_minute"})
"""Options of `ApiOptions` that do not make another tool of one, beside those of every tool."""
_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"

FoundT = TypeVar("FoundT")
ModelT = TypeVar("ModelT", bound=BaseModel)
Params: TypeAlias = Mapping[str, str] | list[tuple[str, str]]


class NotThereError(NotFoundError, NotDoneError):
    """There is no such thing at the vendor, and nothing was changed."""


def base_url(text: str) -> str:
    """Where an API is: https, or http to this machine itself. Raises ValueError."""
    fault = url_fault(text)
    if fault is None and urlsplit(text).query:
        fault = "has a query; give the address alone"
    if fault is not None:
        raise ValueError(f"the address {fault}")
    return text.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(base_url)]
"""The type of an option that says where an API is."""


class ApiOptions(ToolOptions):
    """What every kind that speaks to a vendor's API takes."""

    timeout_s: float = Field(default=4.0, gt=0, le=5)
    """For looking, and again for changing: an act takes both."""
    ca: Annotated[str, AfterValidator(absolute)] | None = None
    """A file of certificates in PEM to trust instead of the machine's authorities."""
    max_per_minute: int = Field(default=120, ge=1, le=6000)
    """Requests that this tool sends in a minute at most; what is beyond is not sent."""


class Clock(Protocol):
    """Time, which a test sets."""

    def now_s(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM_CLOCK: Final = SystemClock()


class Api:
    """One API with one set of credentials. Thread-safe."""

    def __init__(
        self,
        tool: str,
        options: ApiOptions,
        base: str,
        credentials: Credentials,
        *,
        denied: str,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """``denied`` tells people what to grant where the API refuses."""
        self.tool, self.options, self.base = tool, options, base
        self.credentials, self.denied, self.clock = credentials, denied, clock
        self._lock = threading.Lock()
        self._pace = Pace(options.max_per_minute, clock.now_s)
        self._tls: ssl.SSLContext | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """The requests of one call of a tool: they share ``timeout_s``, and a connection."""
        with httpx.Client(verify=self._trusted(), follow_redirects=False, trust_env=False) as client:
            yield Session(self, client)

    def count(self) -> None:
        """Raises `NotReadyError` where the minute's requests are used up."""
        if not self._pace.allows():
            raise NotReadyError(f"{self.tool!r} has sent its {self.options.max_per_minute} requests of this minute")

    def _trusted(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                try:
                    self._tls = ssl.create_default_context(cafile=self.options.ca)
                except (OSError, ssl.SSLError) as error:
                    raise NotReadyError(f"the file of 'ca' of {self.tool!r} holds no readable certificates") from error
            return self._tls


class Session:
    """Requests within one budget of time.

    An error is `NotDoneError` too where for certain nothing was changed. Once a change was sent, none is any more.
    """

    def __init__(self, api: Api, client: httpx.Client) -> None:
        self._api, self._client = api, client
        self._ends_s = api.clock.now_s() + api.options.timeout_s
        self._may_have_changed = False

    def now_s(self) -> float:
        return self._api.clock.now_s()

    def left_s(self) -> float:
        return self._ends_s - self.now_s()

    def read(
        self,
        model: type[ModelT],
        path: str,
        *,
        params: Params | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> ModelT:
        """What is answered to a GET, or to a POST where there is ``json``: a question that changes nothing.

        Raises `NotFoundError` for a 404, `UnavailableError` for all else that is no 2xx, or has another form.
        """
        request = self._request("GET" if json is None else "POST", path, params, json, headers)
        try:
            answer = self._answered(request, is_change=False)
            if answer.status == 404:
                raise self._not_there(self._why(answer.status))
            if answer.is_success:
                return answer.parse(model)
        except UnavailableError as error:
            raise self._not_ready(str(error)) from error
        raise self._not_ready(self._why(answer.status))

    def change(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Raises `NotDoneError` where the API refuses (4xx but 408) or there was no connection, and `UnavailableError`
        where it was sent and the outcome is open.
        """
        answer = self._answered(self._request(method, path, params, json, headers), is_change=True)
        if answer.is_refusal and not self._may_have_changed:
            raise NotDoneError(self._why(answer.status))
        if not answer.is_success:
            raise UnavailableError(self._why(answer.status))
        return answer

    def note(self, method: str, path: str, *, params: Params | None = None, json: object = None) -> Answer:
        """As `change`, for what only leaves a note, such as a tag: whatever comes of it, nothing counts as changed.

        Raises `NotReadyError`, or `UnavailableError` once a change was sent.
        """
        try:
            answer = self._answered(self._request(method, path, params, json, None), is_change=False)
        except UnavailableError as error:
            raise self._not_ready(str(error)) from error
        if not answer.is_success:
            raise self._not_ready(self._why(answer.status))
        return answer

    def token(self, url: str, form: Mapping[str, str]) -> Token:
        """See `TokenAsker.token`."""
        body = str(httpx.QueryParams(dict(form))).encode()
        try:
            answer = self._sent(httpx.Request("POST", url, content=body, headers={"Content-Type": _FORM}))
            if answer.is_success:
                return answer.parse(Token)
        except UnavailableError as error:
            raise self._not_ready(f"no token could be got: {error}") from error
        if 300 <= answer.status < 400:
            raise self._not_ready(self._why(answer.status))
        raise self._not_ready(f"{self._api.tool!r} is given no token (status {answer.status}); check its id and secret")

    def until(self, look: Callable[[], FoundT], is_settled: Callable[[FoundT], bool], every_s: float = 0.5) -> FoundT:
        """What ``look`` finds once it is settled, or last within the time."""
        found = look()
        while not is_settled(found) and self.left_s() > 2 * every_s:
            self._api.clock.sleep(every_s)
            if self.left_s() <= 0:
                break
            found = look()
        return found

    def _request(
        self, method: str, path: str, params: Params | None, json: object, headers: Mapping[str, str] | None
    ) -> httpx.Request:
        kind = {} if json is None else {"Content-Type": _JSON}
        return httpx.Request(
            method,
            f"{self._api.base}/{path}",
            params=httpx.QueryParams(dict(params) if isinstance(params, Mapping) else list(params)) if params else None,
            content=None if json is None else orjson.dumps(json),
            headers={**kind, **(headers or {})},
        )

    def _answered(self, request: httpx.Request, *, is_change: bool) -> Answer:
        """An answer of any status; once again after a 401 with a renewed token, and after a 429 as soon as it says."""
        is_renewed = False
        while True:
            request.headers.update(self._api.credentials.headers(self))
            before, self._may_have_changed = self._may_have_changed, self._may_have_changed or is_change
            try:
                answer = self._sent(request)
            except NotReadyError as error:
                # It never went out.
                self._may_have_changed = before
                raise self._not_ready(str(error)) from error
            if answer.is_refusal:
                self._may_have_changed = before
            if answer.status == 401 and not is_renewed and self._api.credentials.forget():
                is_renewed = True
            elif answer.status == 429 and answer.retry_after_s is not None and answer.retry_after_s < self.left_s():
                self._api.clock.sleep(max(answer.retry_after_s, 0.1))
            else:
                return answer

    def _sent(self, request: httpx.Request) -> Answer:
        """Raises `NotReadyError` where it never went out."""
        tool, left = repr(self._api.tool), self.left_s()
        if left <= 0:
            raise NotReadyError(f"{tool} had no time left to ask")
        self._api.count()
        # An answer that unpacks to a thousand times its size is not asked for.
        request.headers.update({"Accept": _JSON, "Accept-Encoding": "identity", "User-Agent": "watchfloor"})
        # They add up: with the whole time for each, a connection that is slow at every turn would outlast it.
        limits = httpx.Timeout(left / 4, read=left * 3 / 4)
        request.extensions["timeout"] = limits.as_dict()
        try:
            response = self._client.send(request, stream=True)
            try:
                return Answer(response.status_code, self._body(response), _seconds(response))
            finally:
                response.close()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotReadyError(f"{tool} cannot be reached ({type(error).__name__})") from error
        except httpx.HTTPError as error:
            raise UnavailableError(f"{tool} gives no answer ({type(error).__name__})") from error

    def _body(self, response: httpx.Response) -> bytes:
        held = bytearray()
        for part in response.iter_raw():
            held += part
            if len(held) > MAX_ANSWER:
                raise UnavailableError(f"the answer of {self._api.tool!r} is longer than {MAX_ANSWER // 1024} KiB")
            if self.left_s() <= 0:
                raise UnavailableError(f"{self._api.tool!r} gives no whole answer in its time")
        return bytes(held)

    def _not_there(self, message: str) -> NotFoundError:
        return NotFoundError(message) if self._may_have_changed else NotThereError(message)

    def _not_ready(self, message: str) -> UnavailableError:
        return UnavailableError(message) if self._may_have_changed else NotReadyError(message)

    def _why(self, status: int) -> str:
        tool = repr(self._api.tool)
        match status:
            case 401 | 403:
                return f"{tool} is refused (status {status}): {self._api.denied}"
            case 404:
                return f"{tool} finds nothing of that name (status 404)"
            case 429:
                return f"{tool} asks too often (status 429); try later"
            case _ if 300 <= status < 400:
                return f"{tool} is led elsewhere (status {status}), and no redirect is followed; mend its address"
            case _:
                return f"{tool} is answered with status {status}"


def path_of(*segments: str) -> str:
    """A path of values, each of which stays one segment. Raises `BadTargetError` for one that is none."""
    if any(one in ("", ".", "..") for one in segments):
        raise BadTargetError("a name that is empty, '.' or '..' is no target of an API")
    return "/".join(quote(one, safe="") for one in segments)


def _seconds(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return min(float(text), MINUTE_S) if text.isascii() and text.isdecimal() else None
