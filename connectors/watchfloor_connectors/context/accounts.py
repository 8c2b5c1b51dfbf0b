"""What a directory's entry says of an account, in one vocabulary for Active Directory and for posix directories.

Active Directory: MS-ADA1 to 3 and MS-ADTS 2.2.16 (``userAccountControl``). Posix: RFC 2307 (``shadowAccount``), the
password policy of OpenLDAP (draft-behera-ldap-password-policy) and ``nsAccountLock`` of 389 DS and FreeIPA. Of what an
entry does not say there is no field: an account of which nobody says that it is disabled is not thereby enabled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Final, TypeAlias

from watchfloor_core.clock import MICROSECONDS, from_datetime, to_iso
from watchfloor_core.logs.event import Value

Raw: TypeAlias = Mapping[str, Sequence[bytes]]
"""Attributes by their names in lower case, each with its values as the server sent them."""

MAX_TEXT: Final = 200
"""Characters of one field."""
MAX_NAMED_GROUPS: Final = 50
"""That are told by name; ``account.groups_total`` counts all."""
NEVER: Final = "never"

_DISABLED_BIT: Final = 0x2
"""``ADS_UF_ACCOUNTDISABLE``."""
_FILETIME_EPOCH_US: Final = 11_644_473_600 * MICROSECONDS
"""From 1601, where Windows begins, to 1970."""
_FILETIME_NEVER: Final = (0, 0x7FFF_FFFF_FFFF_FFFF)
_LAST_US: Final = from_datetime(datetime(9999, 12, 31, tzinfo=UTC))
_DAY_US: Final = 86_400 * MICROSECONDS
_LOCKED_FOR_EVER: Final = "000001010000Z"
_PRIMARY_GROUPS: Final = {512: "Domain Admins", 518: "Schema Admins", 519: "Enterprise Admins"}
"""By the end of their SID: an account's primary group is not among those that list it as a member."""
_TIME: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)?(\d\d)?(?:[.,]\d+)?(Z|[+-]\d\d(?:\d\d)?)")


class Layout(StrEnum):
    """Whose attributes a directory has."""

    AD = "ad"
    POSIX = "posix"


USER_ATTRIBUTE: Final = {Layout.AD: "sAMAccountName", Layout.POSIX: "uid"}
ATTRIBUTES: Final = {
    Layout.AD: (
        "userPrincipalName", "displayName", "cn", "department", "title", "manager", "userAccountControl", "whenCreated",
        "pwdLastSet", "accountExpires", "primaryGroupID",
    ),
    Layout.POSIX: (
        "displayName", "cn", "departmentNumber", "ou", "title", "manager", "createTimestamp", "shadowLastChange",
        "shadowExpire", "pwdChangedTime", "pwdAccountLockedTime", "nsAccountLock",
    ),
}  # fmt: skip
"""All that is ever read of an account, beside its name. No password or hash of one is among them."""
PRIVILEGED_GROUPS: Final = {
    Layout.AD: (
        "Administrators", "Domain Admins", "Enterprise Admins", "Schema Admins", "Account Operators",
        "Backup Operators", "Server Operators", "Print Operators", "DnsAdmins",
    ),
    Layout.POSIX: ("wheel", "sudo", "admins"),
}  # fmt: skip
"""Where the operator names none."""


@dataclass(frozen=True, slots=True)
class Group:
    """One that an account is in, directly or through others."""

    dn: str
    name: str


def account_fields(
    layout: Layout, name_attribute: str, dn: str, raw: Raw, groups: Sequence[Group], privileged: Sequence[str]
) -> dict[str, Value]:
    """The fields of one account's fact. ``privileged``: groups by name or DN, in any case."""
    told: dict[str, Value | None] = {
        "account.name": _text(raw, name_attribute),
        "account.dn": _bounded(dn),
        "account.display_name": _text(raw, "displayName", "cn"),
        "account.department": _text(raw, "department", "departmentNumber", "ou"),
        "account.title": _text(raw, "title"),
        "account.manager": _bounded(name_of_dn(_text(raw, "manager", limit=2_000) or "")),
    }
    match layout:
        case Layout.AD:
            told |= _of_active_directory(raw)
            primary = _PRIMARY_GROUPS.get(_number(raw, "primaryGroupID") or 0)
            groups = [*groups, *([Group("", primary)] if primary else ())]
        case Layout.POSIX:
            told |= _of_posix(raw)
    told |= _of_groups(groups, privileged)
    return {name: value for name, value in told.items() if value is not None and value != ""}


def name_of_dn(dn: str) -> str:
    """The value of a DN's first part, for people: of ``CN=Keane\\, Ada,OU=x`` it is ``Keane, Ada``."""
    found = re.match(r"[^=,+]*=((?:\\.|[^\\,+])*)", dn, re.DOTALL)
    if found is None:
        return ""
    parts = re.split(r"((?:\\[0-9a-fA-F]{2})+)", found[1])
    # Every second part is bytes in hexadecimal, which may be one character together.
    hexes = (bytes.fromhex(one.replace("\\", "")).decode("utf-8", "replace") for one in parts[1::2])
    texts = (re.sub(r"\\(.)", r"\1", one, flags=re.DOTALL) for one in parts[::2])
    ordered = [text + (next(hexes, "")) for text in texts]
    return "".join(ordered).strip()


def _of_active_directory(raw: Raw) -> dict[str, Value | None]:
    control, expires = _number(raw, "userAccountControl"), _number(raw, "accountExpires")
    password = _number(raw, "pwdLastSet")
    is_eternal = expires in _FILETIME_NEVER
    return {
        "account.disabled": None if control is None else _said(bool(control & _DISABLED_BIT)),
        "account.created": _iso(_generalized(raw, "whenCreated")),
        # 0: to be changed at the next logon; when it was set is then no longer told.
        "account.password_last_set": NEVER if password == 0 else _iso(_filetime(password)),
        "account.expires": NEVER if is_eternal else _iso(_filetime(expires)),
    }


def _of_posix(raw: Raw) -> dict[str, Value | None]:
    expires, changed = _number(raw, "shadowExpire"), _number(raw, "shadowLastChange")
    lock, locked = _text(raw, "nsAccountLock").lower(), _text(raw, "pwdAccountLockedTime")
    # The first day of 1970 is how `usermod --expiredate 1` and many directories write "disabled".
    is_disabled = locked == _LOCKED_FOR_EVER or lock == "true" or expires in (0, 1)
    is_told = is_disabled or lock == "false" or expires is not None
    return {
        "account.disabled": _said(is_disabled) if is_told else None,
        "account.created": _iso(_generalized(raw, "createTimestamp")),
        "account.password_last_set": (
            _iso(_generalized(raw, "pwdChangedTime")) or (NEVER if changed == 0 else _iso(_days(changed)))
        ),
        "account.expires": NEVER if expires == -1 else _iso(_days(expires)),
    }


def _of_groups(groups: Sequence[Group], privileged: Sequence[str]) -> dict[str, Value | None]:
    wanted = {one.casefold() for one in privileged}
    names = sorted({one.name for one in groups if one.name}, key=lambda one: (one.casefold(), one))
    risky = sorted(
        {one.name for one in groups if one.name.casefold() in wanted or one.dn.casefold() in wanted}, key=str.casefold
    )
    return {
        "account.groups": _joined(names),
        "account.groups_total": len(names) or None,
        "account.privileged_groups": _joined(risky),
    }


def _joined(names: Sequence[str]) -> str:
    # Names of groups hold commas more often than semicolons.
    return "; ".join(one[:MAX_TEXT] for one in names[:MAX_NAMED_GROUPS])


def _text(raw: Raw, *names: str, limit: int = MAX_TEXT) -> str:
    """Of the first that has a value."""
    for name in names:
        values = raw.get(name.lower(), ())
        if values and values[0].strip():
            return values[0].decode("utf-8", "replace").strip()[:limit]
    return ""


def _bounded(text: str) -> str:
    return text[:MAX_TEXT]


def _said(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _number(raw: Raw, name: str) -> int | None:
    text = _text(raw, name)
    return int(text) if re.fullmatch(r"-?[0-9]{1,19}", text) else None


def _iso(us: int | None) -> str | None:
    return to_iso(us) if us is not None and 0 <= us <= _LAST_US else None


def _days(days: int | None) -> int | None:
    return None if days is None else days * _DAY_US


def _filetime(ticks: int | None) -> int | None:
    """From units of 100 ns since 1601."""
    return None if ticks is None else ticks // 10 - _FILETIME_EPOCH_US


def _generalized(raw: Raw, name: str) -> int | None:
    """RFC 4517, 3.3.13, to the second."""
    found = _TIME.fullmatch(_text(raw, name))
    if found is None:
        return None
    *parts, zone = found.groups()
    offset = 0 if zone == "Z" else (int(zone[1:3]) * 60 + int(zone[3:] or 0)) * (-1 if zone[0] == "-" else 1)
    year, month, day, hour, minute, second = (int(one or 0) for one in parts)
    try:
        at = datetime(year, month, day, hour, minute, second, tzinfo=timezone(timedelta(minutes=offset)))
        return from_datetime(at)
    except (ValueError, OverflowError):
        return None
