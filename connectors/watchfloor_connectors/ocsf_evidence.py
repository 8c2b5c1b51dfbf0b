"""OCSF evidence artifacts and observables as entities and attributes."""

from __future__ import annotations

from typing import Final

from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.fields import child, children, first_text, integer, text, texts
from watchfloor_core.alert import EntityKind, EntityRole, Integrity
from watchfloor_core.ports import Record

_OBSERVABLES: Final = {
    1: (EntityKind.HOST, Integrity.SENSOR),
    2: (EntityKind.IP, Integrity.SENSOR),
    4: (EntityKind.USER, Integrity.SENSOR),
    5: (EntityKind.MAILBOX, Integrity.EXTERNAL),
    6: (EntityKind.URL, Integrity.EXTERNAL),
    8: (EntityKind.FILE_HASH, Integrity.SENSOR),
    10: (EntityKind.RESOURCE, Integrity.SENSOR),
}
"""Kind and author by ``type_id``; the others (ports, countries, whole objects) are no entities."""
_OBSERVED_TEXT: Final = {7: "file_name", 9: "process_name", 13: "command_line", 16: "user_agent"}


def add_device(device: Record, role: EntityRole, draft: AlertDraft) -> None:
    """A device or endpoint: its host name and addresses."""
    draft.entity(EntityKind.HOST, first_text(device, "hostname", "name"), role)
    draft.entity(EntityKind.IP, text(device, "ip"), role, path="ip")


def add_evidence(evidence: Record, draft: AlertDraft) -> None:
    """One entry of ``evidences``."""
    add_device(child(evidence, "device"), EntityRole.TARGET, draft)
    add_device(child(evidence, "src_endpoint"), EntityRole.ACTOR, draft)
    add_device(child(evidence, "dst_endpoint"), EntityRole.RELATED, draft)
    _user(child(evidence, "actor.user"), EntityRole.ACTOR, draft)
    _user(child(evidence, "user"), EntityRole.RELATED, draft)
    process = child(evidence, "process")
    draft.external("command_line", text(process, "cmd_line"))
    draft.external("process_name", text(process, "name"))
    _user(child(process, "user"), EntityRole.ACTOR, draft)
    _file(child(process, "file"), draft)
    parent = child(process, "parent_process") or child(evidence, "actor.process")
    draft.external("parent_command_line", text(parent, "cmd_line"))
    _file(child(evidence, "file"), draft)
    _url(child(evidence, "url"), draft)
    _url(child(evidence, "http_request.url"), draft)
    draft.external("user_agent", text(evidence, "http_request.user_agent"))
    domain = text(evidence, "query.hostname")
    draft.external("dns_query", domain)
    draft.entity(EntityKind.DOMAIN, domain, EntityRole.RELATED, Integrity.EXTERNAL)
    email = child(evidence, "email")
    draft.external("mail_subject", text(email, "subject"))
    draft.external("mail_sender", text(email, "from"))
    draft.entity(EntityKind.MAILBOX, text(email, "from"), EntityRole.ACTOR, Integrity.EXTERNAL)
    for recipient in texts(email, "to"):
        draft.entity(EntityKind.MAILBOX, recipient, EntityRole.TARGET)
    draft.external("registry_key", text(evidence, "reg_key.path"))
    draft.external("registry_value", text(evidence, "reg_value.data"))
    draft.attribute("api", text(evidence, "api.operation"))


def add_observable(observable: Record, draft: AlertDraft) -> None:
    """One entry of ``observables``: a value and what type it is."""
    value, kind = text(observable, "value"), integer(observable, "type_id")
    if value is None or kind is None:
        return
    if kind in _OBSERVED_TEXT:
        draft.external(_OBSERVED_TEXT[kind], value)
    elif kind in _OBSERVABLES:
        entity, integrity = _OBSERVABLES[kind]
        # Producers put host names under type 2 and truncated hashes under type 8.
        draft.entity(entity, value, integrity=integrity, is_guess=True)


def _user(user: Record, role: EntityRole, draft: AlertDraft) -> None:
    draft.entity(EntityKind.USER, first_text(user, "email_addr", "name", "uid"), role)


def _file(file: Record, draft: AlertDraft) -> None:
    draft.external("file_name", text(file, "name"))
    draft.external("file_path", text(file, "path"))
    hashes = {integer(item, "algorithm_id"): text(item, "value") for item in children(file, "hashes")}
    # 3 SHA-256, 2 SHA-1, 1 MD5: one hash names the file.
    draft.entity(EntityKind.FILE_HASH, hashes.get(3) or hashes.get(2) or hashes.get(1), is_guess=True)


def _url(url: Record, draft: AlertDraft) -> None:
    draft.external("url", text(url, "url_string"))
    host = text(url, "hostname")
    draft.external("http_host", host)
    draft.entity(EntityKind.DOMAIN, host, EntityRole.RELATED, Integrity.EXTERNAL)
