"""A real HTTP server for tests, on the loopback: it keeps what it is sent and answers what a test says."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path

from cryptography import x509

from tests.connectors.directory_server import Certificates, make_certificates


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    """As it came: path and query."""
    headers: list[tuple[str, str]]
    content: bytes

    def header(self, name: str) -> list[str]:
        return [text for found, text in self.headers if found.lower() == name.lower()]


@dataclass
class Server:
    port: int = 0
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    status: int = 200
    content: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: Callable[[Request, BufferedIOBase], None] | None = None
    """Writes an answer of its own to the connection."""
    reply: Callable[[Request], bytes] | None = None
    """Makes the content out of the request."""
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


@contextmanager
def serving(certificates: Certificates | None = None) -> Iterator[Server]:
    server = Server(scheme="http" if certificates is None else "https")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, list(self.headers.items()), content)
            server.requests.append(request)
            self.close_connection = True
            if server.answer is not None:
                server.answer(request, self.wfile)
                return
            content = server.content if server.reply is None else server.reply(request)
            self.send_response(server.status)
            for name, text in {"Content-Length": str(len(content)), **server.headers}.items():
                self.send_header(name, text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that goes away in the middle is what some tests are about."""

    http = Quiet(("127.0.0.1", 0), Handler)
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
        http.socket = context.wrap_socket(http.socket, server_side=True)
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        http.shutdown()
        thread.join()
        http.server_close()


def certificates_for(folder: Path, name: str) -> Certificates:
    return make_certificates(folder, x509.DNSName(name))
