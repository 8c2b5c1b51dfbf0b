"""Alerts per second through HTTP into the durable store, against the floor of parsing and inserting the same rows.

Floor: each line through `json.loads`, its values by `executemany` into one bare SQLite table, a transaction for each
batch. Product: `POST /v1/alerts` to a real uvicorn process on loopback: authenticated, framed, normalised,
fingerprinted, deduplicated, original bytes kept, one ledger entry and one durable transaction for each batch.

    python benchmarks/bench_http_ingest.py [--batch 5000] [--connections 2] [--rounds 3]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import http.client
import json
import multiprocessing
import os
import resource
import shutil
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_service.access.tokens import PrincipalKind, Scope, create_token
from watchfloor_service.supervision.listening import free_port

DATA = Path(__file__).parents[2] / "shared" / "data" / "ait_ads"
AIM_RATIO = 0.25
AIM_RATE = 10_000


@dataclass(frozen=True)
class Measured:
    seconds: float
    cpu_s: float
    """Of the one process that does the work: says the same on a busy machine as on an idle one."""
    peak_mb: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=5_000)
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    connector, lines = _lines()
    bodies = [b"".join(lines[at : at + arguments.batch]) for at in range(0, len(lines), arguments.batch)]
    print(f"{len(lines):,} records of {connector}, {len(bodies)} bodies, {os.cpu_count()} processors")
    floors, products = [], []
    for number in range(arguments.rounds):
        # Alternating, so that both meet the same neighbours on the machine.
        floors.append(_floor(lines, arguments.batch))
        products.append(_product(bodies, connector, len(lines), arguments.connections))
        floor, product = floors[-1], products[-1]
        print(
            f"  round {number + 1}: "
            f"floor {len(lines) / floor.seconds:>9,.0f}/s   HTTP {len(lines) / product.seconds:>9,.0f}/s   "
            f"ratio {floor.seconds / product.seconds:.2f}   "
            f"CPU per alert {floor.cpu_s / len(lines) * 1e6:.1f} and {product.cpu_s / len(lines) * 1e6:.1f} us"
        )
    pairs = list(zip(floors, products, strict=True))
    ratio = statistics.median(floor.seconds / product.seconds for floor, product in pairs)
    cpu_ratio = statistics.median(floor.cpu_s / product.cpu_s for floor, product in pairs)
    rate = statistics.median(len(lines) / product.seconds for product in products)
    peak_mb = max(product.peak_mb for product in products)
    print(f"http_ingest: {rate:,.0f} alerts/s, {ratio:.2f} of the floor ({cpu_ratio:.2f} by CPU time of one process)")
    print(f"  API process at most {peak_mb:.0f} MB")
    is_met = ratio >= AIM_RATIO and rate >= AIM_RATE
    print(f"  aim: {AIM_RATE:,}/s and {AIM_RATIO} of the floor: {'met' if is_met else 'missed'}")


def _lines() -> tuple[str, list[bytes]]:
    """Both AIT-ADS files as NDJSON; where they are absent, Suricata alerts of the same number."""
    files = sorted(DATA.glob("*_alerts.csv.gz"))
    if files:
        return "ait-ads", [_encoded(row) for file in files for row in _rows(file)]
    return "suricata", [_encoded(_eve(number)) for number in range(176_321)]


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with gzip.open(file, "rt", newline="") as source:
        yield from csv.DictReader(source)


def _encoded(row: dict[str, object] | dict[str, str]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _eve(number: int) -> dict[str, object]:
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1_700_000_000 + number // 3))
    return {
        "timestamp": f"{at}.{number % 1_000_000:06d}+0000",
        "flow_id": number,
        "event_type": "alert",
        "src_ip": f"10.0.{number // 250 % 250}.{number % 250}",
        "src_port": 40_000 + number % 20_000,
        "dest_ip": f"10.1.0.{number % 40}",
        "dest_port": 443,
        "proto": "TCP",
        "alert": {
            "action": "allowed",
            "gid": 1,
            "signature_id": 2_000_000 + number % 200,
            "rev": 1,
            "signature": f"ET TEST signature {number % 200}",
            "category": "Misc activity",
            "severity": 1 + number % 3,
        },
    }


def _floor(lines: Sequence[bytes], batch: int) -> Measured:
    folder = tempfile.mkdtemp(prefix="wf-floor-")
    connection = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    names = list(json.loads(lines[0]))
    connection.execute(f"CREATE TABLE row ({', '.join(f'c{index}' for index, _ in enumerate(names))})")
    statement = f"INSERT INTO row VALUES ({', '.join('?' * len(names))})"  # noqa: S608
    started, started_cpu = time.perf_counter(), time.process_time()
    for at in range(0, len(lines), batch):
        records = [json.loads(line) for line in lines[at : at + batch]]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, [[_plain(record[name]) for name in names] for record in records])
        connection.execute("COMMIT")
    measured = Measured(time.perf_counter() - started, time.process_time() - started_cpu)
    connection.close()
    shutil.rmtree(folder)
    return measured


def _plain(value: object) -> object:
    return json.dumps(value) if isinstance(value, dict) else value


def _product(bodies: Sequence[bytes], connector: str, records: int, connections: int) -> Measured:
    folder = Path(tempfile.mkdtemp(prefix="wf-http-"))
    settings = Settings(data_dir=folder, api_port=free_port(), max_pending_alerts=2 * records)
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    with store.write() as connection:
        token = create_token(connection, "default", "bench", PrincipalKind.SERVICE, [Scope.ALERTS_WRITE]).text
    store.close()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(settings, theirs))
    server.start()
    ours.recv()
    waiting: SimpleQueue[bytes] = SimpleQueue()
    for body in bodies:
        waiting.put(body)
    answers: list[dict[str, int]] = []
    senders = [
        threading.Thread(target=_send, args=(settings.api_port, token, connector, waiting, answers))
        for _ in range(connections)
    ]
    started = time.perf_counter()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    seconds = time.perf_counter() - started
    ours.send("stop")
    cpu_s, peak_mb = ours.recv()
    server.join()
    taken = sum(answer["alerts"] + answer["duplicates"] for answer in answers)
    assert taken == records, f"{taken} of {records} records became alerts"
    shutil.rmtree(folder)
    return Measured(seconds, cpu_s, peak_mb)


def _send(port: int, token: str, connector: str, waiting: SimpleQueue[bytes], answers: list[dict[str, int]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    while not waiting.empty():
        connection.request("POST", f"/v1/alerts?connector={connector}", waiting.get(), headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 202, answer
        answers.append(answer)
    connection.close()


def _serve(settings: Settings, pipe: multiprocessing.connection.Connection) -> None:
    import uvicorn

    from watchfloor_service.api.app import create_app

    config = uvicorn.Config(
        create_app(settings), port=settings.api_port, log_config=None, access_log=False, server_header=False
    )
    server = uvicorn.Server(config)
    started_cpu: list[float] = []
    thread = threading.Thread(target=_stop_when_told, args=(server, pipe, started_cpu), daemon=True)
    thread.start()
    server.run()
    used = resource.getrusage(resource.RUSAGE_SELF)
    # Without what the start took.
    pipe.send((time.process_time() - started_cpu[0], used.ru_maxrss / 1024))


def _stop_when_told(server: object, pipe: multiprocessing.connection.Connection, started_cpu: list[float]) -> None:
    import uvicorn

    assert isinstance(server, uvicorn.Server)
    while not server.started:
        time.sleep(0.01)
    started_cpu.append(time.process_time())
    pipe.send("ready")
    pipe.recv()
    server.should_exit = True


if __name__ == "__main__":
    main()
