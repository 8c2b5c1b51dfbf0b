"""One incident, and the queue of them, as a page for the terminal. All text from alerts is quoted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from watchfloor_core.alert import TimePrecision
from watchfloor_core.clock import from_datetime
from watchfloor_core.errors import RecordError
from watchfloor_core.moment import shown_time
from watchfloor_core.ports import Json
from watchfloor_core.untrusted import escape_untrusted, quote_untrusted
from watchfloor_guardrails.explain import explain
from watchfloor_guardrails.ruling_json import ruling_from_json
from watchfloor_service.commands.outcome import console, print_table
from watchfloor_service.incidents.detail import IncidentDetail, ObservationView
from watchfloor_service.incidents.listing import IncidentSummary

STRONGEST: Final = 5
NARROW: Final = 110
"""Columns below which a table of incidents would break its words."""
ENTITIES: Final = 15
ATTRIBUTES: Final = 3
_STYLES: Final = {"escalated": "bold red", "queued": "yellow", "closed": "green"}


def print_queue(incidents: Sequence[IncidentSummary]) -> None:
    """One line an incident; two where the terminal is too narrow for that."""
    if console().width < NARROW:
        _print_narrow_queue(console(), incidents)
        return
    print_table(
        ["incident", "status", "verdict", "P(TP)", "severity", "alerts", "last alert", "title"],
        [
            [
                x.incident_id,
                x.status,
                x.verdict,
                _probability(x.probability),
                x.severity,
                f"{x.alert_count:,}",
                _to_second(x.last_alert_at),
                quote_untrusted(x.title, 80),
            ]
            for x in incidents
        ],
        right=["P(TP)", "alerts"],
        whole=["incident", "status", "verdict", "P(TP)", "alerts"],
    )


def _print_narrow_queue(out: Console, incidents: Sequence[IncidentSummary]) -> None:
    for x in incidents:
        verdict = f"{x.verdict or '–'} {_probability(x.probability)}"
        out.print(Text(f"{x.incident_id} {x.status} {verdict}", _STYLES.get(x.status, "")))
        out.print(Text(f"  {x.severity}, alerts: {x.alert_count:,}, the last {_to_second(x.last_alert_at)}"))
        out.print(Text(f"  {quote_untrusted(x.title, 80)}"))


def print_incident(found: IncidentDetail, whole: Callable[[str], str]) -> None:
    """The whole page. ``whole`` makes a command to paste of what stands behind ``watchfloor``."""
    out = console()
    _print_head(out, found)
    _print_investigation(out, found)
    _print_playbooks(out, found, whole)
    _print_reasons(out, found)
    _print_entities(out, found)
    _print_timeline(out, found)
    _print_ruling(out, found.ruling)
    _print_people(out, found)


def _print_head(out: Console, found: IncidentDetail) -> None:
    x = found.incident
    level = "" if x.level is None else f"  L{x.level}"
    out.print(
        Text(x.incident_id, "bold"), Text(x.status, _STYLES.get(x.status, "")), (x.verdict or "no verdict yet") + level
    )
    out.print(Text(quote_untrusted(x.title)))
    certainty = "" if found.certainty is None else f", certainty {found.certainty:.2f}"
    out.print(f"probability of TruePositive {_probability(x.probability) or '–'}{certainty}, severity {x.severity}")
    out.print(
        f"{x.alert_count:,} alerts from {_to_second(x.first_alert_at)} to {_to_second(x.last_alert_at)}, "
        f"{x.kind}, revision {x.revision} (triaged {x.triaged_revision}){', sealed' if x.is_sealed else ''}"
    )
    if x.closed_by is not None:
        out.print(f"closed by {x.closed_by}" + (f" at {_to_second(x.closed_at)}" if x.closed_at else ""))
    if x.merged_into is not None:
        out.print(f"merged into {x.merged_into}")


def _print_playbooks(out: Console, found: IncidentDetail, whole: Callable[[str], str]) -> None:
    if not found.playbooks:
        return
    _head(out, "Playbooks")
    for one in found.playbooks:
        next_ = f"; `{whole(f'playbook start {one.run_id}')}` starts it" if one.status == "picked" else ""
        out.print(Text(f"{one.run_id}  {one.status}  {escape_untrusted(one.name)}{next_}"), soft_wrap=True)


def _print_investigation(out: Console, found: IncidentDetail) -> None:
    x = found.investigation
    if x is None:
        return
    _head(out, "Investigation")
    before = "" if x.is_of_now else f", of revision {x.revision}; the incident has changed since"
    if x.verdict is None:
        problem = f": {escape_untrusted(x.problem)}" if x.problem else ""
        out.print(Text(f"{x.status}{problem}{before}"))
        return
    out.print(
        Text(
            f"{x.verdict}, probability of an attack {x.probability or 0:.2f}, certainty {x.certainty or 0:.2f}{before}"
        )
    )
    if x.relation:
        out.print(Text(escape_untrusted(x.relation)))


def _print_reasons(out: Console, found: IncidentDetail) -> None:
    _head(out, "Why")
    if not found.reasons:
        if found.incident.triaged_revision:
            out.print("The agent's answer is sealed until a person has given theirs (L0).")
        else:
            out.print(
                "Not decided yet: at once when something stands out, else when its session or its day is over, "
                "while `watchfloor up` runs."
            )
        return
    for reason in found.reasons[:STRONGEST]:
        mark = " (rests on attacker-written text)" if reason.rests_on_external else ""
        out.print(Text(f"  {reason.log_odds:+6.2f}  {reason.code}: {escape_untrusted(reason.text)}{mark}"))
    if len(found.reasons) > STRONGEST:
        rest = sum(reason.log_odds for reason in found.reasons[STRONGEST:])
        out.print(f"  {rest:+6.2f}  from {len(found.reasons) - STRONGEST} weaker reasons")
    out.print(f"  natural-log odds for TruePositive; engine {found.engine}")


def _print_entities(out: Console, found: IncidentDetail) -> None:
    _head(out, "Entities")
    if not found.entities:
        out.print("None.")
        return
    print_table(
        ["kind", "value", "alerts", ""],
        [
            [x.kind, quote_untrusted(x.value, 120), f"{x.alerts:,}", _asset(is_asset=x.is_asset, tier=x.tier)]
            for x in found.entities[:ENTITIES]
        ],
        right=["alerts"],
    )
    if len(found.entities) > ENTITIES:
        out.print(f"and {len(found.entities) - ENTITIES} more; --json gives them")


def _print_timeline(out: Console, found: IncidentDetail) -> None:
    shown, total = len(found.observations), found.observations_total
    _head(
        out, "Timeline" if shown == total else f"Timeline: the first {shown} of {total:,} (--observations N gives more)"
    )
    if not found.observations:
        return
    print_table(
        ["time", "alerts", "severity", "detector", "what", "why it is here"],
        [
            [_as_given(x), f"{x.alerts:,}", x.severity, _detector(x), _what(x), _why(x.reason)]
            for x in found.observations
        ],
        right=["alerts"],
    )


def _print_ruling(out: Console, ruling: Json) -> None:
    _head(out, "Ruling")
    if not isinstance(ruling, dict):
        out.print("None yet.")
        return
    try:
        lines = explain(ruling_from_json(ruling))
    except RecordError as error:
        lines = [f"it cannot be read: {error}"]
    for line in lines:
        out.print(Text(escape_untrusted(line)))


def _print_people(out: Console, found: IncidentDetail) -> None:
    if not found.human_verdicts:
        return
    _head(out, "People")
    for said in found.human_verdicts:
        seen = "had seen the agent's answer" if said.saw_agent_answer else "had not seen the agent's answer"
        out.print(
            Text(
                f"  {_to_second(said.decided_at)}  {escape_untrusted(said.principal)}: {said.verdict} on revision "
                f"{said.revision}, {seen}  {quote_untrusted(said.comment, 400)}"
            )
        )


def _head(out: Console, title: str) -> None:
    out.print()
    out.print(title, style="bold")


def _probability(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def _to_second(stamp: str) -> str:
    return stamp[:19] + "Z"


def _as_given(x: ObservationView) -> str:
    """The time in the precision that the sensor gave."""
    return shown_time(from_datetime(datetime.fromisoformat(x.first_at)), TimePrecision(x.precision))


def _asset(*, is_asset: bool, tier: int | None) -> str:
    if not is_asset:
        return ""
    return "asset" if tier is None else f"asset, tier {tier}"


def _detector(x: ObservationView) -> str:
    late = ", late" if x.is_late else ""
    return f"{x.product} {quote_untrusted(x.title, 80)}{late}"


def _what(x: ObservationView) -> str:
    shown = [f"{a.name}={quote_untrusted(a.value, 60)}" for a in x.attributes[:ATTRIBUTES]]
    more = len(x.attributes) - ATTRIBUTES
    return " ".join(shown) + (f" +{more}" if more > 0 else "")


def _why(reason: Json) -> str:
    text = reason.get("text") if isinstance(reason, dict) else None
    return escape_untrusted(str(text)) if text else ""
