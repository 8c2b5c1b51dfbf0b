"""What a detection rule no longer reports: the target of ``create filter``, as one canonical text.

A filter is narrow by form. It is for one rule, on one host, and for one thing more that a sensor has written itself:
the account that acts, the address that it came from, or the hash of the file. Nothing in it is text of an attacker's
choice, there are no wildcards, and everything that it names has to be so.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.untrusted import escape_untrusted

MAX_FILTER: Final = 1_000
"""Characters of the text."""
CONDITIONS: Final = ("address", "file_hash", "user")
"""What may be named beside the host; at least one of them is."""
_OTHERS: Final = ", ".join(CONDITIONS)
_LOG_SOURCE: Final = ("category", "product", "service")
_FIELDS: Final = frozenset({"rule", "log_source", "host", *CONDITIONS})
_RULE: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9_.-]{0,251}[a-z0-9])?")
_HASH: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}")
# An account's name may hold blanks and nearly anything, but nothing of which patterns are made.
_WORD: Final = r"[^\s*?\\](?:[^*?\\]{0,126}[^\s*?\\])?"
_USER: Final = re.compile(rf"{_WORD}(?:\\{_WORD})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFilter:
    """Events of one rule that are set aside. Values as alerts spell them: lower case, addresses by RFC 5952.

    Raises ValueError, whose text names the field, for what no filter may hold.
    """

    rule: str
    """The Sigma rule's UUID."""
    log_source: tuple[tuple[str, str], ...]
    """The rule's, e.g. ``(("category", "process_creation"), ("product", "windows"))``, by name."""
    host: str
    user: str | None = None
    """Who acts."""
    address: str | None = None
    """Where it came from."""
    file_hash: str | None = None
    """MD5, SHA-1 or SHA-256, as the sensor gives it."""

    def __post_init__(self) -> None:
        _require(self.rule, _RULE, "rule", "the UUID of a Sigma rule, lower case")
        if not self.log_source or tuple(sorted(dict(self.log_source).items())) != self.log_source:
            raise ValueError("log_source names product, category or service, each once and in order")
        for name, value in self.log_source:
            if name not in _LOG_SOURCE:
                raise ValueError(f"log_source has {name!r}; a rule's has {', '.join(_LOG_SOURCE)}")
            _require(value, _NAME, f"log_source.{name}", "a name such as process_creation")
        _require(self.host, _HOST, "host", "one host's name, lower case, without wildcards")
        if self.user is not None:
            _require(self.user, _USER, "user", "one account's name, without wildcards")
            if escape_untrusted(self.user) != self.user or self.user != self.user.lower():
                raise ValueError("user is in lower case and holds only what can be seen")
        if self.file_hash is not None:
            _require(self.file_hash, _HASH, "file_hash", "an MD5, SHA-1 or SHA-256 in lower case")
        if self.address is not None and str(ip_address(self.address)) != self.address:
            raise ValueError(f"address is {self.address[:60]!r}; one address as RFC 5952 spells it was expected")
        if all(getattr(self, name) is None for name in CONDITIONS):
            raise ValueError(f"a filter names at least one of {_OTHERS} beside the host")

    @property
    def text(self) -> str:
        """RFC 8785 JSON; equal filters have equal texts."""
        given: dict[str, JsonValue] = {
            "rule": self.rule,
            "log_source": dict(self.log_source),
            "host": self.host,
            **{name: value for name in CONDITIONS if (value := getattr(self, name)) is not None},
        }
        return canonical(given).decode()


def parse_filter(text: str) -> RuleFilter:
    """The filter of a text. Raises ValueError for what is not exactly the text of one."""
    if len(text) > MAX_FILTER:
        raise ValueError(f"a filter has at most {MAX_FILTER:,} characters")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(
            "a filter is a JSON object with rule, log_source, host and what else an event must have"
        ) from None
    if not isinstance(given, dict) or not given.keys() <= _FIELDS or not {"rule", "log_source", "host"} <= given.keys():
        raise ValueError(f"a filter has rule, log_source, host and at least one of {_OTHERS}")
    source = given["log_source"]
    if not isinstance(source, dict) or not all(isinstance(one, str) for one in (*source.values(), *_texts(given))):
        raise ValueError("every value of a filter is a text")
    made = RuleFilter(
        rule=given["rule"],
        log_source=tuple(sorted(source.items())),
        host=given["host"],
        **{name: given[name] for name in CONDITIONS if name in given},
    )
    if made.text != text:
        raise ValueError("the filter is not in its canonical form (RFC 8785): names in order, no blanks between them")
    return made


def _texts(given: dict[str, object]) -> list[object]:
    return [value for name, value in given.items() if name != "log_source"]


def _require(value: str, form: re.Pattern[str], name: str, expected: str) -> None:
    if not form.fullmatch(value):
        raise ValueError(f"{name} is {value[:60]!r}; {expected} was expected")
