"""What was started under which key, and how it ended: written before and after, so that a crash leaves a plain answer.

``<key>.begun`` is made, once, before anything starts; ``<key>.json`` once the outcome is known. Both are on disk
before what follows them. The first without the second: it began, and nobody knows how it ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from watchfloor_connectors.targets.base import Slot
from watchfloor_connectors.targets.files import read_small, replace_in
from watchfloor_core.errors import UnavailableError, WatchfloorError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.effect import MAX_OUTPUT, Effect, NotDoneError, ReadBack, TargetState

KEEP_DAYS: Final = 90
_DAY_S: Final = 86_400
_MAX_FILE: Final = 1 << 20
_SHOWN: Final = 300


class Outcome(BaseModel):
    """How a run ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    effect: Literal["applied", "not_applied", "unknown"]
    text: str
    """For a person."""
    output: str = ""
    """At most `MAX_OUTPUT` characters."""
    began: bool = True
    """False: for certain nothing was started."""
    started_s: float = 0.0
    """Of the system's clock, as `ended_s`."""
    ended_s: float = 0.0


class Runs:
    """The records of one tool for one tenant. Safe for several threads and processes."""

    def __init__(self, slot: Slot, keep_days: int) -> None:
        self.folder = slot.data_dir / "targets" / slot.tool / "runs" / slot.tenant
        self._keep_days = keep_days

    def run(self, key: str, start: Callable[[], Outcome]) -> None:
        """Starts once per key what ``start`` starts, and keeps its outcome.

        ``start`` raises `NotDoneError` where it started nothing. Under a key that has ended nothing is done. Raises
        `NotDoneError` where nothing was started before either, `UnavailableError` where the outcome is open.
        """
        if self._is_done(key):
            return
        started_s = time.time()
        try:
            outcome = start()
        except NotDoneError as error:
            self._keep(key, Outcome(effect="not_applied", text=f"it was not started: {error}", began=False), started_s)
            raise
        except Exception as error:
            # Of what a library raises its class alone: its text can hold a credential, and this is shown to people.
            text = str(error) if isinstance(error, WatchfloorError) else f"it broke off with {type(error).__name__}"
            self._keep(key, Outcome(effect="unknown", text=text), started_s)
            raise
        self._keep(key, outcome, started_s)
        if outcome.effect == "unknown":
            raise UnavailableError(outcome.text)

    def told(self, key: str, state: TargetState) -> ReadBack:
        """Raises `UnavailableError` where the records cannot be read."""
        found = self._outcome(key)
        if found is not None:
            return ReadBack(Effect(found.effect), state, found.text, found.output)
        if self._begun(key).exists():
            return ReadBack(Effect.UNKNOWN, state, "it was started, and how it ended was not written down")
        return ReadBack(Effect.NOT_APPLIED, state, "nothing was started under this key")

    def _is_done(self, key: str) -> bool:
        """Whether it ran already; else it is written down that it begins."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._forget_old()
            descriptor = os.open(self._begun(key), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            found = self._outcome(key)
            if found is None or found.effect == "unknown":
                raise UnavailableError("it was started before under this key, and how it ended is open") from None
            if not found.began:
                raise NotDoneError(f"under this key {found.text}; propose it anew") from None
            return True
        except OSError as error:
            raise NotDoneError(f"nothing was started: {str(self.folder)!r} cannot be written: {error}") from error
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return False

    def _keep(self, key: str, outcome: Outcome, started_s: float) -> None:
        told = outcome.model_copy(update={"started_s": started_s, "ended_s": time.time()})
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            replace_in(folder, f"{key}.json", told.model_dump_json().encode(), 0o600)
        finally:
            os.close(folder)

    def _outcome(self, key: str) -> Outcome | None:
        file = self.folder / f"{key}.json"
        content = read_small(file, _MAX_FILE)
        if content is None:
            return None
        try:
            return Outcome.model_validate_json(content)
        except ValidationError as error:
            raise UnavailableError(f"the record {str(file)!r} is not readable: look at it, and remove it") from error

    def _begun(self, key: str) -> Path:
        return self.folder / f"{key}.begun"

    def _forget_old(self) -> None:
        oldest_s = time.time() - self._keep_days * _DAY_S
        for file in self.folder.iterdir():
            with suppress(OSError):
                if file.stat().st_mtime < oldest_s:
                    file.unlink()


def ended(code: int | None, output: bytes, problem: bytes, *, is_cut: bool = False, limit: str = "") -> Outcome:
    """The outcome of a program by its exit code; None: it was stopped at its time limit, which ``limit`` tells."""
    said = f"; it wrote to standard error: {quote_untrusted(text_of(problem).strip(), _SHOWN)}" if problem else ""
    cut = "; its output is cut" if is_cut or len(text_of(output)) > MAX_OUTPUT else ""
    kept = text_of(output)[:MAX_OUTPUT]
    if code is None:
        text = f"it was stopped {limit}; what it had changed by then is not known{said}{cut}"
        return Outcome(effect="unknown", text=text, output=kept)
    if code != 0:
        text = f"it ended with exit code {code}; what it had changed by then is not known{said}{cut}"
        return Outcome(effect="not_applied", text=text, output=kept)
    return Outcome(effect="applied", text=f"it ended with exit code 0{said}{cut}", output=kept)


def text_of(content: bytes) -> str:
    """As text that every database keeps: what is no UTF-8, and NUL, is replaced."""
    return content.decode("utf-8", "replace").replace("\0", "\ufffd")
