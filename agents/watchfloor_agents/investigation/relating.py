"""How triage's verdict and an investigation's relate, in one sentence: the two rest on different things, and where both
are shown without a word, readers have to guess which counts."""

from __future__ import annotations

from typing import Final

from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_core.incident import Verdict
from watchfloor_core.report import Report
from watchfloor_core.untrusted import quote_untrusted

MAX_NAMED: Final = 3
"""Log sources, and reasons of triage, that the sentence names."""
NOBODY_ASKED: Final = "No log source could be asked"
"""How the entry under what is not known begins where there was none."""

_STANDS: Final = (
    "triage's verdict stands for what the alerts say and is the incident's until a person gives theirs, "
    "the investigation's for what evidence beyond them bears out"
)


def relation(case: InvestigationCase, report: Report) -> str:
    """The sentence; empty where triage had given no verdict that may be shown, as at level L0."""
    triage = case.triage_verdict
    if triage is None:
        return ""
    share = "" if case.triage_probability is None else f", probability {case.triage_probability:.2f}"
    said = f"Triage said {triage.value}{share}, from the alerts alone{_reasons(case)}"
    if triage is report.verdict is Verdict.UNDETERMINED:
        return f"{said}; the investigation could not decide it either, because {_lack(report)}; {_STANDS}."
    if triage is report.verdict:
        return f"{said}; the investigation came to the same by what it found, and {_STANDS}."
    if report.verdict is Verdict.UNDETERMINED:
        return f"{said}; the investigation could not establish that, because {_lack(report)}, so {_STANDS}."
    return f"{said}; the investigation came to {report.verdict.value} by what it found, so {_STANDS}: a person decides."


def _reasons(case: InvestigationCase) -> str:
    named = list(dict.fromkeys(one.replace("_", " ") for one in case.triage_reasons))[:MAX_NAMED]
    return f" (most of it {', '.join(named)})" if named else ""


def _lack(report: Report) -> str:
    """What was missing, the most telling first."""
    if any(one.cause == "conflict" for one in report.unknowns):
        return "the rules and a second engine disagree on it"
    if any(one.text.startswith(NOBODY_ASKED) for one in report.unknowns):
        return "no log source could be asked"
    sources = sorted({one.source for one in report.unknowns if one.source})
    if sources:
        more = f" and {len(sources) - MAX_NAMED} more" if len(sources) > MAX_NAMED else ""
        named = ", ".join(quote_untrusted(one, 80) for one in sources[:MAX_NAMED])
        return f"of the log sources {named}{more} a part at most could be seen"
    return "what the log sources hold does not decide it"
