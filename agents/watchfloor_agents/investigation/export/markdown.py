"""A report as Markdown (CommonMark) for people.

What an attacker wrote stays text: in sentences every character that means something to Markdown is escaped and
addresses are defanged; what is quoted or cited stands in code spans, exact. No link, image or HTML in the page is ever
live.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from watchfloor_core.correction import Correction, Judgement
from watchfloor_core.evidence import Evidence
from watchfloor_core.moment import shown_time
from watchfloor_core.report import AffectedEntity, Citation, Finding, Hypothesis, Phase, Recommendation, Report
from watchfloor_core.untrusted import escape_untrusted

MAX_CITED: Final = 400
"""Characters of a cited value that are shown; the evidence has all."""
ID_DIGITS: Final = 12

_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
"""As `quote_untrusted` writes a value into a sentence."""
_SPECIAL: Final = re.compile(r"([\\`*\[\]<>&~|!^$#{}]|(?<![^\W_])_|_(?![^\W_])|:(?=[\w+-]+:))")
"""What Markdown, or a dialect of it, acts on inside a line."""
_WWW: Final = re.compile(r"\b(www)\.", re.IGNORECASE)
_BEGINNING: Final = re.compile(r"^(\d{1,9})(?=[.)])|^(?=[-+=])")
"""And what makes a list or a heading at its beginning."""
SHOW: Final = "watchfloor evidence show ID"
"""The command that shows evidence, where the reader's settings lead to the store."""
_OUTCOMES: Final = {"seen": "seen", "not seen": "not seen", "not testable": "could not be tested"}


def report_markdown(
    report: Report, evidence: Mapping[str, Evidence], corrections: Sequence[Correction] = (), *, show: str = SHOW
) -> str:
    """The page. ``evidence`` names the sources of what is cited; what is not in it is named by its id alone.
    ``corrections``: those of people that stand, shown beside what they are about. ``show``: the command that shows
    evidence, with ``ID`` for its id."""
    return "\n".join(_page(report, evidence, corrections, show)).rstrip() + "\n"


def _page(
    report: Report, evidence: Mapping[str, Evidence], corrections: Sequence[Correction], show: str
) -> Iterator[str]:
    yield f"# Investigation of incident {prose(report.incident_id)}, revision {report.revision}"
    yield ""
    yield f"- Verdict: **{prose(report.verdict.value)}**, probability of an attack {report.probability:.2f}"
    yield f"- Certainty: {report.certainty:.2f} (how much there was to decide on{_limits(report)})"
    if report.relation:
        yield f"- {prose(report.relation)}"
    yield f"- Tenant: {prose(report.tenant)}"
    if report.timeline:
        first, last = report.timeline[0], report.timeline[-1]
        yield f"- From {shown_time(first.time_us, first.precision)} to {shown_time(last.time_us, last.precision)} (UTC)"
    yield f"- By {prose(report.engine)}, version {prose(report.version)}"
    yield from _section("Summary", [prose(report.summary)])
    yield from _section("What happened", _timeline(report))
    yield from _section("Root cause", [prose(report.root_cause) if report.root_cause else "Not established."])
    look = f"Each finding names its evidence; {code(show)} shows it whole, with the question that found it."
    findings = [*_findings(report, evidence, corrections), look] if report.findings else ["None."]
    yield from _section("Findings", findings)
    missed = [_missed(one) for one in corrections if one.says is Judgement.MISSED]
    yield from _section("ATT&CK techniques", [*_techniques(report), *missed])
    yield from _section("Affected", [_entity(one) for one in report.entities] or ["Nothing is named."])
    yield from _section("Explanations", [line for one in report.hypotheses for line in _hypothesis(one)])
    yield from _section(
        "What is not known",
        [f"- {prose(one.text)} ({prose(one.cause)})" for one in report.unknowns] or ["Nothing is open."],
    )
    yield from _section("Recommended", list(_recommended(report)) or ["Nothing."])
    dropped = [f"- {prose(one.what)}: {prose(one.reason)}" for one in report.dropped]
    yield from _section("Claims that did not pass the check", dropped or ["None."])


def _section(title: str, lines: list[str] | Iterator[str]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield from lines


def _limits(report: Report) -> str:
    """The sources beside the certainty that they lower."""
    dark = sorted({one.source for one in report.unknowns if one.source and one.cause == "dark_source"})
    partial = sorted({one.source for one in report.unknowns if one.source} - set(dark))
    told = [
        f"{which}: {', '.join(map(code, names))}"
        for which, names in (("dark", dark), ("seen in part", partial))
        if names
    ]
    return f"; {'; '.join(told)}" if told else ""


def _timeline(report: Report) -> list[str]:
    return [
        f"{number}. {shown_time(one.time_us, one.precision)} {prose(one.text)}"
        for number, one in enumerate(report.timeline, 1)
    ] or ["No moment is known."]


def _findings(report: Report, evidence: Mapping[str, Evidence], corrections: Sequence[Correction]) -> Iterator[str]:
    for one in report.findings:
        yield f"- **{prose(one.id)}** {prose(one.text)}"
        yield f"  - {_weight(one)}"
        for citation in one.citations:
            yield f"  - {_citation(citation, evidence)}"
        for correction in corrections:
            if correction.finding_id == one.id:
                yield f"  - {_corrected(correction)}"
    yield ""


def _corrected(one: Correction) -> str:
    done = "confirmed" if one.says is Judgement.RIGHT else "corrected"
    technique = f", {prose(one.technique)}" if one.technique else ""
    return f"**{done} by {prose(one.principal)}**: {one.says.value}{technique}{_comment(one)}"


def _missed(one: Correction) -> str:
    return f"- **missed, says {prose(one.principal)}**: {prose(one.technique or '')}{_comment(one)}"


def _comment(one: Correction) -> str:
    return f": {prose(one.comment)}" if one.comment else ""


def _weight(one: Finding) -> str:
    about = f"{one.stance.value} {one.hypothesis_id}" if one.hypothesis_id else one.stance.value
    external = ", rests on text that an attacker can write" if one.rests_on_external else ""
    techniques = f", {', '.join(one.techniques)}" if one.techniques else ""
    return prose(f"{one.code}: {about}, log-odds {one.log_odds:+.1f}{techniques}{external}")


def _citation(one: Citation, evidence: Mapping[str, Evidence]) -> str:
    held = evidence.get(one.evidence_id)
    source = f" of {prose(held.source)}" if held is not None else ""
    place = f" from character {one.start}" if one.start is not None else ""
    text = one.text if len(one.text) <= MAX_CITED else one.text[:MAX_CITED] + "…"
    return f"evidence {code(one.evidence_id[:ID_DIGITS])}{source}, {code(one.field)}{place}: {code(text)}"


def _techniques(report: Report) -> list[str]:
    return [
        f"- {prose(one.technique)}"
        + (f" {prose(one.name)}" if one.name != one.technique else "")
        + f" ({', '.join(prose(each) for each in one.finding_ids)})"
        for one in report.techniques
    ] or ["None is borne out."]


def _entity(one: AffectedEntity) -> str:
    return f"- {prose(one.scope.value)}: {prose(one.kind)} {code(one.value)} ({', '.join(map(prose, one.finding_ids))})"


def _hypothesis(one: Hypothesis) -> Iterator[str]:
    yield f"- **{prose(one.id)}** {prose(one.title)}: {one.probability:.2f}"
    for each in one.predictions:
        findings = f" ({', '.join(map(prose, each.finding_ids))})" if each.finding_ids else ""
        side = "for" if each.is_for else "against"
        outcome = _OUTCOMES.get(each.outcome, prose(each.outcome))
        yield f"  - {side} it, if seen: {prose(each.text)}: {outcome}{findings}"


def _recommended(report: Report) -> Iterator[str]:
    for phase in Phase:
        found = [one for one in report.recommendations if one.phase is phase]
        if found:
            yield f"{phase.value.capitalize()}:"
            yield ""
            yield from (_advice(one) for one in found)
            yield ""


def _advice(one: Recommendation) -> str:
    findings = ", ".join(map(prose, one.finding_ids))
    if not one.action_class:
        return f"- {prose(one.purpose)} ({findings})"
    effect = f" Effect: {prose(one.expected_effect)}. Undo: {prose(one.undo)}."
    return f"- {prose(one.action_class)} {code(one.target)}: {prose(one.purpose)}.{effect} ({findings})"


def prose(text: str) -> str:
    """Text inside a sentence: visible, without a line's end, with nothing that Markdown acts on and no address live.

    Values that the sentence quotes stand in code spans, as they are.
    """
    parts: list[str] = []
    end = 0
    for quoted in _QUOTED.finditer(text):
        parts += [_plain(text[end : quoted.start()]), code(_UNQUOTED.sub(r"\1", quoted.group(1)))]
        end = quoted.end()
    parts.append(_plain(text[end:]))
    return _BEGINNING.sub(lambda found: f"{found.group(1) or ''}\\", "".join(parts).lstrip(" "))


_UNQUOTED: Final = re.compile(r"\\([\"\\])")


def _plain(text: str) -> str:
    shown = _WWW.sub(r"\1[.]", escape_untrusted(text).replace("://", "[:]//").replace("@", "[@]"))
    return _SPECIAL.sub(r"\\\1", shown)


def code(text: str) -> str:
    """Text as it is, in a code span that it cannot end."""
    shown = escape_untrusted(text) or " "
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * (longest + 1)
    inner = f" {shown} " if shown.startswith("`") or shown.endswith("`") or shown.strip() == "" else shown
    return f"{fence}{inner}{fence}"
