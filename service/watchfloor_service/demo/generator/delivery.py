"""How the lines reach the file: late, twice, or broken, as in any pipeline that has been running for a while."""

from __future__ import annotations

import gzip
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from watchfloor_core.ports import Json
from watchfloor_service.demo.generator.cloud_noise import cloud_noise
from watchfloor_service.demo.generator.emission import Emission, Truth
from watchfloor_service.demo.generator.host_noise import host_noise
from watchfloor_service.demo.generator.intrusion import intrusion
from watchfloor_service.demo.generator.network_noise import network_noise
from watchfloor_service.demo.generator.organisation import inventory_yaml
from watchfloor_service.demo.generator.rhythm import FIRST_DAY, SECOND_DAY, at
from watchfloor_service.demo.scenario import INVENTORY_FILE, SENTINEL_FILE, SURICATA_FILE, WAZUH_FILE

# What no sensor means to write: lines cut by a log rotation, a note of the shipper, fields that went missing.
_BROKEN: Final[dict[str, tuple[tuple[int, bytes], ...]]] = {
    SURICATA_FILE: (
        (at(FIRST_DAY, "09:00:00"), b"[eve-log] disk full, 312 events lost"),
        (
            at(FIRST_DAY, "16:20:00"),
            b'{"timestamp":"2026-03-10T16:20:00.000000+0000","event_type":"alert","src_ip":"10.20.4.103",'
            b'"src_port":50112,"dest_ip":"192.0.2.33","dest_port":443,"proto":"TCP",'
            b'"alert":{"action":"allowed","gid":1,"severity":2}}',
        ),
        (
            SECOND_DAY,
            b'{"timestamp":"2026-03-10T23:59:59.999214+0000","flow_id":1533880914402211,"in_iface":"eth1","event_ty',
        ),
        (
            at(SECOND_DAY, "12:00:00"),
            b'{"timestamp":"0000-00-00T00:00:00","flow_id":1,"event_type":"alert","src_ip":"10.20.4.104",'
            b'"src_port":50113,"dest_ip":"192.0.2.33","dest_port":443,"proto":"TCP","alert":{"action":"allowed",'
            b'"gid":1,"signature_id":2016149,"rev":2,"signature":"ET INFO STUN","category":"Misc activity",'
            b'"severity":3}}',
        ),
    ),
    WAZUH_FILE: (
        (SECOND_DAY, b'{"timestamp":"2026-03-10T23:59:59.871+0000","rule":{"level":3,"description":"PAM: Login ses'),
        (
            at(SECOND_DAY, "07:30:00"),
            b'{"timestamp":"2026-03-11T07:30:00.000+0000","agent":{"id":"103","name":"ws-103","ip":"10.20.4.103"},'
            b'"manager":{"name":"wazuh01"},"id":"1773214200.1","decoder":{"name":"json"},"location":"EventChannel"}',
        ),
        (
            at(SECOND_DAY, "18:00:00"),
            b'{"timestamp":"yesterday","rule":{"level":3,"description":"Windows Logon Success","id":"60106",'
            b'"groups":["windows"]},"agent":{"id":"103","name":"ws-103","ip":"10.20.4.103"},'
            b'"manager":{"name":"wazuh01"},"id":"1773252000.2","decoder":{"name":"json"},"location":"EventChannel"}',
        ),
    ),
    SENTINEL_FILE: (
        (
            at(SECOND_DAY, "08:12:00"),
            b'{"TenantId":"6f1d2c34-77aa-4c58-9e0b-5d3f8a1b2c90","TimeGenerated":"2026-03-11T08:12:00.0000000Z","Disp',
        ),
        (
            at(SECOND_DAY, "19:45:00"),
            b'{"TenantId":"6f1d2c34-77aa-4c58-9e0b-5d3f8a1b2c90","TimeGenerated":"31/02/2026 25:61",'
            b'"StartTime":"31/02/2026 25:61","AlertName":"Atypical travel","DisplayName":"Atypical travel",'
            b'"AlertSeverity":"Medium","ProviderName":"IPC","VendorName":"Microsoft",'
            b'"SystemAlertId":"00000000-0000-4000-8000-000000000001","AlertType":"ImpossibleTravel",'
            b'"ProductName":"Azure Active Directory Identity Protection","Entities":"[]","Type":"SecurityAlert"}',
        ),
    ),
}

# A shipper that restarts sends its last lines again: file, moment, lines.
_SENT_AGAIN: Final = (
    (SURICATA_FILE, at(FIRST_DAY, "10:42:00"), 60),
    (SURICATA_FILE, at(SECOND_DAY, "15:30:00"), 25),
    (WAZUH_FILE, at(SECOND_DAY, "14:15:00"), 40),
)


def deliver() -> dict[str, list[Emission]]:
    """The lines of each file in the order in which they were written."""
    files: dict[str, list[Emission]] = {SURICATA_FILE: [], WAZUH_FILE: [], SENTINEL_FILE: []}
    for emission in (*network_noise(), *host_noise(), *cloud_noise(), *intrusion()):
        files[_file_of(emission.line)].append(emission)
    for name, lines in files.items():
        lines.extend(Emission(us, line, Truth.MALFORMED) for us, line in _BROKEN[name])
        lines.sort(key=lambda emission: (emission.arrival_us, emission.line))
    for name, moment, count in _SENT_AGAIN:
        _send_again(files[name], moment, count)
    return files


def _file_of(line: bytes) -> str:
    if line.startswith(b'{"TenantId"'):
        return SENTINEL_FILE
    return SURICATA_FILE if b'"event_type"' in line else WAZUH_FILE


def _send_again(lines: list[Emission], moment: int, count: int) -> None:
    index = next(index for index, emission in enumerate(lines) if emission.arrival_us >= moment)
    again = [
        replace(emission, arrival_us=moment, is_repeat=True)
        for emission in lines[index - count : index]
        if emission.truth is not Truth.MALFORMED
    ]
    lines[index:index] = again


def truth_of(files: dict[str, list[Emission]]) -> dict[str, Json]:
    """What only the author knows, by 1-based record number: for tests, never for a product that is being judged."""
    return {name: _truth_of(lines) for name, lines in files.items()}


def _truth_of(lines: Sequence[Emission]) -> dict[str, Json]:
    intrusion_lines: dict[str, list[Json]] = defaultdict(list)
    for position, emission in enumerate(lines, start=1):
        if emission.stage is not None:
            intrusion_lines[emission.stage].append(position)
    return {
        "records": len(lines),
        "intrusion": dict(sorted(intrusion_lines.items())),
        "malformed": list(_positions(lines, Truth.MALFORMED)),
        "not_alerts": list(_positions(lines, Truth.NOT_AN_ALERT)),
        "repeats": [position for position, emission in enumerate(lines, start=1) if emission.is_repeat],
    }


def _positions(lines: Iterable[Emission], truth: Truth) -> Iterator[int]:
    return (position for position, emission in enumerate(lines, start=1) if emission.truth is truth)


def write_scenario(folder: Path, truth_file: Path | None = None) -> None:
    """Writes the three files and the inventory into a folder, and the ground truth beside the tests."""
    files = deliver()
    for name, lines in files.items():
        (folder / name).write_bytes(_compress(b"".join(emission.line + b"\n" for emission in lines)))
    (folder / INVENTORY_FILE).write_text(inventory_yaml(), encoding="utf-8")
    if truth_file is not None:
        truth_file.write_text(json.dumps(truth_of(files), separators=(",", ":")) + "\n", encoding="utf-8")


def _compress(data: bytes) -> bytes:
    buffer = io.BytesIO()
    # No file name and no time in the header: the same content gives the same bytes.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()
