"""The page of a report: readable, and nothing in it acts, whatever an attacker wrote into the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from watchfloor_agents.investigation.export.markdown import code, prose, report_markdown
from watchfloor_core.alert import TimePrecision
from watchfloor_core.correction import Correction, Judgement
from watchfloor_core.evidence import Evidence, EvidenceKind
from watchfloor_core.incident import Verdict
from watchfloor_core.report import (
    AffectedEntity,
    Citation,
    Dropped,
    Finding,
    Hypothesis,
    HypothesisKind,
    Phase,
    Prediction,
    Recommendation,
    Report,
    Scope,
    Stance,
    TechniqueClaim,
    TimelineEntry,
    Unknown,
)
from watchfloor_core.untrusted import escape_untrusted, quote_untrusted

INJECTIONS = Path(__file__).parents[2].parent / "shared" / "data" / "injection"
LIVE = {"link_open", "image", "html_inline", "html_block", "fence", "code_block", "heading_open", "table_open"}
PARSER = MarkdownIt("commonmark", {"linkify": False}).enable(["table", "strikethrough"])
HOSTILE = (
    "[x](http://evil.example) ![y](//evil.example/p.png) <img src=x> <http://evil.example> www.evil.example WWW.x.io "
    "a@evil.example `` ` ``` ~~~ # h\n# h\n1. x\n- y\n=== \n|a|b|\n|-|-|\n&lt; $x$ :smile: \u202ecod.exe \x1b[31m"
)


def report(text: str) -> Report:
    """A report in which every text is this one."""
    cited = (Citation("e" * 64, text, text),)
    return Report(
        tenant=text,
        incident_id=text,
        revision=1,
        engine=text,
        version=text,
        verdict=Verdict.TRUE_POSITIVE,
        probability=0.9,
        certainty=0.5,
        summary=text,
        findings=(
            Finding(
                id=text,
                code=text,
                text=text,
                citations=cited,
                stance=Stance.SUPPORTS,
                hypothesis_id=text,
                log_odds=1.0,
                techniques=(text,),
                rests_on_external=True,
            ),
        ),
        timeline=(TimelineEntry(time_us=0, precision=TimePrecision.SECOND, text=text, citations=cited),),
        root_cause=text,
        root_cause_finding_ids=(text,),
        techniques=(TechniqueClaim(technique=text, name=text + "n", finding_ids=(text,)),),
        entities=(AffectedEntity(kind=text, value=text, scope=Scope.INVOLVED, finding_ids=(text,)),),
        hypotheses=(
            Hypothesis(
                id=text,
                kind=HypothesisKind.ATTACK,
                title=text,
                probability=0.9,
                predictions=(Prediction(text=text, is_for=True, outcome=text, finding_ids=(text,)),),
            ),
        ),
        unknowns=(Unknown(text=text, cause=text),),
        recommendations=(
            Recommendation(
                phase=Phase.CONTAIN,
                action_class=text or "x",
                target_kind=text,
                target=text,
                purpose=text,
                expected_effect=text,
                undo=text,
                finding_ids=(text,),
            ),
        ),
        dropped=(Dropped(what=text, reason=text),),
        started_us=0,
        ended_us=0,
    )


def corrections(text: str) -> tuple[Correction, ...]:
    """Of each kind, with this text wherever a person's could stand."""
    return tuple(
        Correction(
            id=number,
            incident_id=text,
            revision=1,
            report_sha256="0" * 64,
            finding_id=None if says is Judgement.MISSED else text,
            says=says,
            technique=None if says is Judgement.RIGHT else text,
            comment=text,
            principal=text,
            decided_us=0,
        )
        for number, says in enumerate((Judgement.WRONG, Judgement.RIGHT, Judgement.INCOMPLETE, Judgement.MISSED))
    )


def tokens(page: str) -> list[Any]:
    found = []
    for token in PARSER.parse(page):
        found.append(token)
        found += token.children or []
    return found


def live(page: str) -> set[str]:
    """What acts in the page beyond its own headings."""
    ours = report_markdown(report("x"), {}).count("\n#") + 1
    found = tokens(page)
    headings = sum(one.type == "heading_open" for one in found)
    assert headings == ours
    return {one.type for one in found} & (LIVE - {"heading_open"})


@pytest.mark.parametrize(
    "text", [HOSTILE, quote_untrusted(HOSTILE, 1_000), f"said {quote_untrusted(HOSTILE, 50)} twice"]
)
def test_nothing_in_the_page_acts(text: str) -> None:
    cited = {"e" * 64: Evidence(EvidenceKind.EVENT, text, {"fields": {}})}
    page = report_markdown(report(text), cited, corrections(text))
    assert live(page) == set()
    assert "\x1b" not in page
    assert "\u202e" not in page


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("[]()<>!`~#*_-+=|\\\"'&:/.@$^ \n\tahtpw1w\u202e\x00"), max_size=60))
def test_nothing_acts_whatever_is_written(text: str) -> None:
    assert live(report_markdown(report(text), {}, corrections(text))) == set()


@pytest.mark.skipif(not INJECTIONS.is_dir(), reason="the folder ../shared/data with the real data is absent")
def test_no_known_injection_becomes_a_link() -> None:
    texts = [
        line for file in sorted(INJECTIONS.rglob("*.json*")) for line in file.read_text("utf-8", "replace").splitlines()
    ]
    assert len(texts) > 100
    for text in texts[:: max(1, len(texts) // 300)]:
        assert live(report_markdown(report(text[:2_000]), {})) == set()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('The memory of LSASS was opened on "ws1": a.b_c 3', "The memory of LSASS was opened on `ws1`: a.b_c 3"),
        ('ran "C:\\\\x.exe \\"a\\"" then', 'ran `C:\\x.exe "a"` then'),
        ("1. first", "1\\. first"),
        ("- x", "\\- x"),
        ("a_b _c_", "a_b \\_c\\_"),
        ("http://e.example", "http\\[:\\]//e.example"),
    ],
)
def test_sentences_stay_readable(text: str, shown: str) -> None:
    assert prose(text) == shown


@given(st.text(max_size=40))
def test_a_code_span_holds_exactly_what_was_put_in(text: str) -> None:
    spans = [one for one in tokens(f"a {code(text)} b") if one.type == "code_inline"]
    # What cannot be seen is shown by its number, printable or not.
    if escape_untrusted(text) == text and text.strip() == text and text:
        assert [one.content for one in spans] == [text]
    else:
        assert len(spans) == 1


def test_a_report_without_anything_says_so() -> None:
    empty = replace(
        report("x"),
        findings=(),
        timeline=(),
        techniques=(),
        entities=(),
        hypotheses=(),
        unknowns=(),
        recommendations=(),
        dropped=(),
        root_cause=None,
        root_cause_finding_ids=(),
    )
    page = report_markdown(empty, {})
    for line in ("None.", "Not established.", "No moment is known.", "None is borne out.", "Nothing is named."):
        assert line in page


def test_what_people_say_stands_beside_what_it_is_about() -> None:
    page = report_markdown(report("F1"), {}, corrections("F1"))
    findings, techniques = page.split("## Findings")[1].split("## ATT&CK techniques")
    assert "  - **corrected by F1**: wrong, F1: F1\n" in findings
    assert "  - **confirmed by F1**: right: F1\n" in findings
    assert "  - **corrected by F1**: incomplete, F1: F1\n" in findings
    assert "- **missed, says F1**: F1: F1\n" in techniques
    assert "by F1" not in report_markdown(report("F1"), {})


def test_a_word_without_a_comment_ends_where_it_is_said() -> None:
    short = replace(corrections("F1")[0], technique=None, comment="")
    assert "  - **corrected by F1**: wrong\n" in report_markdown(report("F1"), {}, [short])
