"""What a detection rule no longer reports: the target of ``create filter``, as one canonical text.

A filter is narrow by form. It is for one rule, on one host, and for one thing more that a sensor has written itself:
the account that acts, the address that it came from, or the hashes of the file. It names fields of the log with whole
values, compared as Sigma compares, without regard to the case of ASCII letters. There are no wildcards, nothing in it
is text of an attacker's choice, and everything that it names has to be so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from watchfloor_core.canonical import canonical
from watchfloor_core.untrusted import escape_untrusted

MAX_FILTER: Final = 1_500
"""Characters of the text."""
MAX_VALUE: Final = 400
HOST_FIELDS: Final = ("Computer", "ComputerName", "host.name", "Hostname")
"""One of them is named."""
ACCOUNT_FIELDS: Final = ("SubjectUserName", "User")
ADDRESS_FIELDS: Final = ("SourceIp", "IpAddress", "source.ip")
HASH_FIELDS: Final = ("Hashes", "Hash")
OTHER_FIELDS: Final = (*ACCOUNT_FIELDS, *ADDRESS_FIELDS, *HASH_FIELDS)
"""At least one of them is named. Who is acted on is none: that may be what somebody typed."""
_LOG_SOURCE: Final = ("category", "product", "service")
_FIELDS: Final = frozenset({"rule", "log_source", "event"})
_RULE: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9_.-]{0,251}[a-z0-9])?")
_HASHES: Final = re.compile(r"[a-z0-9]+=[0-9a-f]{32,128}(,[a-z0-9]+=[0-9a-f]{32,128})*|[0-9a-f]{32,128}")
# An account's name may hold blanks and nearly anything, but nothing of which patterns are made: no wildcard, and no
# backslash that Sigma would take for an escape.
_WORD: Final = r"[^\s*?\\](?:[^*?\\]{0,126}[^\s*?\\])?"
_ACCOUNT: Final = re.compile(rf"{_WORD}(?:\\{_WORD})?")
_UPPER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def folded(value: str) -> str:
    """As Sigma and SQL compare: ASCII letters in lower case, all others as they are."""
    return value.translate(_UPPER)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFilter:
    """Events of one rule that are set aside. Raises ValueError, whose text names the field, for what none may hold."""

    rule: str
    """The Sigma rule's UUID, in lower case."""
    log_source: tuple[tuple[str, str], ...]
    """The rule's, e.g. ``(("category", "process_creation"), ("product", "windows"))``, by name."""
    event: tuple[tuple[str, str], ...]
    """Fields with their values, `folded`, by name."""

    def __post_init__(self) -> None:
        _require(self.rule, _RULE, "rule", "the UUID of a Sigma rule, lower case")
        if not self.log_source or tuple(sorted(dict(self.log_source).items())) != self.log_source:
            raise ValueError("log_source names product, category or service, each once and in order")
        for name, value in self.log_source:
            if name not in _LOG_SOURCE:
                raise ValueError(f"log_source has {name[:40]!r}; a rule's has {', '.join(_LOG_SOURCE)}")
            _require(value, _NAME, f"log_source.{name}", "a name such as process_creation")
        if tuple(sorted(dict(self.event).items())) != self.event:
            raise ValueError("event names fields, each once and in order")
        for name, value in self.event:
            _require_value(name, value)
        if sum(name in HOST_FIELDS for name, _ in self.event) != 1:
            raise ValueError(f"a filter names one host, in one of {', '.join(HOST_FIELDS)}")
        if all(name in HOST_FIELDS for name, _ in self.event):
            raise ValueError(f"a filter names at least one of {', '.join(OTHER_FIELDS)} beside the host")

    @property
    def host(self) -> str:
        return next(value for name, value in self.event if name in HOST_FIELDS)

    @property
    def text(self) -> str:
        """RFC 8785 JSON; equal filters have equal texts."""
        return canonical({"rule": self.rule, "log_source": dict(self.log_source), "event": dict(self.event)}).decode()

    def sets_aside(self, event: Mapping[str, object]) -> bool:
        """Whether an event of the rule, by the names of its log, is what the filter names."""
        return all(event.get(name) is not None and folded(str(event[name])) == value for name, value in self.event)


def parse_filter(text: str) -> RuleFilter:
    """The filter of a text. Raises ValueError for what is not exactly the text of one."""
    if len(text) > MAX_FILTER:
        raise ValueError(f"a filter has at most {MAX_FILTER:,} characters")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("a filter is a JSON object with rule, log_source and event") from None
    if not isinstance(given, dict) or given.keys() != _FIELDS:
        raise ValueError("a filter has rule, log_source and event")
    source, event = given["log_source"], given["event"]
    if not isinstance(source, dict) or not isinstance(event, dict):
        raise ValueError("log_source and event are objects, with names and texts")
    if not all(isinstance(one, str) for one in (given["rule"], *source.values(), *event.values())):
        raise ValueError("every value of a filter is a text")
    made = RuleFilter(rule=given["rule"], log_source=tuple(sorted(source.items())), event=tuple(sorted(event.items())))
    if made.text != text:
        raise ValueError("the filter is not in its canonical form (RFC 8785): names in order, no blanks between them")
    return made


def _require_value(name: str, value: str) -> None:
    if len(value) > MAX_VALUE or folded(value) != value or escape_untrusted(value) != value:
        raise ValueError(f"{name[:40]} is too long, in upper case, or holds what cannot be seen")
    if name in HOST_FIELDS:
        _require(value, _HOST, name, "one host's name, without wildcards")
    elif name in ACCOUNT_FIELDS:
        _require(value, _ACCOUNT, name, "one account's name, without wildcards")
    elif name in HASH_FIELDS:
        _require(value, _HASHES, name, "hashes such as md5=…,sha256=…")
    elif name in ADDRESS_FIELDS:
        # A scope (``%eth0``) may hold anything.
        if "%" in value or str(ip_address(value)) != value:
            raise ValueError(f"{name} is {value[:60]!r}; one address as RFC 5952 spells it was expected")
    else:
        raise ValueError(f"a filter does not name {name[:40]!r}; it names {', '.join((*HOST_FIELDS, *OTHER_FIELDS))}")


def _require(value: str, form: re.Pattern[str], name: str, expected: str) -> None:
    if not form.fullmatch(value):
        raise ValueError(f"{name} is {value[:60]!r}; {expected} was expected")
