"""One endorser of others asked, guarded: whatever it does, what it does not say clearly is no."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import anyio

from watchfloor_agents.plugged.messages import Converse, PlugInError, Vouch
from watchfloor_agents.vouching.endorser import NamedValue

_log = logging.getLogger(__name__)

VOUCH_S: Final = 10.0
"""For the values of one report or one triage, from its process's start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluggedEndorser:
    """An endorser that is installed, allowed and has said who it is."""

    name: str
    version: str
    converse: Converse
    timeout_s: float = VOUCH_S

    @property
    def signature(self) -> str:
        """As proposals name it."""
        return f"{self.name} {self.version}"

    async def vouched(self, values: Sequence[NamedValue]) -> tuple[NamedValue, ...]:
        """Those that it vouches for. Raises nothing but the cancellation of the task it runs in."""
        try:
            with anyio.fail_after(self.timeout_s):
                said = await self.converse(Vouch(tuple(values)), _no_questions)
        except PlugInError as error:
            problem = str(error)
        except TimeoutError:
            problem = f"it gave no answer within {self.timeout_s:g} seconds"
        except Exception as error:  # noqa: BLE001  # whatever becomes of it, the proposal is made and asks
            problem = f"it could not be asked: {type(error).__qualname__}"
        else:
            # One for each and all of them truth values: half an answer could be one about another value.
            if isinstance(said, list) and len(said) == len(values) and all(isinstance(one, bool) for one in said):
                return tuple(value for value, is_vouched in zip(values, said, strict=True) if is_vouched)
            problem = "what it said is no yes or no for each value"
        _log.warning("endorser %s vouches for nothing: %s", self.name, problem)
        return ()


async def _no_questions(said: Mapping[str, Any]) -> object:
    raise PlugInError(f"it wants to {said['say']}; an endorser has nobody to ask")
