"""A server on this machine that speaks the wire format of OpenAI's chat completions, and does what a test tells it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Heard:
    """One request."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    raw: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Endpoint:
    replies: Sequence[Reply]
    """One for each request; the last is repeated."""
    base_url: str = ""
    heard: list[Heard] = field(default_factory=list)


def completion(
    *,
    tool: str | None = None,
    arguments: object = None,
    text: str | None = None,
    model: str = "tiny-1",
    usage: bool = True,
) -> Reply:
    """A completion that calls a tool or says a text."""
    calls = [{"id": "call_1", "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}]
    message = {"role": "assistant", "content": text, "tool_calls": calls if tool else None}
    used = {
        "prompt_tokens": 1_000,
        "completion_tokens": 200,
        "total_tokens": 1_200,
        "prompt_tokens_details": {"cached_tokens": 400},
    }
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_780_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if tool else "stop"}],
        "usage": used if usage else None,
    }
    return Reply(200, json.dumps(body))


def refusal(status: int, **headers: str) -> Reply:
    body = json.dumps({"error": {"message": f"no: {status}", "type": "server_error", "code": None}})
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


@contextmanager
def serving(*replies: Reply) -> Iterator[Endpoint]:
    endpoint = Endpoint(replies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
            reply = endpoint.replies[min(len(endpoint.heard), len(endpoint.replies) - 1)]
            headers = {name.lower(): value for name, value in self.headers.items()}
            endpoint.heard.append(Heard(self.path, headers, raw, json.loads(raw)))
            payload = reply.body.encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
