"""Commands of the standard that run somewhere (section 5), as the action ``start command``.

Where one runs is the step's target, and by which tool the agent: its name is that of a configured tool. Addresses of
agents and credentials in the playbook are not used; what the tool is configured with counts.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address
from typing import Final

from watchfloor_core.errors import RecordError
from watchfloor_core.incident import AutonomyLevel
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Labelled
from watchfloor_playbooks.condition import ConditionError
from watchfloor_playbooks.evaluation import value_of
from watchfloor_playbooks.objects import AgentTarget, Command, HttpCommand, NetAddress, OpenC2Command, ShellCommand
from watchfloor_playbooks.part import Variable
from watchfloor_playbooks.running.values import WRITTEN, Held, Values, filled, named_by, text_of, worst
from watchfloor_playbooks.running.work import ActionWork
from watchfloor_playbooks.template_numbers import TemplateError, Value
from watchfloor_playbooks.templates import (
    VALUE,
    bash_arguments,
    http_arguments,
    openc2_arguments,
    powershell_arguments,
    ssh_arguments,
)
from watchfloor_playbooks.vocabulary import REFERENCE

START_COMMAND: Final = "start command"
RUNNERS: Final = frozenset({"bash", "powershell", "ssh", "http-api", "openc2-http"})
_SCRIPTS: Final[Mapping[str, Callable[[str, Mapping[str, Value]], dict[str, str]]]] = {
    "bash": bash_arguments,
    "powershell": powershell_arguments,
    "ssh": ssh_arguments,
}
_PLAIN: Final = frozenset({"bool", "integer", "long", "float"})
_HOSTS: Final = ("dname", "ipv4", "ipv6")
"""Names of address types (network-address-type-ov) that say a host, the most telling first."""
_LABEL: Final = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
"""RFC 1123, and '_', which machines' names have though they should not."""
_MAX_NAME: Final = 253
_MAX_PORT: Final = 65_535
_URL: Final = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]+))?/?")


def command_work(
    command: Command,
    *,
    agent: str,
    place: AgentTarget | None,
    values: Values,
    declared: Mapping[str, Variable],
    purpose: str,
    max_level: AutonomyLevel | None,
) -> ActionWork:
    """The action. Raises `RecordError` where a value is missing, or cannot stand where the command has it."""
    given = {name: _value(name, held, declared) for name, held in values.items() if held.value is not None}
    try:
        texts, used = _arguments(command, given)
    except TemplateError as error:
        raise RecordError(str(error)) from error
    # Which value stands where is not told apart: all of them have the worst label among them.
    label = worst(values[name] for name in used if name in values)
    arguments = {
        name: Labelled(text, label) if name.startswith(VALUE) else Labelled(text, worst(()))
        for name, text in texts.items()
        if text
    }
    if REFERENCE.search(agent):
        raise RecordError("the agent is the name of a tool; it is named, and never taken from a variable")
    return ActionWork(
        action_class=START_COMMAND,
        target=_where(command.type, agent, place, values),
        arguments=arguments,
        tool=agent,
        lease_s=None,
        purpose=purpose,
        max_level=max_level,
        named_by=named_by((*(f"{name}:value" for name in used), *_addresses(place)), values),
    )


def _arguments(command: Command, given: Mapping[str, Value]) -> tuple[dict[str, str], frozenset[str]]:
    """The action's arguments, and the variables that stand in them."""
    match command:
        case ShellCommand(type=kind) if kind in _SCRIPTS:
            text = command.command if command.command is not None else _decoded(command.command_b64 or "")
            return _SCRIPTS[kind](text, given), _used(text)
        case HttpCommand():
            headers = {name: ", ".join(lines) for name, lines in (command.headers or {}).items()}
            content = command.content if command.content_b64 is None else _decoded(command.content_b64)
            used = _used(command.command, *headers.values(), content or "")
            return http_arguments(command.command, headers, content, given), used
        case OpenC2Command(content_b64=encoded):
            content = _decoded(encoded)
            return openc2_arguments(content, given), _used(content)
        case _:
            raise RecordError(f"commands of type {quote_untrusted(command.type, 40)} are not run")


def _where(kind: str, tool: str, place: AgentTarget | None, values: Values) -> Labelled:
    """The target, as its runner spells it. Raises `RecordError` where the step says none."""
    if kind in ("bash", "powershell"):
        return Labelled(f"local://{tool}", worst(()))
    if not isinstance(place, NetAddress):
        raise RecordError(f"a command of type {kind!r} needs a target with an address")
    port = getattr(place, "port", None)
    address = place.address or {}
    if kind != "ssh" and (urls := address.get("url")):
        url = filled(str(urls[0]), values)
        found = _URL.fullmatch(str(url.value))
        if found is None:
            raise RecordError(f"{quote_untrusted(str(url.value), 80)} is no https://host[:port]")
        shown = f"{found[1]}://{_host(found[2].strip('[]'))}{_port(found[3])}"
        return Labelled(shown, url.integrity, url.endorsed_by)
    for name in _HOSTS:
        if named := address.get(name):
            host = filled(str(named[0]), values)
            shown = f"{'ssh' if kind == 'ssh' else 'https'}://{_host(str(host.value))}"
            if not port:
                return Labelled(shown, host.integrity, host.endorsed_by)
            at = filled(port, values)
            # Whoever vouched for the host did not vouch for the port.
            vouched = host.endorsed_by if at.integrity is WRITTEN else None
            return Labelled(f"{shown}{_port(str(at.value))}", max(host.integrity, at.integrity), vouched)
    raise RecordError(f"the target {quote_untrusted(place.name, 60)} has no address of a host")


def _host(text: str) -> str:
    """As it stands in an address. Raises `RecordError` for what is neither a host's name nor an IP address: whoever
    writes a value would else move the rest of the address to where it does not count."""
    if _NAME.fullmatch(text) and len(text) <= _MAX_NAME:
        return text
    try:
        found = ip_address(text)
    except ValueError:
        found = None
    # A scope (``fe80::1%eth0``) may hold any text.
    if found is None or "%" in text:
        raise RecordError(f"{quote_untrusted(text, 80)} is neither a host's name nor an IP address")
    return f"[{found}]" if isinstance(found, IPv6Address) else str(found)


def _port(text: str | None) -> str:
    if not text:
        return ""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) <= _MAX_PORT):
        raise RecordError(f"{quote_untrusted(text, 40)} is no port, 1 to {_MAX_PORT}")
    return f":{int(text)}"


def _addresses(place: AgentTarget | None) -> list[str]:
    if not isinstance(place, NetAddress):
        return []
    found = [str(one) for some in (place.address or {}).values() for one in some]
    return [*found, str(getattr(place, "port", None) or "")]


def _value(name: str, held: Held, declared: Mapping[str, Variable]) -> Value:
    """A number or truth value as such, so that it may stand in JSON as one; everything else as its text."""
    if name in declared and declared[name].type in _PLAIN:
        try:
            return value_of(name, declared[name].model_copy(update={"value": held.value}))
        except ConditionError as error:
            raise RecordError(str(error)) from error
    return held.value if isinstance(held.value, str) else text_of(held.value)


def _used(*texts: str) -> frozenset[str]:
    return frozenset(found.group(1) for text in texts for found in REFERENCE.finditer(text))


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise RecordError(f"the base64 holds no text: {error}") from error
