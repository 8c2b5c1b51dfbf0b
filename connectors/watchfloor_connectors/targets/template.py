"""A kind of tool to copy: docs/how-to/connect-a-tool.md builds it line by line.

It acts on a firewall that does not exist, which shuts out every address that has a file in one folder.
"""

from __future__ import annotations

from pathlib import Path

from watchfloor_connectors.targets.addresses import address_of, network_of, refuse_never
from watchfloor_connectors.targets.base import ConfiguredTarget, ToolOptions
from watchfloor_connectors.targets.blocklist import NetworkTexts
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState


class AcmeOptions(ToolOptions):
    folder: Path
    never: NetworkTexts = ()


class Acme(ConfiguredTarget[AcmeOptions]):
    kind = "acme"
    revision = "1"
    classes = frozenset({"deny ip", "allow ip"})
    options_type = AcmeOptions

    def privileges(self) -> tuple[str, ...]:
        return (f"write files in {self.options.folder}",)

    def read_state(self, target: Target) -> TargetState:
        held = self._key(target)
        if held is None:
            # What was denied before it was protected can be allowed again all the same.
            refuse_never(address_of(target), map(network_of, self.options.never))
        return TargetState({"denied_by": held})

    def do(self, action: Action, key: str) -> None:
        held = self._key(action.target)
        if action.action_class == "deny ip" and held not in (None, key):
            raise NotDoneError(f"denied already, by the proposal of digest {held}; end that first")
        if action.action_class == "allow ip" and held is None:
            raise NotDoneError("not denied")
        try:
            if action.action_class == "deny ip":
                self._file(action.target).write_text(key)
            else:
                self._file(action.target).unlink()
        except OSError as error:
            raise NotDoneError(f"the firewall's folder cannot be written: {error.strerror}") from error

    def read_back(self, action: Action, key: str) -> ReadBack:
        held = self._key(action.target)
        is_applied = held == key if action.action_class == "deny ip" else held is None
        text = "not denied" if held is None else f"denied by the proposal of digest {held}"
        return ReadBack(Effect.APPLIED if is_applied else Effect.NOT_APPLIED, TargetState({"denied_by": held}), text)

    def _file(self, target: Target) -> Path:
        return self.options.folder / str(address_of(target))

    def _key(self, target: Target) -> str | None:
        try:
            return self._file(target).read_text()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnavailableError(f"the firewall's folder cannot be read: {error.strerror}") from error
