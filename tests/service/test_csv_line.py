"""Lines of CSV that a spreadsheet reads, and in which it finds nothing to calculate."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_service.runs.csv_line import csv_line

STARTERS = "=+-@＝＋－＠"


def cells(line: bytes, delimiter: str = ",") -> list[str]:
    """As a program reads them that splits there."""
    return next(csv.reader([line.decode()], delimiter=delimiter))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("-1", "'-1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("＝1+1", "'＝1+1"),
        (" =1+1", " '=1+1"),
        ('"=1+1', "\"'=1+1"),
        ("x;=1+1", "x;'=1+1"),
        ('x;=HYPERLINK("http://evil")', 'x;\'=HYPERLINK("http://evil")'),
        ('x; "+1', "x; \"'+1"),
        ("x|@1;-2", "x|'@1;'-2"),
        ("x;;=1", "x;;'=1"),
        ("\t=1+1", "\\u{0009}=1+1"),
        ("x\n=1+1", "x\\u{000A}=1+1"),
        ("x\r=1+1", "x\\u{000D}=1+1"),
    ],
)
def test_what_would_be_a_formula_is_a_text(text: str, expected: str) -> None:
    assert cells(csv_line(["fired", 1, text, ""])) == ["fired", "1", expected, ""]


@pytest.mark.parametrize(
    "text", ["Suspicious PowerShell -enc", "a=b", "x; y | z", "a, b", 'says "no"', "C:\\x\\y.exe", "T1003.001", "", "ö"]
)
def test_a_plain_text_stays_as_it_is(text: str) -> None:
    assert cells(csv_line([text, text])) == [text, text]


def test_numbers_and_names_are_written_as_they_are() -> None:
    assert csv_line([1, "0a" * 16, "", "TruePositive", "1.5e-07", "policy"]) == (
        b"1,0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a,,TruePositive,1.5e-07,policy\n"
    )


TEXTS = st.text(st.sampled_from("=+-@＝;|,\t\r\n \"'ab1.:_") | st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from(",;|\t"))
def test_wherever_a_spreadsheet_splits_no_cell_begins_as_a_formula(texts: list[str], delimiter: str) -> None:
    assert not [one for one in cells(csv_line(texts), delimiter) if one.lstrip(' "').startswith(tuple(STARTERS))]


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_a_line_has_as_many_cells_as_it_was_given(texts: list[str]) -> None:
    line = csv_line(texts)
    assert len(cells(line)) == len(texts)
    assert line.count(b"\n") == 1
