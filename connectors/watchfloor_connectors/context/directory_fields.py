"""What a directory's entry says of an account, from its raw attributes.

Active Directory: ``userAccountControl`` (MS-ADTS 2.2.16), ``pwdLastSet`` and ``accountExpires`` (100 ns since 1601).
Elsewhere: the shadow attributes of RFC 2307 (days since 1970), and ``pwdAccountLockedTime`` of the draft on password
policies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from watchfloor_core.clock import MICROSECONDS, to_iso
from watchfloor_core.logs.event import Value

GROUP_ATTRIBUTE: Final = "memberOf"
ATTRIBUTES: Final = (
    "uid",
    "sAMAccountName",
    "userPrincipalName",
    "mail",
    "cn",
    "displayName",
    "title",
    "department",
    "departmentNumber",
    "manager",
    GROUP_ATTRIBUTE,
    "whenCreated",
    "createTimestamp",
    "userAccountControl",
    "pwdLastSet",
    "accountExpires",
    "adminCount",
    "shadowLastChange",
    "shadowExpire",
    "pwdAccountLockedTime",
    "loginShell",
)
"""All that is read."""
MAX_GROUPS: Final = 30
"""That are named."""
MAX_TEXT: Final = 200
"""Characters of a value."""
_DISABLED: Final = 0x2
_DAY_US: Final = 86_400 * MICROSECONDS
# 100 ns steps between 1601 and 1970.
_FILETIME_EPOCH: Final = 116_444_736_000_000_000
_NEVER: Final = (0, 0x7FFFFFFFFFFFFFFF)
_TIME: Final = re.compile(r"(\d{14})(?:[.,]\d+)?Z")
_NO_SHELL: Final = ("nologin", "false")

Attributes = Mapping[str, Sequence[bytes]]
"""By their names in lower case."""


def first_text(attributes: Attributes, *names: str) -> str:
    """The first value of the first of these attributes that there is; empty where there is none."""
    for name in names:
        for value in attributes.get(name.lower(), ()):
            text = value.decode("utf-8", "replace").strip()
            if text:
                return text[:MAX_TEXT]
    return ""


def account_fields(
    dn: str, attributes: Attributes, *, layout: str, groups: Sequence[str], privileged: frozenset[str]
) -> dict[str, Value]:
    """The fields of a fact; what the directory does not say is absent.

    ``privileged``: names of groups, in lower case.
    """
    high = [one for one in groups if one.lower() in privileged]
    if layout == "ad" and first_text(attributes, "adminCount") == "1":
        # Set by the directory itself on members of its protected groups, nested ones too.
        high.append("adminCount")
    given: dict[str, Value] = {
        "account.dn": dn[: 2 * MAX_TEXT],
        "account.state": _state(attributes, layout),
        "account.name": first_text(attributes, "displayName", "cn"),
        "account.title": first_text(attributes, "title"),
        "account.department": first_text(attributes, "department", "departmentNumber"),
        "account.manager": first_text(attributes, "manager"),
        "account.mail": first_text(attributes, "mail"),
        "account.created": _generalised(first_text(attributes, "whenCreated", "createTimestamp")),
        "account.password_set": _password_set(attributes, layout),
        "account.expires": _expires(attributes, layout),
        "account.groups": ", ".join(one[:MAX_TEXT] for one in groups[:MAX_GROUPS]),
        "account.group_count": len(groups),
        "account.privileged_groups": ", ".join(one[:MAX_TEXT] for one in high[:MAX_GROUPS]),
    }
    return {name: value for name, value in given.items() if value != ""}


def _state(attributes: Attributes, layout: str) -> str:
    """``enabled`` or ``disabled``; empty where the directory does not say."""
    if layout == "ad":
        control = _number(attributes, "userAccountControl")
        return "" if control is None else "disabled" if control & _DISABLED else "enabled"
    if first_text(attributes, "pwdAccountLockedTime") or _number(attributes, "shadowExpire") in (0, 1):
        # 1: how accounts are shut by usermod -e 1.
        return "disabled"
    shell = first_text(attributes, "loginShell").rpartition("/")[2]
    return "disabled" if shell in _NO_SHELL else "enabled"


def _password_set(attributes: Attributes, layout: str) -> str:
    if layout == "ad":
        return _filetime(_number(attributes, "pwdLastSet"))
    return _days(_number(attributes, "shadowLastChange"))


def _expires(attributes: Attributes, layout: str) -> str:
    if layout == "ad":
        return _filetime(_number(attributes, "accountExpires"))
    return _days(_number(attributes, "shadowExpire"))


def _number(attributes: Attributes, name: str) -> int | None:
    try:
        return int(first_text(attributes, name))
    except ValueError:
        return None


def _filetime(value: int | None) -> str:
    if value is None or value in _NEVER:
        return ""
    return _iso((value - _FILETIME_EPOCH) // 10)


def _days(value: int | None) -> str:
    return "" if value is None or value <= 0 else _iso(value * _DAY_US)


def _generalised(text: str) -> str:
    """Of a GeneralizedTime in UTC (RFC 4517)."""
    match = _TIME.fullmatch(text)
    if match is None:
        return ""
    try:
        moment = datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return ""
    return _iso(int(moment.timestamp()) * MICROSECONDS)


def _iso(us: int) -> str:
    try:
        return to_iso(us)
    except (ValueError, OverflowError, OSError):
        return ""
