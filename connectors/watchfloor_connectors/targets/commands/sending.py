"""One request and one bounded answer, at one address, in one budget of time, with the tool's own credentials."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import httpcore
from pydantic import AfterValidator, Field, field_validator

from watchfloor_connectors.targets.addresses import network_of
from watchfloor_connectors.targets.base import NotReadyError, ToolOptions
from watchfloor_connectors.targets.blocklist import NetworkTexts
from watchfloor_connectors.targets.commands.endpoint import looked_up, origin, place_of
from watchfloor_connectors.targets.commands.results import KEEP_DAYS, Outcome, text_of
from watchfloor_connectors.targets.files import absolute
from watchfloor_connectors.targets.secret import SecretReference, read_secret
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.effect import MAX_OUTPUT
from watchfloor_playbooks.template_http import HEADER_NAME

MAX_ANSWER: Final = 64 * 1024
"""Bytes that are kept of an answer."""
RESTRICTING: Final = frozenset({"networks", "keep_days"})

_RESERVED: Final = frozenset({
    "host", "content-length", "transfer-encoding", "te", "trailer", "connection", "keep-alive", "upgrade", "expect",
    "proxy-authorization", "proxy-connection", "authorization", "cookie", "idempotency-key", "accept-encoding",
    "forwarded", "x-forwarded-for", "x-forwarded-host", "x-http-method-override",
})  # fmt: skip
"""Headers that frame a request, say who sends it or lead it elsewhere: they are not a playbook's."""


def _header_name(text: str) -> str:
    if not HEADER_NAME.fullmatch(text) or text.lower() in _RESERVED:
        raise ValueError(f"{text!r} is no name of a header that may hold a key")
    return text


class SendingOptions(ToolOptions):
    """What the kinds ``http_api`` and ``openc2_http`` take."""

    timeout_s: float = Field(default=5.0, gt=0, le=8)
    """For the whole: looking the name up, connecting, asking, reading."""
    base_urls: Annotated[tuple[Annotated[str, AfterValidator(origin)], ...], Field(min_length=1)]
    """Where requests may go: ``https://host[:port]``, or http to this machine itself."""
    networks: NetworkTexts = ()
    """Inner networks in which the places of ``base_urls`` may be. Without it none may, by whatever name."""
    auth: Literal["none", "basic", "bearer", "header"] = "none"
    """How the request says who sends it."""
    username: Annotated[str, Field(pattern=r"^[^:\x00-\x1f\x7f]{0,256}$")] = ""
    """Of ``basic``."""
    secret: SecretReference | None = None
    """The password, token or key."""
    header: Annotated[str, AfterValidator(_header_name)] = "X-Api-Key"
    """Of ``header``: where the key stands."""
    ca: Annotated[str, AfterValidator(absolute)] | None = None
    """A file of certificates in PEM to trust instead of the machine's authorities."""
    keep_days: int = Field(default=KEEP_DAYS, ge=1, le=3_650)
    """So long are the records of what was sent kept."""
    never: tuple[Annotated[str, AfterValidator(origin)], ...] = ()
    """Places of ``base_urls`` to which nothing is sent."""

    @field_validator("base_urls")
    @classmethod
    def _differ(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(texts))


def auth_faults(options: SendingOptions) -> Iterable[str]:
    """What is wrong with the options together."""
    if (options.auth == "none") != (options.secret is None):
        yield "'auth' and 'secret' belong together: give both, or neither"
    if options.auth == "basic" and not options.username:
        yield "'auth: basic' needs 'username'"
    if options.auth != "none" and len(options.base_urls) > 1:
        yield "credentials go to one place: give one of 'base_urls', and a tool of its own to each other"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    is_cut: bool
    """The answer is longer, or did not end in time."""

    @property
    def text(self) -> str:
        return text_of(self.body)[:MAX_OUTPUT]


def is_reserved(header: str) -> bool:
    return header.lower() in _RESERVED


def send(
    options: SendingOptions, where: str, method: str, path: str, headers: Mapping[str, str], content: bytes, key: str
) -> Answer:
    """Ask ``where``, an `origin`, without a redirect.

    Raises `NotReadyError` or `NeverError` where nothing was sent, `UnavailableError` where it was and nothing answers.
    """
    ends_s = time.monotonic() + options.timeout_s
    scheme, host, port = place_of(where)
    ours = {**_credentials(options), "Idempotency-Key": f"wf:{key}", "Accept-Encoding": "identity"}
    trusted = _trusted(options) if scheme == "https" else None
    inside = tuple(map(network_of, options.networks))
    address = looked_up(host, port, inside, min(3.0, options.timeout_s))
    taken = {name.lower() for name in ours}
    everything = {**{name: text for name, text in headers.items() if name.lower() not in taken}, **ours}
    lines = [(name.encode(), text.encode("ascii")) for name, text in everything.items()]
    if content or method in ("POST", "PUT", "PATCH"):
        lines.append((b"Content-Length", str(len(content)).encode()))
    url = httpcore.URL(scheme=scheme, host=host, port=port, target=path.encode("ascii"))
    with httpcore.ConnectionPool(ssl_context=trusted, network_backend=_Pinned(address, ends_s), retries=0) as pool:
        try:
            with pool.stream(method, url, headers=[(b"Host", _host(where)), *lines], content=content or None) as answer:
                body, is_cut = _body(answer.iter_stream())
                return Answer(answer.status, body, is_cut)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise NotReadyError(f"{where} cannot be reached, so nothing was sent: {_why(error)}") from error
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise UnavailableError(f"{where} was asked and gives no answer ({type(error).__name__})") from error


def outcome_of(answer: Answer, where: str) -> Outcome:
    """What the status says (RFC 9110, section 15) of whether it was done."""
    cut = "; the answer is cut" if answer.is_cut or len(answer.body) > MAX_OUTPUT else ""
    said = f"{where} answered with status {answer.status}{cut}"
    if 200 <= answer.status < 300:
        return Outcome(effect="applied", text=said, output=answer.text)
    if 400 <= answer.status < 500 and answer.status != 408:
        return Outcome(effect="not_applied", text=f"{said}: it refuses", output=answer.text)
    more = ", a redirect, and none is followed" if 300 <= answer.status < 400 else ""
    return Outcome(effect="unknown", text=f"{said}{more}; whether it did anything is not known", output=answer.text)


def _credentials(options: SendingOptions) -> dict[str, str]:
    if options.secret is None:
        return {}
    secret = read_secret(options.secret).get_secret_value()
    if not secret or not secret.isascii() or not secret.isprintable():
        raise NotReadyError("the secret is empty or has characters that no header can hold")
    match options.auth:
        case "basic":
            return {"Authorization": f"Basic {base64.b64encode(f'{options.username}:{secret}'.encode()).decode()}"}
        case "bearer":
            return {"Authorization": f"Bearer {secret}"}
        case "header":
            return {options.header: secret}
        case "none":
            return {}


def _trusted(options: SendingOptions) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=options.ca)
    except (OSError, ssl.SSLError) as error:
        raise NotReadyError(f"the file {options.ca!r} of 'ca' holds no readable certificates") from error


def _host(where: str) -> bytes:
    return where.partition("://")[2].encode()


def _why(error: Exception) -> str:
    """In our words: what a certificate says of itself may be anybody's."""
    reason = error.__context__ or error.__cause__ or error
    return (
        "its certificate is not trusted" if isinstance(reason, ssl.SSLCertVerificationError) else type(error).__name__
    )


def _body(parts: Iterable[bytes]) -> tuple[bytes, bool]:
    """What comes of the body within the time and up to the limit: the status was read, so the outcome is known."""
    kept = bytearray()
    try:
        for part in parts:
            kept += part
            if len(kept) > MAX_ANSWER:
                return bytes(kept[:MAX_ANSWER]), True
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError):
        return bytes(kept), True
    return bytes(kept), False


class _Pinned(httpcore.NetworkBackend):
    """Connects to one address, whatever the name; and every wait on it ends by the same moment."""

    def __init__(self, address: str, ends_s: float) -> None:
        self._address, self._ends_s = address, ends_s
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the name serves for TLS and the Host header only
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the moment holds for all
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,  # Any: the library's own type is no public name
    ) -> httpcore.NetworkStream:
        left = _left(self._ends_s, httpcore.ConnectTimeout)
        stream = self._backend.connect_tcp(self._address, port, left, local_address, socket_options)
        return _Timed(stream, self._ends_s)


class _Timed(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, ends_s: float) -> None:
        self._stream, self._ends_s = stream, ends_s

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - as above
        return self._stream.read(max_bytes, _left(self._ends_s, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - as above
        self._stream.write(buffer, _left(self._ends_s, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - as above
    ) -> httpcore.NetworkStream:
        left = _left(self._ends_s, httpcore.ConnectTimeout)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left), self._ends_s)

    def get_extra_info(self, info: str) -> Any:  # Any: as the library has it
        return self._stream.get_extra_info(info)


def _left(ends_s: float, late: type[httpcore.TimeoutException]) -> float:
    left = ends_s - time.monotonic()
    if left <= 0:
        raise late("the time is used up")
    return left
