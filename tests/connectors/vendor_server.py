"""Vendors' APIs on the loopback: a real HTTP server that a fake of one vendor answers for, and what can go wrong there.

A fake gives the paths, methods, scopes, bodies and status codes that its vendor documents; it says where. What can go
wrong on the way is the same for all, and stands in `FAULTS`: `check_fault` holds a tool to what it must then say.
"""

from __future__ import annotations

import json
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from watchfloor_connectors.targets.base import ToolOptions
from watchfloor_connectors.targets.testing import PermitFor
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.action import Action
from watchfloor_guardrails.effect import ActionTarget, Effect, NotDoneError

SECRET = "s3cr3t~vendor"
LEAK = "attacker-wrote-this"
"""Stands in every refusal of a fake: no message of a tool may repeat what a vendor says."""


FAST = 8.0
OptionsT = TypeVar("OptionsT", bound=ToolOptions)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """As it was sent, without the query."""
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def segments(self) -> list[str]:
        return [unquote(one) for one in self.path.strip("/").split("/")]

    @property
    def json(self) -> Any:
        assert self.headers["content-type"].partition(";")[0] == "application/json"
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        assert self.headers["content-type"] == "application/x-www-form-urlencoded"
        return {name: values[0] for name, values in parse_qs(self.body.decode(), strict_parsing=True).items()}


@dataclass(frozen=True)
class Reply:
    status: int
    content: Any = None
    """JSON; bytes go as they are."""
    headers: Mapping[str, str] = field(default_factory=dict)


class Vendor(ABC):
    """What answers. Everything that it is asked is kept in ``asked``."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.fault: Callable[[Request], Reply | None] | None = None
        """Answers instead, where it does not give None."""
        self.is_lossy = False
        """Does what changes something, and then hangs up without an answer."""
        self.url = ""

    @abstractmethod
    def answer(self, request: Request) -> Reply: ...

    @abstractmethod
    def is_effect(self, request: Request) -> bool:
        """Whether it asks for what a tool is there for; not for a token, a look or a note."""

    def refusal(self, status: int) -> Reply:
        """An error as the vendor words it; several vendors' words in one, for those who only look at the status."""
        return Reply(status, {"errors": [{"code": 1, "message": LEAK}], "error": {"code": LEAK, "message": LEAK}})

    @property
    def effects(self) -> int:
        return sum(map(self.is_effect, self.asked))


@contextmanager
def served(vendor: Vendor, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one piece: in two, the second waits for the other side to have acknowledged the first.
        wbufsize = 64 * 1024

        def handle_one_request(self) -> None:
            # A tool may hang up first: after an answer that is too long, for one.
            with suppress(ConnectionError, ssl.SSLError):
                super().handle_one_request()

        def respond(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = parse_qs(parts.query, strict_parsing=True, keep_blank_values=True) if parts.query else {}
            request = Request(self.command, parts.path, query, headers, body)
            vendor.asked.append(request)
            reply = None if vendor.fault is None else vendor.fault(request)
            if reply is None:
                reply = vendor.answer(request)
                if vendor.is_lossy and vendor.is_effect(request):
                    self.close_connection = True
                    return
            content = reply.content if isinstance(reply.content, bytes) else json.dumps(reply.content).encode()
            content = b"" if reply.status == 204 or reply.content is None else content
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            if reply.status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = respond

        def log_message(self, *_: object) -> None:
            """Nothing: a test's output is its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        # The handshake belongs to the connection's own thread: one that fails must not end the server.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    vendor.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
    try:
        yield vendor.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class TestClock:
    """Stands still but for sleep, which takes no time, and lasts for ``speed`` times as long as was asked for."""

    __test__ = False

    def __init__(self, speed: float = 1.0) -> None:
        self.slept: list[float] = []
        self._speed = speed
        self._now_s = 1_000.0

    def now_s(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now_s += self._speed * seconds


def patient(options: OptionsT) -> OptionsT:
    """With more time, and more requests, than a tool may have: how fast a test's machine is decides nothing.

    A clock of the speed `FAST` lets a tool look as often as it does in its own time.
    """
    more: dict[str, object] = {"timeout_s": 30.0}
    if "max_per_minute" in type(options).model_fields:
        more["max_per_minute"] = 1_000_000
    return options.model_copy(update=more)


def secret_file(folder: Path, text: str = SECRET) -> str:
    """A reference to a secret, as ``targets.yaml`` has it."""
    file = folder / "secret"
    file.write_text(f"{text}\n")
    file.chmod(0o600)
    return f"file:{file}"


FAULTS = (
    "no connection", "redirect", "wrong credentials", "missing scope", "refusal", "too often", "too often for long",
    "server error", "lost answer", "garbage", "oversized",
)  # fmt: skip
"""Of the request for the effect, but for the last two, which befall every answer."""


def check_fault(
    fault: str, vendor: Vendor, tool: ActionTarget, action: Action, permit_for: PermitFor, key: str
) -> None:
    """A tool says for certain that nothing was done where that is so, and nowhere else; it repeats no vendor's word."""
    permit = permit_for(action, key)
    statuses = {"wrong credentials": 401, "missing scope": 403, "refusal": 400, "server error": 503}
    replies = {name: vendor.refusal(status) for name, status in statuses.items()} | {
        "redirect": Reply(302, {}, {"Location": vendor.url}),
        "too often for long": Reply(429, vendor.refusal(429).content, {"Retry-After": "3600"}),
    }
    begun = len(vendor.asked)
    match fault:
        case "no connection":
            # Nobody listens there; the fake's own port would be another test's a moment later.
            api = vars(tool)["_api"]
            api.base = "http://127.0.0.1:1"
            with pytest.raises(NotDoneError) as found:
                tool.act(permit)
        case "too often":
            answered = iter([Reply(429, vendor.refusal(429).content, {"Retry-After": "1"})])
            vendor.fault = lambda request: next(answered, None) if vendor.is_effect(request) else None
            tool.act(permit)
            assert tool.read_back(action, key).effect is Effect.APPLIED
            return
        case "lost answer":
            vendor.is_lossy = True
            with pytest.raises(UnavailableError) as lost:
                tool.act(permit)
            assert not isinstance(lost.value, NotDoneError)
            assert sum(map(vendor.is_effect, vendor.asked[begun:])) == 1
            vendor.is_lossy = False
            assert tool.read_back(action, key).effect is Effect.APPLIED
            return
        case "garbage" | "oversized":
            body = b"<html>busy</html>" if fault == "garbage" else b'{"value":"' + b"x" * 2_000_000 + b'"}'
            vendor.fault = lambda request: Reply(200, body)
            with pytest.raises(NotDoneError) as found:
                tool.act(permit)
            with pytest.raises(UnavailableError):
                tool.read_state(action.target)
        case "redirect" | "server error":
            vendor.fault = lambda request: replies[fault] if vendor.is_effect(request) else None
            with pytest.raises(UnavailableError) as open_:
                tool.act(permit)
            assert not isinstance(open_.value, NotDoneError)
            assert LEAK not in str(open_.value)
            vendor.fault = None
            assert tool.read_back(action, key).effect is not Effect.APPLIED
            return
        case _:
            vendor.fault = lambda request: replies[fault] if vendor.is_effect(request) else None
            with pytest.raises(NotDoneError) as found:
                tool.act(permit)
    assert not any(text in str(found.value) for text in (LEAK, SECRET))
    if fault != "no connection":
        vendor.fault = None
        assert tool.read_back(action, key).effect is not Effect.APPLIED
