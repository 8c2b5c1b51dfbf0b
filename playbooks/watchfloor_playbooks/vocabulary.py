"""Names that the standard gives (CACAO v2.0, sections 3 to 10)."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

SPEC_VERSION: Final = "cacao-2.0"

STEP_TYPES: Final = (
    "start",
    "end",
    "action",
    "playbook-action",
    "parallel",
    "if-condition",
    "while-condition",
    "switch-condition",
)
"""A closed enumeration, section 4.2."""
COMMAND_TYPES: Final = frozenset(
    {
        "manual",
        "bash",
        "caldera-cmd",
        "elastic",
        "http-api",
        "jupyter",
        "kestrel",
        "openc2-http",
        "powershell",
        "sigma",
        "ssh",
        "yara",
    }
)
OWN_COMMAND: Final = "watchfloor-action"
"""Beside those of the standard, whose vocabulary is open."""
VARIABLE_TYPES: Final = frozenset(
    {
        "bool",
        "dictionary",
        "float",
        "hexstring",
        "integer",
        "ipv4-addr",
        "ipv6-addr",
        "long",
        "mac-addr",
        "hash",
        "md5-hash",
        "sha256-hash",
        "string",
        "uri",
        "uuid",
    }
)
REGIONS: Final = frozenset(
    [
        "africa",
        "eastern-africa",
        "middle-africa",
        "northern-africa",
        "southern-africa",
        "western-africa",
        "americas",
        "caribbean",
        "central-america",
        "latin-america-caribbean",
        "northern-america",
        "south-america",
        "asia",
        "central-asia",
        "eastern-asia",
        "southern-asia",
        "south-eastern-asia",
        "western-asia",
        "europe",
        "eastern-europe",
        "northern-europe",
        "southern-europe",
        "western-europe",
        "oceania",
        "antarctica",
        "australia-new-zealand",
        "melanesia",
        "micronesia",
        "polynesia",
    ]
)

_UUID: Final = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-5][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
IDENTIFIER: Final = re.compile(rf"([a-z](?:[a-z0-9-]*[a-z0-9])?)--({_UUID})")
"""``object-type--UUID``, section 10.10."""
VARIABLE_NAME: Final = re.compile(r"__[a-zA-Z][a-zA-Z0-9_-]{0,199}?__")
REFERENCE: Final = re.compile(r"(__[a-zA-Z](?:[a-zA-Z0-9_-]{0,199}?)__):value")
"""A variable where it is used, section 10.18."""
BARE_REFERENCE: Final = re.compile(
    r"(?<![a-zA-Z0-9_-])(__[a-zA-Z](?:[a-zA-Z0-9-]|_(?!_)){0,199}__)(?!:value|[a-zA-Z0-9_])"
)
_TIMESTAMP: Final = re.compile(
    r"([0-9]{4}-(?:0[1-9]|1[012])-(?:0[1-9]|[12][0-9]|3[01]))"
    r"T((?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60))(?:\.([0-9]+))?Z"
)


def prefix_of(identifier: str) -> str | None:
    """The object's type in an identifier; None where it is none."""
    found = IDENTIFIER.fullmatch(identifier)
    return None if found is None else found.group(1)


def comparable_time(text: str) -> str | None:
    """A time so that texts compare as times do (to the nanosecond); None where it is none of RFC 3339 with ``Z``."""
    found = _TIMESTAMP.fullmatch(text)
    try:
        day = date.fromisoformat(found.group(1) if found else "")
    except ValueError:
        return None
    return f"{day.isoformat()}T{found.group(2)}.{(found.group(3) or '').ljust(9, '0')[:9]}" if found else None
