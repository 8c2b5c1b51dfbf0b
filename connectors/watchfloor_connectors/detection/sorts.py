"""Which events a Sigma rule's log source means, and the names that its rules expect where Windows has others.

Source: Sigma's taxonomy (https://sigmahq.io/sigma-specification/), appendix on log sources and fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from watchfloor_connectors.detection.rules import DetectionRule
from watchfloor_connectors.logs.raw_event import LogKind
from watchfloor_connectors.logs.windows import CLEARED, event_id

Fields = Mapping[str, "str | int"]

_REGISTRY: Final = {12: ("registry_add", "registry_delete"), 13: ("registry_set",), 14: ("registry_rename",)}
_DELETES: Final = ("deletekey", "deletevalue")
_AUDITED: Final = {4657: "registry_set", 5156: "network_connection"}
"""Events of the security log that tell what Sysmon's category does."""


@dataclass(frozen=True, slots=True)
class Sort:
    """What an event is, as rules name it."""

    product: str
    service: str | None
    categories: frozenset[str]

    def is_meant_by(self, rule: DetectionRule) -> bool:
        """Whether a rule is about such events: each part that it names fits."""
        if rule.product is None and rule.category is None and rule.service is None:
            return False
        return (
            rule.product in (None, self.product)
            and rule.service in (None, self.service)
            and (rule.category is None or rule.category in self.categories)
            # Of a rule that names a category alone, such as proxy, the fields are nobody's in particular.
            and not (rule.product is None and rule.service is None and not self.categories)
        )


def sort_of(kind: LogKind, fields: Fields) -> Sort:
    if kind.product != "windows":
        return Sort(kind.product, kind.service, frozenset({kind.category} - {None}))  # type: ignore[arg-type]  # no None
    number = event_id(fields)
    categories = {kind.category} if kind.category else set()
    if kind.service == "sysmon" and number in _REGISTRY:
        is_deletion = str(fields.get("EventType", "")).lower() in _DELETES
        categories |= {one for one in _REGISTRY[number] if number != 12 or (one == "registry_delete") == is_deletion}
    if kind.service == "security" and number in _AUDITED:
        categories |= {_AUDITED[number]} | ({"registry_event"} if number == 4657 else set())
    return Sort(kind.product, kind.service, frozenset(categories))


def named_for_rules(kind: LogKind, fields: Fields) -> Fields:
    """The fields, with those beside them that rules of a category expect and the security log names otherwise."""
    if kind.product == "windows" and kind.service == "system" and event_id(fields) == 104 and CLEARED in fields:
        # Sigma's rules mean the log that was cleared, not the one that tells it.
        return {**fields, "Channel": fields[CLEARED]}
    if kind.product != "windows" or kind.service != "security":
        return fields
    match event_id(fields):
        case 4688:
            added = {
                "Image": fields.get("NewProcessName"),
                "ParentImage": fields.get("ParentProcessName"),
                "User": _user(fields, "SubjectDomainName", "SubjectUserName"),
                "IntegrityLevel": _INTEGRITY.get(str(fields.get("MandatoryLabel", "")).upper()),
            }
        case 4657:
            path = f"{fields.get('ObjectName', '')}\\{fields.get('ObjectValueName', '')}"
            added = {"TargetObject": _hive(path), "Details": fields.get("NewValue"), "Image": fields.get("ProcessName")}
        case 5156:
            added = {
                "Image": _device(str(fields.get("Application", ""))),
                "SourceIp": fields.get("SourceAddress"),
                "SourcePort": fields.get("SourcePort"),
                "DestinationIp": fields.get("DestAddress"),
                "DestinationPort": fields.get("DestPort"),
                "Initiated": "true" if fields.get("Direction") == "%%14593" else "false",
            }
        case _:
            return fields
    return {**{name: value for name, value in added.items() if value not in (None, "")}, **fields}


_INTEGRITY: Final = {
    "S-1-16-4096": "Low",
    "S-1-16-8192": "Medium",
    "S-1-16-12288": "High",
    "S-1-16-16384": "System",
}
_HIVES: Final = (("\\REGISTRY\\MACHINE", "HKLM"), ("\\REGISTRY\\USER", "HKU"))


def _user(fields: Fields, domain: str, name: str) -> str:
    parts = (str(fields.get(domain, "")), str(fields.get(name, "")))
    return "\\".join(part for part in parts if part not in ("", "-"))


def _hive(path: str) -> str:
    for theirs, ours in _HIVES:
        if path.upper().startswith(theirs):
            return ours + path[len(theirs) :]
    return path


def _device(path: str) -> str:
    """``\\device\\harddiskvolume1\\x.exe`` as ``C:\\x.exe``: the letter is a guess that rules need."""
    parts = path.split("\\", 3)
    is_device = len(parts) == 4 and parts[1].lower() == "device"
    return f"C:\\{parts[3]}" if is_device else path
