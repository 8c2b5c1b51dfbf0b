"""The keys that the stack itself uses: those that sign, and those that payloads are encrypted with."""

from __future__ import annotations

from typing import Final

from watchfloor_connectors.secrets.resolve import secret_source
from watchfloor_core.errors import WatchfloorError
from watchfloor_core.keys.payload_file import ring_file
from watchfloor_core.keys.payload_in_use import PayloadKeys
from watchfloor_core.keys.signing import CHECKPOINT_KEY, GRANT_KEY, public_half, public_key
from watchfloor_core.keys.sources import PrivateFile
from watchfloor_core.settings import Settings
from watchfloor_service.doctor import Finding, Health, failed

_MADE: Final = "made by the first start"


def signing_keys(settings: Settings) -> Finding:
    """Private keys are private, and the executor checks grants by the half that belongs to the worker's key."""
    folder = settings.data_dir / "keys"
    try:
        held = {name: public_half(folder, name) for name in (GRANT_KEY, CHECKPOINT_KEY)}
    except WatchfloorError as error:
        return failed(error, "chmod 600 a file of yours; put back from a backup what is damaged")
    public = settings.grant_public_key or folder / f"{GRANT_KEY}.pub"
    signs, there = held[GRANT_KEY], [name for name, key in held.items() if key is not None]
    if not public.exists():
        if settings.grant_public_key is not None:
            return Finding(Health.FAIL, f"{public} is missing", f"copy the worker's {GRANT_KEY}.pub there")
        if signs is not None:
            return Finding(Health.WARN, f"{public} is missing", "the worker's next start writes it; the executor waits")
        return Finding(Health.OK, f"{folder}: {_MADE}")
    try:
        checks = public_key(public)
    except WatchfloorError as error:
        return failed(error, f"copy the worker's {GRANT_KEY}.pub there")
    if signs is not None and signs != checks:
        return Finding(
            Health.FAIL,
            f"{public} does not belong to {folder / GRANT_KEY}.key: the executor refuses every grant",
            f"copy {folder / GRANT_KEY}.pub there after a start of the worker, then start the executor again",
        )
    shown = ", ".join(f"{name}.key" for name in there) or "no private key"
    return Finding(Health.OK, f"{folder}: {shown}; grants are checked by {public}")


def payload_ring(settings: Settings) -> Finding:
    """The ring can be read where the setting says, or has not been made yet."""
    path = ring_file(settings.data_dir)
    if settings.payload_keys is None and not path.exists():
        return Finding(Health.OK, f"{path}: {_MADE}")
    named = settings.payload_keys
    try:
        source = PrivateFile(path) if named is None else secret_source(named, settings)
        ring = PayloadKeys(source).refresh()
    except WatchfloorError as error:
        return failed(error, "put the ring back from its backup: without it nobody reads what workflows wait for")
    shown = f"{source.reference}: current {ring.current.id}, {len(ring.older)} older"
    if ring.accepts_plaintext:
        return Finding(
            Health.WARN,
            f"{shown}; what is not encrypted is read too",
            "`watchfloor keys refuse-plaintext` once the workflows of version 0.1 have ended",
        )
    return Finding(Health.OK, shown)
