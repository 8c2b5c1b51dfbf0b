"""ServiceNow's CMDB as an inventory: what its Table API answers, and its list exports.

The Table API (``/api/now/table/cmdb_ci…``) gives ``{"result": [record, …]}``. A field is a text; a reference is
``{"value": sys_id, "link": …}``, or ``display_value`` instead of ``value``, and with ``sysparm_display_value=all``
every field is ``{"value", "display_value"}``. A list export as JSON has ``records`` instead of ``result``, one as CSV
has the fields' names as columns.

Criticality 1 to 4 (``business_criticality``, as ``1 - most critical`` to ``4 - not critical``) is tier 0 to 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from watchfloor_core.errors import RecordError

Entry = Mapping[str, Any]  # a record whose values are looked at one by one

RESULTS: Final = ("result", "records")
_CRITICALITY: Final = ("business_criticality", "busines_criticality")
"""The second is how the field is spelled in many installations."""
_GROUPS: Final = ("support_group", "environment", "u_environment", "category", "assignment_group")
_RETIRED: Final = {
    "install_status": frozenset({"7", "retired", "8", "stolen", "100", "absent"}),
    "operational_status": frozenset({"6", "retired"}),
}
_HOST_CLASSES: Final = (
    "server",
    "computer",
    "workstation",
    "laptop",
    "hardware",
    "netgear",
    "router",
    "switch",
    "firewall",
    "ip_",
    "vm_",
    "esx",
    "printer",
    "storage",
    "lb_",
)
"""Parts of the names of classes that stand for something with a name on the network."""
_USER_CLASSES: Final = ("sys_user",)
_FIELDS: Final = frozenset({"sys_id", "sys_class_name", "name", "ip_address", "fqdn"})


def is_servicenow(names: Sequence[str]) -> bool:
    """Whether records with these fields are ServiceNow's."""
    return "sys_class_name" in names or len(_FIELDS.intersection(names)) >= 3 or _is_user(names)


def records_of(value: object) -> list[Any] | None:
    """The records of an answer of the Table API or of an export; None for anything else."""
    if isinstance(value, dict):
        for key in RESULTS:
            found = value.get(key)
            if isinstance(found, list) and all(isinstance(one, dict) for one in found):
                return found if not found or is_servicenow(list(found[0])) else None
    return None


def asset_of(record: Entry) -> Entry | None:
    """The record as an asset of the inventory's own form; None for what is retired, or no host and no user.

    Raises `RecordError` for a criticality that is none.
    """
    if any(_text(record, name).lower() in gone for name, gone in _RETIRED.items()):
        return None
    groups = [text for name in _GROUPS if (text := _text(record, name))]
    tier = _tier(record)
    if _is_user(list(record)):
        if _text(record, "active").lower() in ("false", "0"):
            return None
        department = _text(record, "department")
        return _asset(tier, [*groups, *([department] if department else [])], user=[_text(record, "user_name")])
    if not _is_host(record):
        return None
    addresses = [one for one in _text(record, "ip_address").replace(",", " ").split() if one]
    names = [one for one in (_text(record, "name"), _text(record, "fqdn"), _text(record, "host_name")) if one]
    return _asset(tier, groups, host=[one for one in names if _is_name(one)], ip=addresses)


def _asset(tier: int | None, groups: list[str], **values: list[str]) -> Entry | None:
    named = {name: found for name, given in values.items() if (found := [one for one in given if one])}
    if not named:
        return None
    return {**named, "groups": list(dict.fromkeys(groups)), **({} if tier is None else {"tier": str(tier)})}


def _is_user(names: Sequence[str]) -> bool:
    return "user_name" in names


def _is_host(record: Entry) -> bool:
    """By its class; where that is not given, by what it has."""
    name = _text(record, "sys_class_name").lower().replace(" ", "_")
    if not name:
        return bool(_text(record, "ip_address") or _text(record, "fqdn"))
    return any(part in f"{name}_" for part in _HOST_CLASSES)


def _is_name(text: str) -> bool:
    """A name on the network, not a title: ``Mail server of the branch`` is none."""
    return not any(character.isspace() for character in text)


def _tier(record: Entry) -> int | None:
    for name in _CRITICALITY:
        text = _text(record, name).strip()
        if text:
            if text[0] in "1234" and not text[1:2].isdigit():
                return int(text[0]) - 1
            raise RecordError(f"{text[:40]!r} is no criticality: 1 (most critical) to 4 was expected", path=name)
    return None


def _text(record: Entry, name: str) -> str:
    """A field's text, as people see it where both are given; empty where there is none."""
    value = record.get(name)
    if isinstance(value, Mapping):
        value = value.get("display_value") or value.get("value")
    return "" if value is None or isinstance(value, (list, Mapping)) else str(value).strip()
