"""The matched event of a Sigma alert, by the names of Windows and Sysmon logs, Hayabusa's short forms and ECS."""

from __future__ import annotations

import re
from typing import Final

from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.fields import first_text, text
from watchfloor_core.alert import EntityKind, EntityRole, Integrity
from watchfloor_core.ports import Record

_FAILED_LOGON: Final = frozenset({"4625", "4771", "4776"})
"""Windows event ids in which the user name is what somebody typed, not who they are."""
_NOBODY: Final = frozenset({"-", "n/a", "system", "local service", "network service", "nt authority\\system"})
"""Accounts that every Windows host has; they would join all hosts."""

_HOSTS: Final = ("Computer", "ComputerName", "host.name", "Hostname", "hostname")
_ADDRESSES: Final = (
    ("SourceIp", EntityRole.ACTOR),
    ("IpAddress", EntityRole.ACTOR),
    ("SrcIP", EntityRole.ACTOR),
    ("source.ip", EntityRole.ACTOR),
    ("DestinationIp", EntityRole.RELATED),
    ("TgtIP", EntityRole.RELATED),
    ("destination.ip", EntityRole.RELATED),
)
_USERS: Final = (
    ("SubjectUserName", EntityRole.ACTOR),
    ("SrcUser", EntityRole.ACTOR),
    ("User", EntityRole.ACTOR),
    ("user.name", EntityRole.ACTOR),
    ("TargetUserName", EntityRole.RELATED),
    ("TgtUser", EntityRole.RELATED),
)
_ATTRIBUTES: Final = (
    ("command_line", ("CommandLine", "Cmdline", "process.command_line")),
    ("parent_command_line", ("ParentCommandLine", "ParentCmdline", "process.parent.command_line")),
    ("process_path", ("Image", "NewProcessName", "Proc", "process.executable")),
    ("file_path", ("TargetFilename", "Path", "file.path")),
    ("script", ("ScriptBlockText", "ScriptBlock")),
    ("dns_query", ("QueryName", "Query", "dns.question.name")),
    ("url", ("c-uri", "url.full")),
    ("user_agent", ("c-useragent", "UserAgent", "user_agent.original")),
    ("registry_key", ("TargetObject", "TgtObj")),
    ("registry_value", ("Details",)),
)
_HASH: Final = re.compile(r"\b(?:SHA256|SHA1|MD5)=([0-9A-Fa-f]{32,64})\b")


def add_event(event: Record, host: str | None, event_id: str | None, draft: AlertDraft) -> None:
    """Entities and attributes of the event; ``host`` is where it was logged, if the tool says so itself."""
    draft.entity(EntityKind.HOST, host or first_text(event, *_HOSTS), EntityRole.TARGET)
    is_typed = event_id in _FAILED_LOGON
    for path, role in _USERS:
        user = text(event, path)
        # Names that end in $ are the computers' own accounts.
        if user is None or user.lower() in _NOBODY or user.endswith("$"):
            continue
        draft.entity(EntityKind.USER, user, role, Integrity.EXTERNAL if is_typed else Integrity.SENSOR)
        if is_typed:
            draft.external("login_user", user)
    for path, role in _ADDRESSES:
        draft.entity(EntityKind.IP, text(event, path), role, is_guess=True)
    domain = first_text(event, "QueryName", "dns.question.name")
    draft.entity(EntityKind.DOMAIN, domain, EntityRole.RELATED, Integrity.EXTERNAL)
    for name, paths in _ATTRIBUTES:
        draft.external(name, first_text(event, *paths))
    for digest in _HASH.findall(first_text(event, "Hashes", "Hash") or "")[:1]:
        draft.entity(EntityKind.FILE_HASH, digest, is_guess=True)
    draft.attribute("event_id", event_id)
