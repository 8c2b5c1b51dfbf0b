"""Mail: tells, by SMTP with STARTTLS, and hears nothing. A mail's sender proves nobody, so no reply decides."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import TYPE_CHECKING

from watchfloor_connectors.channels.http import TIMEOUT_S, is_loopback
from watchfloor_connectors.channels.settings import MailSettings
from watchfloor_connectors.channels.text import notice_text
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.notice import ApprovalNotice

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


class InDoubtError(UnavailableError):
    """The mail went out, and the server did not say whether it took it."""


class _Server(smtplib.SMTP):
    """Remembers how far it came."""

    def __init__(self, timeout_s: float, *, is_strict: bool) -> None:
        super().__init__(local_hostname="watchfloor", timeout=timeout_s)
        self._is_strict = is_strict
        self.has_begun = False
        """The text of the mail may have gone out."""
        self.taken: str | None = None
        """What the server said when it took the mail."""
        self.is_late = False
        """It was stopped at its time limit."""

    def name_checked(self, host: str) -> None:
        self._host = host

    def rcpt(self, recip: str, options: Sequence[str] = ()) -> tuple[int, bytes]:
        code, said = super().rcpt(recip, options)
        if self._is_strict and code not in (250, 251):
            # What ends the conversation here ends it before the text.
            raise smtplib.SMTPRecipientsRefused({recip: (code, said)})
        return code, said

    def data(self, msg: Buffer | str) -> tuple[int, bytes]:
        self.has_begun = True
        code, said = super().data(msg)
        if code == 250:
            self.taken = said.decode("utf-8", "replace")
        return code, said


@contextmanager
def _stopped_after(server: _Server, limit_s: float | None) -> Iterator[None]:
    """A server that sends a byte now and then is never late for a socket."""

    def stop() -> None:
        server.is_late = True
        if server.sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(server.sock, socket.SHUT_RDWR)

    if limit_s is None:
        yield
        return
    timer = threading.Timer(limit_s, stop)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


class MailChannel:
    """Some addresses behind one mail server."""

    def __init__(self, settings: MailSettings, public_url: str) -> None:
        self.name = settings.name
        self._settings = settings
        self._public_url = public_url
        try:
            self._tls = ssl.create_default_context(cafile=settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"channel {settings.name!r}: ca_file {settings.ca_file!r} holds no certificates in PEM ({error})"
            ) from error

    def notify(self, notice: ApprovalNotice) -> None:
        """Send one mail to all recipients. Encrypted, but to a server on this machine that offers no STARTTLS."""
        self.send(message(notice, self._settings, self._public_url))

    def send(self, mail: EmailMessage, *, limit_s: float | None = None, all_or_none: bool = False) -> str:
        """Hand a mail over; gives the words with which the server took it, mostly with its queue id.

        ``limit_s`` bounds the whole conversation. ``all_or_none``: where a recipient is refused, nobody gets it. Raises
        `InDoubtError` where the text went out and no answer came, `ConfigurationError` and `UnavailableError` where the
        server did not take it.
        """
        settings = self._settings
        server = _Server(TIMEOUT_S if limit_s is None else limit_s, is_strict=all_or_none)
        try:
            with _stopped_after(server, limit_s), server:
                code, said = server.connect(settings.host, settings.port)
                if code != 220:
                    raise smtplib.SMTPConnectError(code, said)
                server.ehlo_or_helo_if_needed()
                if server.has_extn("starttls"):
                    # The name that the certificate is checked for; the library notes it only where it connects at once.
                    server.name_checked(settings.host)
                    server.starttls(context=self._tls)
                    server.ehlo_or_helo_if_needed()
                elif not is_loopback(settings.host) or settings.password is not None:
                    raise ConfigurationError(
                        f"channel {self.name!r}: {settings.host} offers no STARTTLS, and notices and passwords do not "
                        "travel in the clear; use a port that does, mostly 587"
                    )
                if settings.username is not None and settings.password is not None:
                    server.login(settings.username, settings.password.get_secret_value())
                refused = server.send_message(mail, settings.sender, list(settings.recipients))
        except (smtplib.SMTPAuthenticationError, ssl.SSLCertVerificationError) as error:
            raise ConfigurationError(
                f"channel {self.name!r}: {type(error).__name__} of {settings.host}; check user name, password and "
                "ca_file"
            ) from error
        except smtplib.SMTPRecipientsRefused as error:
            raise self._refusal(code for code, _ in error.recipients.values()) from error
        except (OSError, smtplib.SMTPException) as error:
            if server.taken is not None:
                # What went wrong was the leave-taking.
                return server.taken
            # What was heard when the time was up may be a part of an answer.
            if isinstance(error, smtplib.SMTPResponseException) and not server.is_late:
                raise self._refusal([error.smtp_code]) from error
            told = f"channel {self.name!r}: no mail sent ({type(error).__name__})"
            if server.has_begun:
                raise InDoubtError(f"{told}, or sent and not acknowledged") from error
            raise UnavailableError(told) from error
        if refused:
            raise ConfigurationError(f"channel {self.name!r}: {len(refused)} of its recipients were refused")
        return server.taken or ""

    def _refusal(self, codes: Iterable[int]) -> ConfigurationError | UnavailableError:
        """RFC 5321: 4xx may be tried again, 5xx not. The server's own words are not repeated."""
        given = sorted(set(codes))
        said = f"channel {self.name!r}: {self._settings.host} answers {', '.join(map(str, given))}"
        if any(400 <= code < 500 for code in given):
            return UnavailableError(said)
        return ConfigurationError(f"{said}; check sender and recipients")


def message(notice: ApprovalNotice, settings: MailSettings, public_url: str) -> EmailMessage:
    """The mail, in plain text. Subject and headers hold nothing foreign."""
    said = notice_text(notice, public_url)
    message_id = make_msgid("watchfloor", settings.sender.rpartition("@")[2])
    lines = [f"{label}: {value}" for label, value in said.facts]
    closing = [
        "",
        f"Look at it: {said.review_url}",
        f"or run: {said.review_command}",
        "",
        "A decision takes your signature there. Opening the address decides nothing, and replies are not read.",
    ]
    content = "\n".join([said.headline, "", *lines, *closing]) + "\n"
    return plain_mail(settings, f"{said.headline}: {notice.proposal_id}", content, message_id)


def plain_mail(settings: MailSettings, subject: str, content: str, message_id: str) -> EmailMessage:
    """A mail of plain text; ``subject`` holds nothing foreign."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.recipients)
    mail["Subject"] = f"[Watchfloor] {subject}"
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = message_id
    # Vacation programs do not answer it (RFC 3834).
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(content)
    return mail
