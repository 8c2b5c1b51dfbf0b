"""Shuts addresses out by a list in a plain file, the format that firewalls subscribe to (external dynamic list).

One address a line. What Watchfloor put there says so behind the address, and nothing else is ever changed::

    203.0.113.9 # wf:<proposal digest> 2026-11-26T01:02:03Z
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BeforeValidator

from watchfloor_connectors.targets.addresses import Address, Network, address_of, covers, network_of, refuse_never
from watchfloor_connectors.targets.base import MARK, ConfiguredTarget, Slot, ToolOptions
from watchfloor_connectors.targets.files import absolute, locked, read_small, replace_file
from watchfloor_core.clock import now_us, to_iso
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

MAX_BYTES: Final = 32 * 1024 * 1024
_OURS: Final = re.compile(rf"(\S+) # {MARK}([0-9a-f]{{64}}) \S+\s*")


def networks(texts: object) -> object:
    """Checks each text; the texts stay, as options are shown and digested in them."""
    if isinstance(texts, (list, tuple)):
        for text in texts:
            network_of(str(text))
    return texts


NetworkTexts = Annotated[tuple[str, ...], BeforeValidator(networks)]


class BlocklistOptions(ToolOptions):
    """Options of the kind ``blocklist``."""

    file: Annotated[str, AfterValidator(absolute)] | None = None
    """The list; ``{tenant}`` stands for the tenant. None: ``blocklist/{tenant}.txt`` in the data directory."""
    never: NetworkTexts = ()
    """Addresses and networks: your own gateways, resolvers, management networks."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """What a list says of one address."""

    lines: list[str]
    """All lines, with their ends."""
    ours: dict[int, str]
    """Key by number of the line."""
    others: tuple[str, ...]
    """Entries of other hands that cover it."""


class Blocklist(ConfiguredTarget[BlocklistOptions]):
    kind = "blocklist"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"deny ip", "allow ip"})
    options_type = BlocklistOptions

    def __init__(self, slot: Slot, options: BlocklistOptions) -> None:
        default = str(slot.data_dir / "blocklist" / "{tenant}.txt")
        self.file = Path((options.file or default).replace("{tenant}", slot.tenant))
        self._never: tuple[Network, ...] = tuple(map(network_of, options.never))
        super().__init__(slot, options)

    @classmethod
    def faults(cls, options: BlocklistOptions, *, is_shared: bool) -> Iterator[str]:
        if is_shared and options.file is not None and "{tenant}" not in options.file:
            yield f"file {options.file!r} would be one list for several tenants; put {{tenant}} in its name"

    def privileges(self) -> tuple[str, ...]:
        return (f"write files in {self.file.parent}",)

    def read_state(self, target: Target) -> TargetState:
        address = address_of(target)
        return _state(self._allowed(address, self._listing(address)))

    def do(self, action: Action, key: str) -> None:
        address = address_of(action.target)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.file, self.options.timeout_s):
                lines = self._changed(action, address, key)
                if lines is not None:
                    replace_file(self.file, "".join(lines).encode("utf-8", "surrogateescape"))
        except (OSError, UnavailableError) as error:
            # The list is replaced in one step, and the last thing that can fail is making that durable.
            if self._is_done(action, address):
                raise
            raise NotDoneError(f"the list {str(self.file)!r} was not changed: {error}") from error

    def _changed(self, action: Action, address: Address, key: str) -> list[str] | None:
        """The lines as they are to be; None where they are so by this very action."""
        found = self._allowed(address, self._listing(address))
        if action.action_class == "allow ip":
            if not found.ours:
                raise NotDoneError(f"{address} is not on the list by Watchfloor; lines of other hands are left to them")
            return [line for number, line in enumerate(found.lines) if number not in found.ours]
        if key in found.ours.values():
            return None
        if found.ours:
            held = next(iter(found.ours.values()))
            raise NotDoneError(f"{address} is on the list already, by the proposal of digest {held}; end that first")
        if found.lines and not found.lines[-1].endswith("\n"):
            found.lines[-1] += "\n"
        return [*found.lines, f"{address} # {MARK}{key} {to_iso(now_us() // 1_000_000 * 1_000_000)}\n"]

    def _is_done(self, action: Action, address: Address) -> bool:
        try:
            return bool(self._listing(address).ours) == (action.action_class == "deny ip")
        except (OSError, UnavailableError):
            return True

    def read_back(self, action: Action, key: str) -> ReadBack:
        address = address_of(action.target)
        found = self._listing(address)
        is_denied = bool(found.ours) or bool(found.others)
        if key in found.ours.values():
            text = f"{address} is on the list {self.file}, by this action"
        elif found.ours:
            text = f"{address} is on the list {self.file}, by the proposal of digest {next(iter(found.ours.values()))}"
        elif found.others:
            text = f"{address} is on the list {self.file} by another hand, as {', '.join(found.others)}"
        else:
            text = f"{address} is not on the list {self.file}"
        is_applied = is_denied == (action.action_class == "deny ip")
        return ReadBack(Effect.APPLIED if is_applied else Effect.NOT_APPLIED, _state(found), text)

    def _allowed(self, address: Address, found: _Listing) -> _Listing:
        """What was put there before it was protected can be taken back all the same. Raises `NeverError`."""
        if not found.ours:
            refuse_never(address, self._never)
        return found

    def _listing(self, address: Address) -> _Listing:
        text = (read_small(self.file, MAX_BYTES) or b"").decode("utf-8", "surrogateescape")
        lines = text.split("\n")
        lines = [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
        ours: dict[int, str] = {}
        others: list[str] = []
        for number, line in enumerate(lines):
            # The address of a line of ours stands there in the spelling that it has here.
            match = _OURS.fullmatch(line)
            if match and match[1] == str(address):
                ours[number] = match[2]
            elif match is None:
                network = _entry(line)
                if network is not None and covers(network, address):
                    others.append(str(network))
        return _Listing(lines, ours, tuple(others))


def _state(found: _Listing) -> TargetState:
    return TargetState({"listed_by": sorted(found.ours.values()), "covered_by": list(found.others)})


def _entry(line: str) -> Network | None:
    """The address or network at the start of a line of another hand; None for comments and anything else."""
    words = re.split(r"[\s,;#]", line, maxsplit=1)
    try:
        return ip_network(words[0], strict=False) if words[0] else None
    except ValueError:
        return None
