"""What runs, or would: the database, a stack in the data directory, ports, Temporal."""

from __future__ import annotations

import asyncio

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import open_store
from watchfloor_core.store.migrate import current_revision
from watchfloor_core.store.migrations import HEAD
from watchfloor_service.doctor import Finding, Health
from watchfloor_service.supervision.claim import is_claimed
from watchfloor_service.supervision.listening import LOOPBACK, why_not_free
from watchfloor_service.supervision.part import PartName
from watchfloor_service.supervision.running import find_running
from watchfloor_service.supervision.stack import LOG_FOLDER


def database(settings: Settings) -> Finding:
    """Looks without making or upgrading anything."""
    file = settings.data_dir / "watchfloor.db"
    if settings.database_url is None and not file.exists():
        return Finding(Health.OK, f"{file}: made by the first start")
    revision = current_revision(settings.store_url)
    store = open_store(settings.store_url)
    try:
        with store.read() as connection:
            question = "SELECT sqlite_version()" if store.dialect == "sqlite" else "SHOW server_version"
            server = connection.exec_driver_sql(question).scalar_one()
    finally:
        store.close()
    found = f"{'SQLite' if store.dialect == 'sqlite' else 'PostgreSQL'} {server}, revision {revision or 'none'}"
    if revision == HEAD:
        return Finding(Health.OK, found)
    if revision is None or revision < HEAD:
        return Finding(Health.WARN, f"{found}; this version has {HEAD}", "the next start upgrades it; copy it before")
    return Finding(Health.FAIL, f"{found}; this version knows {HEAD}", "install the newer Watchfloor that upgraded it")


def running_stack(settings: Settings) -> Finding:
    running = find_running(settings.data_dir)
    if running is None:
        if is_claimed(settings.data_dir):
            return Finding(Health.WARN, "a stack starts or stops just now", "look again in a moment")
        return Finding(Health.OK, "none in this data directory")
    shown = ", ".join(f"{name} {pid}" for name, pid in running.processes.items())
    return Finding(Health.OK, f"`watchfloor {running.command}` (pid {running.pid}): {shown}")


def executor(settings: Settings) -> Finding:
    """Without it, what was approved waits."""
    running = find_running(settings.data_dir)
    if running is None:
        return Finding(Health.OK, "starts with `watchfloor up`")
    pid = running.processes.get(PartName.EXECUTOR)
    if pid is not None:
        return Finding(Health.OK, f"pid {pid}")
    if not running.is_lasting:
        return Finding(Health.INFO, f"`watchfloor {running.command}` runs without it; nothing is carried out")
    return Finding(
        Health.WARN,
        "the running stack has none just now; approved actions wait",
        f"look into {settings.data_dir / LOG_FOLDER / 'executor.log'}; then stop `watchfloor {running.command}` and "
        "start it again",
    )


def ports(settings: Settings) -> Finding:
    """Those on which `watchfloor up` would listen; taken ones are no failure, for `run` takes free ones."""
    if is_claimed(settings.data_dir):
        return Finding(Health.OK, "in use by the running stack")
    wanted = {"api_port": (settings.api_host, settings.api_port)}
    if settings.temporal_address is None:
        wanted["temporal_port"] = (LOOPBACK, settings.temporal_port)
    taken = {
        name: f"{port} on {host}: {reason}"
        for name, (host, port) in wanted.items()
        if port and (reason := why_not_free(host, port))
    }
    if taken:
        remedy = " and ".join(f"WATCHFLOOR_{name.upper()}" for name in taken)
        return Finding(Health.WARN, "; ".join(taken.values()), f"set {remedy} to others, or to 0, for `watchfloor up`")
    return Finding(Health.OK, ", ".join(f"{port} free" if port else "any" for _, port in wanted.values()))


def temporal(settings: Settings) -> Finding:
    address = settings.temporal_address
    if address is None:
        running = find_running(settings.data_dir)
        if running is None:
            return Finding(Health.OK, "embedded; it starts with `watchfloor up` or `watchfloor run`")
        address = running.temporal_address
    # Imported here: the client is the slowest import of all checks, and most calls end above.
    from watchfloor_workflows.client import connect

    asyncio.run(connect(settings.model_copy(update={"temporal_address": address})))
    return Finding(Health.OK, f"{address} answers, namespace {settings.temporal_namespace}")
