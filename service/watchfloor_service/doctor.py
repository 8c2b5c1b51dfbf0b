"""``watchfloor doctor``: looks at everything a run needs, piece by piece, and says what to do about what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from watchfloor_core.errors import WatchfloorError
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_service.invocation import current_settings

if TYPE_CHECKING:
    from watchfloor_core.settings import Settings


class Health(StrEnum):
    OK = "ok"
    INFO = "info"
    """Nothing is wrong, and somebody may want to know."""
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    health: Health
    found: str
    remedy: str = ""


Check = Callable[["Settings"], Finding]

COLOURS: Final = {Health.OK: "green", Health.INFO: "cyan", Health.WARN: "yellow", Health.FAIL: "red"}


def examine_and_print() -> int:
    """Print the table; 1 where anything fails."""
    from rich import box
    from rich.text import Text

    from watchfloor_service.commands.outcome import console
    from watchfloor_service.fitted_table import FittedTable

    findings = list(examine())
    rows = [
        [Text(name), Text(one.health, COLOURS[one.health]), Text(one.found), Text(one.remedy)] for name, one in findings
    ]
    headers = ("check", "", "found", "what to do")
    console().print(FittedTable(headers, rows, whole=["check", ""], box=box.SIMPLE, title="watchfloor doctor"))
    return 1 if any(finding.health is Health.FAIL for _, finding in findings) else 0


def examine() -> Iterator[tuple[str, Finding]]:
    """Every check with what it found; one that breaks is a finding too, and the next one runs all the same."""
    try:
        settings = current_settings()
    except WatchfloorError as error:
        yield "settings", Finding(Health.FAIL, _one_line(error), "mend the environment variable or option")
        return
    yield "settings", Finding(Health.OK, f"data directory {settings.data_dir}")
    for name, check in _checks():
        yield name, _guarded(check, settings)


def failed(error: WatchfloorError, remedy: str) -> Finding:
    """What a check says of an error whose own words do not say what to do."""
    return Finding(Health.FAIL, _one_line(error), remedy)


def _guarded(check: Check, settings: Settings) -> Finding:
    try:
        return check(settings)
    except WatchfloorError as error:
        found, _, remedy = _one_line(error).rpartition("; ")
        return Finding(Health.FAIL, found or remedy, remedy if found else "")
    except Exception as error:  # noqa: BLE001 - whatever is broken about an installation, the other checks still run
        return Finding(
            Health.FAIL, f"the check broke: {type(error).__name__}: {_one_line(error)}", "reinstall watchfloor"
        )


def _one_line(error: Exception) -> str:
    return escape_untrusted(" | ".join(str(error).split("\n")))


def _checks() -> Sequence[tuple[str, Check]]:
    from watchfloor_service.checks import configuration, installation, key_files, restraints, services

    return (
        ("python", installation.python),
        ("packages", installation.packages),
        ("temporal program", installation.temporal_program),
        ("clock", installation.clock),
        ("data directory", installation.data_directory),
        ("database", services.database),
        ("running stack", services.running_stack),
        ("executor", services.executor),
        ("ports", services.ports),
        ("temporal", services.temporal),
        ("autonomy", configuration.autonomy),
        ("policy", configuration.policy),
        ("connectors", configuration.connectors),
        ("plug-ins", configuration.plug_ins),
        ("log sources", configuration.log_sources),
        ("context", configuration.context),
        ("tools", configuration.tools),
        ("playbooks", configuration.playbooks),
        ("channels", configuration.channels),
        ("signing keys", key_files.signing_keys),
        ("payload keys", key_files.payload_ring),
        ("kill switches", restraints.kill_switches),
        ("freezes", restraints.freezes),
        ("leases", configuration.leases),
        ("approvals", restraints.approvals),
    )
