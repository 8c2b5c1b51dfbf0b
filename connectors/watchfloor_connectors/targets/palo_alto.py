"""Palo Alto Networks firewalls: shuts addresses out by a tag that a dynamic address group of yours matches.

Source of the wire format: https://docs.paloaltonetworks.com/pan-os (*PAN-OS XML API*: User-ID, operational commands and
error codes) and the vendor's client https://github.com/PaloAltoNetworks/pan-os-python. Registering takes no commit.

The address gets two tags, the group's and one with the key, in one message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, ClassVar, Final, Literal
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring, tostring

from pydantic import Field

from watchfloor_connectors.targets.addresses import Address, Network, address_of, network_of, refuse_never
from watchfloor_connectors.targets.base import MARK, ConfiguredTarget, Slot
from watchfloor_connectors.targets.blocklist import NetworkTexts
from watchfloor_connectors.targets.http_answer import Answer
from watchfloor_connectors.targets.http_api import (
    RESTRICTING,
    SYSTEM_CLOCK,
    Api,
    ApiOptions,
    BaseUrl,
    Clock,
    Session,
)
from watchfloor_connectors.targets.http_credentials import SecretHeader
from watchfloor_connectors.targets.secret import SecretReference
from watchfloor_core.errors import UnavailableError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

_KEY_TAG: Final = re.compile(rf"{MARK}([0-9a-f]{{64}})")
_REFUSALS: Final = frozenset({"400", "403", "1", "15", "16", "17", "18", "22"})
"""Codes that the vendor gives where a request was not carried out: no right, no session, no such command."""


class PaloAltoOptions(ApiOptions):
    """Options of the kind ``palo_alto``."""

    api_url: BaseUrl
    """The firewall's management, e.g. ``https://fw1.corp.example``."""
    api_key: SecretReference
    tag: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")] = "watchfloor-block"
    """What the dynamic address group matches."""
    vsys: Annotated[str, Field(pattern=r"^vsys[0-9]{1,3}$")] = "vsys1"
    never: NetworkTexts = ()
    """Addresses and networks: your own gateways, resolvers, management networks."""


@dataclass(frozen=True, slots=True)
class _Registered:
    is_denied: bool
    keys: tuple[str, ...]
    """Of the tags of ours; several where another hand took the group's tag away and left them."""

    @property
    def key(self) -> str | None:
        return self.keys[0] if self.is_denied and len(self.keys) == 1 else None


class PaloAlto(ConfiguredTarget[PaloAltoOptions]):
    kind = "palo_alto"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"deny ip", "allow ip"})
    options_type = PaloAltoOptions
    restricting: ClassVar[frozenset[str]] = RESTRICTING

    def __init__(self, slot: Slot, options: PaloAltoOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(slot, options)
        self._never: tuple[Network, ...] = tuple(map(network_of, options.never))
        credentials = SecretHeader(options.api_key, name="X-PAN-KEY", before="")
        denied = f"check the API key, and grant its role {', '.join(self.least_privilege)}"
        self._api = Api(slot.tool, options, options.api_url, credentials, denied=denied, clock=clock)

    def privileges(self) -> tuple[str, ...]:
        return ("XML API: User-ID Agent", "XML API: Operational Requests")

    def read_state(self, target: Target) -> TargetState:
        address = address_of(target)
        with self._api.session() as session:
            return self._state(self._allowed(address, self._registered(session, address)))

    def do(self, action: Action, key: str) -> None:
        address = address_of(action.target)
        with self._api.session() as session:
            found = self._allowed(address, self._registered(session, address))
            if action.action_class == "deny ip":
                self._deny(session, address, found, key)
            elif found.is_denied and found.keys:
                self._send(session, "unregister", address, (self.options.tag, *_marks(found.keys)))
            else:
                raise NotDoneError(f"{address} is not denied by Watchfloor; what others tagged stays")

    def read_back(self, action: Action, key: str) -> ReadBack:
        address = address_of(action.target)
        wanted = action.action_class == "deny ip"
        with self._api.session() as session:
            found = session.until(
                lambda: self._registered(session, address), lambda one: one.is_denied is wanted, every_s=1.0
            )
        place = f"registered in {self.options.vsys} with the tag {self.options.tag!r}"
        text = f"{address} is {'' if found.is_denied else 'not '}{place}"
        if found.is_denied:
            text += f", {_whose(found, key)}"
        effect = Effect.APPLIED if found.is_denied is wanted else Effect.NOT_APPLIED
        return ReadBack(effect, self._state(found), text)

    def _deny(self, session: Session, address: Address, found: _Registered, key: str) -> None:
        if found.is_denied:
            if found.key == key:
                return
            raise NotDoneError(f"{address} has the tag {self.options.tag!r} already, {_whose(found, key)}")
        if found.keys:
            self._send(session, "unregister", address, _marks(found.keys))
        self._send(session, "register", address, (self.options.tag, *_marks((key,))))

    def _allowed(self, address: Address, found: _Registered) -> _Registered:
        """Raises `NeverError` for a protected address, unless it is held by us: that can always be taken back."""
        if not (found.is_denied and found.keys):
            refuse_never(address, self._never)
        return found

    def _state(self, found: _Registered) -> TargetState:
        return TargetState({"tag": self.options.tag, "is_denied": found.is_denied, "keys": list(found.keys)})

    def _registered(self, session: Session, address: Address) -> _Registered:
        command = Element("show")
        SubElement(SubElement(SubElement(command, "object"), "registered-ip"), "ip").text = str(address)
        answer = session.note("GET", "api/", params=self._params("op", command))
        root = _parsed(answer)
        if root.get("status") != "success":
            raise UnavailableError(f"the firewall answers with code {_code(root)}; {self._api.denied}")
        tags = {
            member.text or ""
            for entry in root.iterfind("./result/entry")
            if _is(entry.get("ip", ""), address)
            for member in entry.iterfind("./tag/member")
        }
        keys = tuple(match[1] for tag in sorted(tags) if (match := _KEY_TAG.fullmatch(tag)))
        return _Registered(self.options.tag in tags, keys)

    def _send(
        self, session: Session, verb: Literal["register", "unregister"], address: Address, tags: tuple[str, ...]
    ) -> None:
        message = Element("uid-message")
        SubElement(message, "version").text = "2.0"
        SubElement(message, "type").text = "update"
        entry = SubElement(SubElement(SubElement(message, "payload"), verb), "entry", {"ip": str(address)})
        if verb == "register":
            # It outlives a restart of the firewall, and ends when it is taken back and not before.
            entry.set("persistent", "1")
        listed = SubElement(entry, "tag")
        for tag in tags:
            SubElement(listed, "member", {"timeout": "0"} if verb == "register" else {}).text = tag
        root = _parsed(session.change("GET", "api/", params=self._params("user-id", message)))
        if root.get("status") == "success":
            return
        code = _code(root)
        if code in _REFUSALS:
            raise NotDoneError(f"the firewall refuses with code {code}: {self._api.denied}")
        # Of several tags some may have been taken.
        raise UnavailableError(f"the firewall answers that it did not do all of it (code {code})")

    def _params(self, kind: Literal["op", "user-id"], command: Element) -> dict[str, str]:
        return {"type": kind, "vsys": self.options.vsys, "cmd": tostring(command, encoding="unicode")}


def _marks(keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{MARK}{key}" for key in keys)


def _whose(found: _Registered, key: str) -> str:
    if found.keys == (key,):
        return "by this action"
    return f"by the proposal of digest {found.keys[0]}; end that first" if found.keys else "by another hand"


def _is(text: str, address: Address) -> bool:
    try:
        return ip_address(text.removesuffix("/32").removesuffix("/128")) == address
    except ValueError:
        # A network or a range: not this address alone.
        return False


def _code(root: Element) -> str:
    return quote_untrusted(root.get("code", "none"), 20).strip('"')


def _parsed(answer: Answer) -> Element:
    """Raises `UnavailableError`. Declarations are refused: entities could make much of a little."""
    if b"<!DOCTYPE" in answer.body or b"<!ENTITY" in answer.body:
        raise UnavailableError("the answer holds declarations, which no firewall sends")
    try:
        root = fromstring(answer.body)  # noqa: S314 - bounded in size, and without declarations
    except ParseError:
        raise UnavailableError("the answer is no XML") from None
    if root.tag != "response":
        raise UnavailableError("the answer does not have the documented form")
    return root
