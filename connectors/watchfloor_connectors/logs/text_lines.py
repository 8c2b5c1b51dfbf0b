"""Lines of syslog: RFC 5424, RFC 3164 as machines really write it, and with ISO times in its place."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from watchfloor_connectors.logs.raw_event import LogKind, RawEvent
from watchfloor_connectors.times import Moment, parse_format, parse_iso
from watchfloor_core.errors import RecordError

_TAG: Final = r"(?P<program>[A-Za-z0-9_./@-]{1,64})(?:\[(?P<pid>\d{1,10})\])?"
_BSD: Final = re.compile(
    r"(?:<(?P<priority>\d{1,3})>)?"
    r"(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[0-9:.,]{8,20}(?:Z|[+-]\d\d:?\d\d)?)"
    rf" (?P<host>[A-Za-z0-9_.:-]{{1,255}}) {_TAG}: ?(?P<message>.*)",
    re.ASCII,
)
_RFC5424: Final = re.compile(
    r"<(?P<priority>\d{1,3})>1 (?P<time>\S{1,40}) (?P<host>\S{1,255}) (?P<program>\S{1,48}) (?P<pid>\S{1,128}) "
    r"(?P<msgid>\S{1,32}) (?P<data>-|(?:\[(?:[^\]\"]|\"(?:[^\"\\]|\\.)*\")*\])+)(?: \ufeff?(?P<message>.*))?",
    re.ASCII,
)
_AUTH: Final = frozenset({"sshd", "sudo", "su", "login", "systemd-logind", "useradd", "usermod", "passwd", "groupadd"})
_SERVICES: Final = {"sshd": "sshd", "sudo": "sudo", "CRON": "cron", "crond": "cron", "cron": "cron", "auditd": "auditd"}


def syslog_event(line: str, position: int) -> RawEvent | None:
    """None for what is no such line. RFC 3164 gives no year: the latest that is not in the future is taken."""
    match = _RFC5424.fullmatch(line) or _BSD.fullmatch(line)
    if match is None:
        return None
    try:
        time_us, precision = _time(match["time"])
    except RecordError:
        return None
    program = match["program"].rpartition("/")[2]
    original: dict[str, str | int] = {"program": program, "message": match["message"] or ""}
    data = match.groupdict().get("data")
    if data not in (None, "-"):
        original["structured_data"] = str(data)
    pid = match["pid"]
    if pid is not None and pid.isdecimal():
        original["pid"] = int(pid)
    if match["priority"] is not None:
        original["priority"] = int(match["priority"])
    host = match["host"]
    original |= {"host": host, "time": match["time"]}
    service = _SERVICES.get(program, "auth" if program in _AUTH else "syslog")
    return RawEvent(LogKind("linux", service), time_us, precision, host, original, position)


def _time(text: str) -> Moment:
    if text[:1].isdigit():
        return parse_iso(text, UTC)
    now = datetime.now(UTC)
    # The year stands first: without it, 29 February is no date.
    time_us, precision = parse_format(f"{now.year} {text}", "%Y %b %d %H:%M:%S", UTC)
    if time_us > (now + timedelta(days=1)).timestamp() * 1_000_000:
        return parse_format(f"{now.year - 1} {text}", "%Y %b %d %H:%M:%S", UTC)
    return time_us, precision
