"""Receivers for tests: an HTTP server that answers as it is told, and a mail server that speaks SMTP with STARTTLS."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any, Final

import orjson

WAIT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Received:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    """By name in lower case."""
    body: bytes

    @property
    def json(self) -> Any:  # Any: JSON of whatever form the test expects
        return orjson.loads(self.body)


@dataclass(slots=True)
class Given:
    """One answer to give."""

    status: int = 200
    body: bytes = b'{"ok": true}'
    headers: dict[str, str] = field(default_factory=dict)


class HttpReceiver:
    """Takes POSTs and gives the next answer that it was told to, else 200 with Slack's ``{"ok": true}``."""

    def __init__(self, url: str) -> None:
        self.url: Final = url
        self.answers: list[Given] = []
        self._received: SimpleQueue[Received] = SimpleQueue()

    def next(self) -> Received:
        """The oldest request not looked at yet; waits for it."""
        return self._received.get(timeout=WAIT_S)

    @property
    def is_idle(self) -> bool:
        """Nothing came in that was not looked at."""
        return self._received.empty()

    def take(self, request: Received) -> Given:
        answer = self.answers.pop(0) if self.answers else Given()
        self._received.put(request)
        return answer


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    """On loopback, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver.take(Received(self.path, headers, body))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            # A client may hang up on a long answer.
            try:
                self.wfile.write(answer.body)
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = HttpReceiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(slots=True)
class SmtpReceiver:
    """What a mail server has heard."""

    port: int = 0
    tls: ssl.SSLContext | None = None
    """Offers STARTTLS where given."""
    refuse: dict[str, str] = field(default_factory=dict)
    """Answer to give to a command, by its verb."""
    commands: list[str] = field(default_factory=list)
    """As sent, with ``(tls)`` before those that came encrypted."""
    mails: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, as RFC 5321 and 3207 have it."""
        is_encrypted = False
        writer.write(b"220 mail.test ESMTP\r\n")
        while line := await reader.readline():
            command = line.decode("ascii").rstrip("\r\n")
            verb = command.partition(" ")[0].upper()
            self.commands.append(f"(tls) {command}" if is_encrypted else command)
            if verb in self.refuse:
                writer.write(f"{self.refuse[verb]}\r\n".encode())
            elif verb == "EHLO":
                offers = "250-STARTTLS\r\n" if self.tls and not is_encrypted else ""
                writer.write(f"250-mail.test\r\n{offers}250-AUTH PLAIN\r\n250 8BITMIME\r\n".encode())
            elif verb == "STARTTLS" and self.tls:
                writer.write(b"220 go ahead\r\n")
                await writer.drain()
                await writer.start_tls(self.tls)
                is_encrypted = True
            elif verb == "AUTH":
                writer.write(b"235 welcome\r\n")
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
                writer.write(b"250 taken\r\n")
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n")
            await writer.drain()
        writer.close()


@contextmanager
def smtp_receiver(tls: ssl.SSLContext | None = None) -> Iterator[SmtpReceiver]:
    """A mail server on loopback, until the block ends."""
    receiver = SmtpReceiver(tls=tls)
    loop = asyncio.new_event_loop()
    # A client that does not trust us ends the handshake; the test sees that on its own side.
    loop.set_exception_handler(lambda *_: None)
    server = loop.run_until_complete(asyncio.start_server(receiver.serve, "127.0.0.1", 0))
    receiver.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield receiver
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result(WAIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    ours = asyncio.current_task()
    open_connections = [task for task in asyncio.all_tasks() if task is not ours]
    for task in open_connections:
        task.cancel()
    await asyncio.gather(*open_connections, return_exceptions=True)
