"""For what passkeys are made and checked: the public address, as the settings have it."""

from __future__ import annotations

from urllib.parse import urlsplit

from watchfloor_core.settings import Settings
from watchfloor_guardrails.assertion import RelyingParty


def relying_party(settings: Settings) -> RelyingParty | None:
    """None where no browser could use a passkey; people then sign with keys of the command line."""
    origin = settings.passkey_origin
    if origin is None:
        return None
    return RelyingParty(urlsplit(origin).hostname or "", (origin,))
