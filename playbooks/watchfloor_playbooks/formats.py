"""The third layer: times, addresses, secrets, markings and all else whose form carries a meaning."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from typing import Final

from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.yaml_source import Path
from watchfloor_playbooks.findings import Findings
from watchfloor_playbooks.model import Head
from watchfloor_playbooks.objects import SECRETS, AgentTarget, Contactable, NetAddress, Server
from watchfloor_playbooks.part import Part
from watchfloor_playbooks.shape import Parts
from watchfloor_playbooks.vocabulary import REFERENCE, REGIONS, comparable_time, prefix_of

_HOST: Final = r"(?:[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)"
_DOMAIN: Final = re.compile(rf"(?=.{{1,253}}\Z){_HOST}(?:\.{_HOST})*\.?")
_EMAIL: Final = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_{{|}}~-]{{1,64}}@{_HOST}(?:\.{_HOST})+")
_PHONE: Final = re.compile(r"\+?[0-9][0-9 ()./-]{1,30}(?:(?:x|ext\.?) ?[0-9]{1,8})?")
_URL: Final = re.compile(
    rf"https?://(?:{_HOST}(?:\.{_HOST})*|\[[0-9a-fA-F:.]+\])(?::[0-9]{{1,5}})?(?:[/?#][^\s<>\"`]*)?"
)
_MAC: Final = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_ADDRESSES: Final = ("dname", "ipv4", "ipv6", "l2mac", "vlan", "url")
_KEY: Final = re.compile(r"[a-zA-Z0-9_-]{1,250}")


def check_formats(parts: Parts, findings: Findings) -> None:
    """Mistakes go to ``findings``."""
    if parts.head is not None:
        _check_head(parts.head, findings)
    for name, step in parts.steps.items():
        path: Path = ("workflow", name)
        if step.timeout == 0:
            findings.warn((*path, "timeout"), "a time-out of 0 lets the step fail at once")
        if step.owner is not None:
            _check_id(step.owner, "identity", (*path, "owner"), findings)
        version = getattr(step, "playbook_version", None)
        if isinstance(version, str):
            _time(version, (*path, "playbook_version"), findings)
        called = getattr(step, "playbook_id", None)
        if isinstance(called, str):
            _check_id(called, "playbook", (*path, "playbook_id"), findings)
        for index, command in enumerate(parts.commands.get(name, ())):
            if command is not None:
                _check_command(command, (*path, "commands", index), findings)
    for name, agent in parts.agents.items():
        _check_agent_target(agent, ("agent_definitions", name), findings, is_target=False)
    for name, target in parts.targets.items():
        _check_agent_target(target, ("target_definitions", name), findings, is_target=True)
    for name, auth in parts.authentications.items():
        for key in SECRETS:
            value = getattr(auth, key, None) or auth.others.get(key)
            if isinstance(value, str) and value and not REFERENCE.fullmatch(value) and not getattr(auth, "kms", None):
                message = (
                    f"{key!r} stands here in the clear, for everybody who gets the playbook; name a key of a vault"
                )
                findings.warn(("authentication_info_definitions", name, key), f"{message} (`kms`), or a variable")
    for name, marking in parts.markings.items():
        _check_span(marking, ("data_marking_definitions", name), findings)
        _check_id(marking.created_by, "identity", ("data_marking_definitions", name, "created_by"), findings)
    for index, signature in enumerate(parts.signatures):
        if signature is not None:
            _check_span(signature, ("signatures", index), findings)


def _check_head(head: Head, findings: Findings) -> None:
    _check_id(head.id, "playbook", ("id",), findings)
    _check_id(head.created_by, "identity", ("created_by",), findings)
    for index, one in enumerate(head.derived_from or ()):
        _check_id(one, "playbook", ("derived_from", index), findings)
    _check_span(head, (), findings)
    if head.playbook_types and not head.playbook_activities:
        findings.warn(("playbook_types",), "with 'playbook_types' goes at least one of 'playbook_activities'")


def _check_id(text: str, kind: str, path: Path, findings: Findings) -> None:
    prefix = prefix_of(text)
    if prefix is None:
        findings.error(path, f"{quote_untrusted(text)} is no identifier; '{kind}--UUID' is expected")
    elif prefix != kind:
        findings.error(path, f"{quote_untrusted(text)} is an id of another kind; '{kind}--UUID' is expected")


def _check_span(part: Part, path: Path, findings: Findings) -> None:
    """The times of an object, and that they are in order."""
    times: dict[str, str | None] = {}
    for key in ("created", "modified", "valid_from", "valid_until", "start_date", "end_date", "related_version"):
        value = getattr(part, key, None)
        if isinstance(value, str):
            times[key] = _time(value, (*path, key), findings, is_exact=key in ("created", "modified"))
    created, modified = times.get("created"), times.get("modified")
    if created and modified and modified < created:
        # Versions are told apart by `modified` alone, so it stays clear which of them is meant.
        findings.warn((*path, "modified"), "'modified' is before 'created'")
    begins, ends = times.get("valid_from"), times.get("valid_until")
    if begins and ends and ends <= begins:
        findings.error((*path, "valid_until"), "'valid_until' is not after 'valid_from', so this is never valid")


def _time(text: str, path: Path, findings: Findings, *, is_exact: bool = False) -> str | None:
    """The time so that texts compare as times do; None where it is none."""
    comparable = comparable_time(text)
    if comparable is None:
        said = f"{quote_untrusted(text, 60)} is no time; RFC 3339 with Z is expected, as '2026-11-28T08:30:00.000Z'"
        findings.error(path, said)
        return None
    decimals = len(text.partition(".")[2].removesuffix("Z"))
    if is_exact and decimals != 3:
        findings.warn(path, f"{text} has {decimals} decimals of a second; the standard gives three")
    return comparable


def _check_command(command: Part, path: Path, findings: Findings) -> None:
    for key in ("command_b64", "content_b64"):
        value = getattr(command, key, None)
        if isinstance(value, str) and not REFERENCE.fullmatch(value):
            try:
                base64.b64decode(value, validate=True)
            except ValueError:
                findings.error((*path, key), f"{key!r} is not base64")
    names = type(command).names()
    if "command" in names and "command_b64" in names:
        given = [key for key in ("command", "command_b64") if getattr(command, key, None) is not None]
        if len(given) != 1:
            said = "neither" if not given else "both"
            findings.error(path, f"{said} of 'command' and 'command_b64' is given; one says what is to be done")


def _check_agent_target(part: AgentTarget, path: Path, findings: Findings, *, is_target: bool) -> None:
    """An agent is found by its name in our own configuration, so a wrong address of one misleads nobody; a target is
    what is acted on, so its address has to be right."""
    if part.location is not None and part.location.region is not None and part.location.region not in REGIONS:
        message = f"{quote_untrusted(part.location.region, 60)} is no region of the standard"
        findings.error((*path, "location", "region"), message)
    contact = part.contact if isinstance(part, Contactable) else None
    if contact is not None:
        _check_contacts(contact.email or {}, _EMAIL, "an e-mail address", (*path, "contact", "email"), findings)
        _check_contacts(contact.phone or {}, _PHONE, "a telephone number", (*path, "contact", "phone"), findings)
    if not isinstance(part, NetAddress):
        return
    report = findings.error if is_target else findings.warn
    if not part.address:
        report(path, f"'address' is missing, so it is not said where this {part.type} is")
    for kind, values in (part.address or {}).items():
        if kind not in _ADDRESSES:
            message = f"{quote_untrusted(kind, 60)} is no kind of address; there are {', '.join(_ADDRESSES)}"
            findings.error((*path, "address", kind), message)
            continue
        for index, value in enumerate(values):
            if not _is_address(kind, value):
                shown = quote_untrusted(value, 60) if isinstance(value, str) else "this"
                report((*path, "address", kind, index), f"{shown} is no address of the kind {kind!r}")
    if isinstance(part, Server) and part.port is not None and not _is_port(part.port):
        findings.error((*path, "port"), f"{quote_untrusted(part.port, 20)} is no port; 1 to 65535 is expected")


def _check_contacts(
    contacts: Mapping[str, str], form: re.Pattern[str], what: str, path: Path, findings: Findings
) -> None:
    for key, value in contacts.items():
        if not _KEY.fullmatch(key):
            findings.error(
                (*path, key), f"{quote_untrusted(key, 60)} is no name; letters, digits, _ and - are expected"
            )
        if not form.fullmatch(value) and not REFERENCE.fullmatch(value):
            findings.error((*path, key), f"{quote_untrusted(value, 80)} is not {what}")


def _is_port(text: str) -> bool:
    if REFERENCE.fullmatch(text):
        return True
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 1 <= int(text) <= 65_535


def _is_address(kind: str, value: object) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return kind == "vlan" and 0 <= value <= 4095
    if not isinstance(value, str):
        return False
    if REFERENCE.search(value):
        return True
    match kind:
        case "ipv4" | "ipv6":
            try:
                return ipaddress.ip_network(value, strict=False).version == (4 if kind == "ipv4" else 6)
            except ValueError:
                return False
        case "l2mac":
            return _MAC.fullmatch(value) is not None
        case "vlan":
            return re.fullmatch(r"[0-9]{1,4}", value) is not None and int(value) <= 4095
        case "url":
            return _URL.fullmatch(value) is not None
        case _:
            return _DOMAIN.fullmatch(value) is not None
