"""Where the scenario's files lie.

They are written by ``python -m watchfloor_service.demo.generator``; a test holds them against its output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

SURICATA_FILE: Final = "suricata-eve.ndjson.gz"
WAZUH_FILE: Final = "wazuh-alerts.ndjson.gz"
SENTINEL_FILE: Final = "sentinel-security-alerts.ndjson.gz"
INVENTORY_FILE: Final = "inventory.yaml"

_FOLDER: Final = Path(__file__).parent


def scenario_files() -> list[Path]:
    """The records of the three sensors, each file in the vendor's own format, in order of arrival."""
    return [_FOLDER / name for name in (SURICATA_FILE, WAZUH_FILE, SENTINEL_FILE)]


def inventory_file() -> Path:
    """The organisation's assets with their tiers."""
    return _FOLDER / INVENTORY_FILE
