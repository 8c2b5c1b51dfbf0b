"""Shuts addresses out at a Linux host or gateway: elements of a named nftables set, which the operator's chain uses.

The set is asked and changed by libnftables' JSON (libnftables-json(5)) on standard input: values are data there, and
one input is one transaction of the kernel. The element's comment carries the idempotency key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from watchfloor_connectors.targets.addresses import Address, Network, address_of, network_of, refuse_never
from watchfloor_connectors.targets.base import MARK, ConfiguredTarget, Slot, ToolOptions
from watchfloor_connectors.targets.blocklist import NetworkTexts
from watchfloor_connectors.targets.programs import TimedOutError, run
from watchfloor_core.canonical import JsonValue
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]

_OURS: Final = re.compile(rf"{MARK}([0-9a-f]{{64}})")


class NftablesOptions(ToolOptions):
    """Options of the kind ``nftables``."""

    family: Literal["ip", "ip6", "inet", "bridge", "netdev"] = "inet"
    table: Name = "watchfloor"
    set4: Name = "blocked4"
    """A set of ``type ipv4_addr`` without ``flags interval`` and without a timeout."""
    set6: Name = "blocked6"
    """The same of ``type ipv6_addr``."""
    netns: Name | None = None
    """A network namespace of ``ip netns``; None: the one that the executor is in."""
    never: NetworkTexts = ()
    """Addresses and networks: your own gateways, resolvers, management networks."""


class _Set(BaseModel):
    """What libnftables says of a set."""

    type: object
    flags: tuple[str, ...] = ()
    timeout: int | None = None
    elem: tuple[object, ...] = ()


_SETS: Final = TypeAdapter(dict[str, list[dict[str, object]]])


@dataclass(frozen=True, slots=True)
class _Element:
    key: str | None
    """None: of another hand."""


class Nftables(ConfiguredTarget[NftablesOptions]):
    kind = "nftables"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"deny ip", "allow ip"})
    options_type = NftablesOptions

    def __init__(self, slot: Slot, options: NftablesOptions) -> None:
        self._never: tuple[Network, ...] = tuple(map(network_of, options.never))
        super().__init__(slot, options)

    def privileges(self) -> tuple[str, ...]:
        place = f"network namespace {self.options.netns!r}" if self.options.netns else "the host's network namespace"
        needed = (f"CAP_NET_ADMIN in {place} (nftables has no finer right than that)",)
        return (*needed, "CAP_SYS_ADMIN, to enter the network namespace") if self.options.netns else needed

    def read_state(self, target: Target) -> TargetState:
        address = address_of(target)
        return self._state(address, self._allowed(address, self._element(address)))

    def do(self, action: Action, key: str) -> None:
        address = address_of(action.target)
        try:
            found = self._allowed(address, self._element(address))
        except UnavailableError as error:
            raise NotDoneError(f"nothing was changed: {error}") from error
        if action.action_class == "deny ip":
            if found is not None and found.key == key:
                return
            if found is not None:
                raise NotDoneError(f"{address} is in the set {self._set_name(address)!r} already, {_whose(found)}")
            # "create" and not "add": it fails where somebody else was faster, instead of taking their element for ours.
            self._change("create", address, {"val": str(address), "comment": f"{MARK}{key}"})
        else:
            if found is None or found.key is None:
                raise NotDoneError(
                    f"{address} is not in {self._set_name(address)!r} by Watchfloor; what others put there stays"
                )
            self._change("delete", address, {"val": str(address)})

    def read_back(self, action: Action, key: str) -> ReadBack:
        address = address_of(action.target)
        found = self._element(address)
        is_applied = (found is not None) == (action.action_class == "deny ip")
        place = f"the set {self.options.family} {self.options.table} {self._set_name(address)}"
        text = f"{address} is {'not ' if found is None else ''}in {place}"
        if found is not None:
            text += ", by this action" if found.key == key else f", {_whose(found)}"
        return ReadBack(Effect.APPLIED if is_applied else Effect.NOT_APPLIED, self._state(address, found), text)

    def _state(self, address: Address, found: _Element | None) -> TargetState:
        place: JsonValue = [self.options.family, self.options.table, self._set_name(address)]
        return TargetState({"set": place, "is_in": found is not None, "key": None if found is None else found.key})

    def _set_name(self, address: Address) -> str:
        return self.options.set4 if address.version == 4 else self.options.set6

    def _place(self, address: Address) -> dict[str, JsonValue]:
        return {"family": self.options.family, "table": self.options.table, "name": self._set_name(address)}

    def _change(self, verb: Literal["create", "delete"], address: Address, element: Mapping[str, JsonValue]) -> None:
        try:
            self._nft({verb: {"element": {**self._place(address), "elem": [{"elem": element}]}}})
        except TimedOutError:
            raise
        except UnavailableError as error:
            raise NotDoneError(f"nftables refused and changed nothing: {error}") from error

    def _allowed(self, address: Address, found: _Element | None) -> _Element | None:
        """What was put there before it was protected can be taken back all the same. Raises `NeverError`."""
        if found is None or found.key is None:
            refuse_never(address, self._never)
        return found

    def _element(self, address: Address) -> _Element | None:
        found = self._read_set(address)
        for one in found.elem:
            match one:
                case str() if one == str(address):
                    return _Element(None)
                case {"elem": {"val": value, **rest}} if value == str(address):
                    match = _OURS.fullmatch(str(rest.get("comment", "")))
                    return _Element(match[1] if match else None)
        return None

    def _read_set(self, address: Address) -> _Set:
        text = self._nft({"list": {"set": self._place(address)}})
        try:
            told = _SETS.validate_json(text)["nftables"]
            found = next(_Set.model_validate(one["set"]) for one in told if "set" in one)
        except (ValidationError, KeyError, StopIteration) as error:
            raise UnavailableError(f"nft answered something else than a set: {type(error).__name__}") from error
        wanted = "ipv4_addr" if address.version == 4 else "ipv6_addr"
        if found.type != wanted or {"interval", "constant"} & set(found.flags) or found.timeout is not None:
            raise UnavailableError(
                f"the set {self._set_name(address)!r} has type {found.type!r}, flags {list(found.flags)} and timeout "
                f"{found.timeout}; make it with 'type {wanted};' alone, so that an element is one address and stays"
            )
        return found

    def _nft(self, command: JsonValue) -> str:
        """Runs one transaction. `UnavailableError`: nothing was changed; `TimedOutError`: that is open."""
        inside = ["ip", "netns", "exec", self.options.netns] if self.options.netns else []
        limit = self.options.timeout_s
        done = run([*inside, "nft", "-j", "-f", "-"], timeout_s=limit, text=json.dumps({"nftables": [command]}))
        if done.code < 0:
            raise TimedOutError(f"nft was ended by signal {-done.code}")
        if done.code != 0:
            raise UnavailableError(f"nft ended with {done.code}: {done.problem}")
        return done.output


def _whose(found: _Element) -> str:
    return f"by the proposal of digest {found.key}; end that first" if found.key else "by another hand"
