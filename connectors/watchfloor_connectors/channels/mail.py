"""Mail: tells, by SMTP with STARTTLS, and hears nothing. A mail's sender proves nobody, so no reply decides."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

from watchfloor_connectors.channels.http import TIMEOUT_S, is_loopback
from watchfloor_connectors.channels.settings import MailSettings
from watchfloor_connectors.channels.text import notice_text
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.notice import ApprovalNotice


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
        mail, settings = message(notice, self._settings, self._public_url), self._settings
        try:
            with smtplib.SMTP(settings.host, settings.port, local_hostname="watchfloor", timeout=TIMEOUT_S) as server:
                server.ehlo_or_helo_if_needed()
                if server.has_extn("starttls"):
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
        except smtplib.SMTPResponseException as error:
            raise self._refusal([error.smtp_code]) from error
        except (OSError, smtplib.SMTPException) as error:
            raise UnavailableError(f"channel {self.name!r}: no mail sent ({type(error).__name__})") from error
        if refused:
            raise ConfigurationError(f"channel {self.name!r}: {len(refused)} of its recipients were refused")

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
    mail = EmailMessage(policy=SMTP)
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.recipients)
    mail["Subject"] = f"[Watchfloor] {said.headline}: {notice.proposal_id}"
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = make_msgid("watchfloor", settings.sender.rpartition("@")[2])
    # Vacation programs do not answer it (RFC 3834).
    mail["Auto-Submitted"] = "auto-generated"
    lines = [f"{label}: {value}" for label, value in said.facts]
    closing = [
        "",
        f"Look at it: {said.review_url}",
        f"or run: {said.review_command}",
        "",
        "A decision takes your signature there. Opening the address decides nothing, and replies are not read.",
    ]
    mail.set_content("\n".join([said.headline, "", *lines, *closing]) + "\n")
    return mail
