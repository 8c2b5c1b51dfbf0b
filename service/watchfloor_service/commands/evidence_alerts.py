"""Prints the alerts behind a piece of evidence."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from watchfloor_core.clock import to_iso
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_service.commands.outcome import console
from watchfloor_service.commands.place import Place, command
from watchfloor_service.incidents.evidence_alerts import AlertsBehind, shown_original


def print_alerts(alerts: Sequence[AlertsBehind], place: Place) -> None:
    """Those of each incident, and the original record of the first."""
    out = console()
    for number, one in enumerate(alerts):
        out.print()
        when = to_iso(one.first_us)
        if one.last_us != one.first_us:
            when = f"from {when} to {to_iso(one.last_us)}"
        many = "1 alert" if one.count == 1 else f"{one.count:,} alerts"
        out.print(Text(escape_untrusted(f"{many} in {one.incident_id}: {when}")), soft_wrap=True)
        if one.fingerprint is None:
            out.print("No alert of these is kept in detail any more, and no original record.")
            continue
        look = command(place.settings, place.tenant, f"alert show {one.fingerprint.hex()}")
        out.print(f"one of them: {look}", soft_wrap=True)
        if one.original is None:
            out.print("The original record is no longer kept (retention_raw_days).")
        elif number == 0:
            _print_original(one.original)


def _print_original(original: bytes) -> None:
    out = console()
    lines, is_whole = shown_original(original)
    out.print(f"its original record, {len(original):,} bytes{'' if is_whole else ', the beginning'}:")
    for line in lines:
        out.print(Text(f"  {line}"), soft_wrap=True)
