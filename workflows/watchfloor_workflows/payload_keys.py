"""The payload keys that the settings name."""

from __future__ import annotations

from watchfloor_connectors.secrets.resolve import secret_source
from watchfloor_core.keys.payload_file import ensure_ring, ring_file
from watchfloor_core.keys.payload_in_use import PayloadKeys
from watchfloor_core.keys.sources import PrivateFile
from watchfloor_core.settings import Settings


def payload_keys(settings: Settings) -> PayloadKeys:
    """Of the place that the setting names, else of the data directory, where they are made at the first start.

    Raises `ConfigurationError`.
    """
    if settings.payload_keys is not None:
        return PayloadKeys(secret_source(settings.payload_keys, settings))
    path = ring_file(settings.data_dir)
    ensure_ring(path)
    return PayloadKeys(PrivateFile(path))
