"""Tables of the command line: no address, id or time is broken or cut, however narrow the terminal."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich import box
from rich.console import Console
from rich.text import Text

from watchfloor_service.fitted_table import MAX_WHOLE, FittedTable

ADDRESS = '"2001:db8:85a3:8d3:1319:8a2e:370:7348"'
HOST = '"build-agent-17.continuous-integration.eu-central.example.org"'
INCIDENT = "inc-0123456789abcdef"
TIME = "2026-03-11T08:59:30.123456Z"
PROSE = "Executable file dropped in folder commonly used by malware on ws-109 and 37 more, which nobody has seen before"


def shown(table: FittedTable, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, markup=False, emoji=False, highlight=False).print(table)
    return out.getvalue()


def table(*rows: tuple[str, ...], frame: box.Box | None = None) -> FittedTable:
    headers = ["time", "alerts", "incident", "where", "from", "why"]
    cells = [[Text(one) for one in row] for row in rows]
    return FittedTable(headers[: len(rows[0])], cells, right=["alerts"], whole=["time"], box=frame)


@pytest.mark.parametrize("width", [70, 80, 100, 120, 160, 240])
@pytest.mark.parametrize("frame", [None, box.SIMPLE, box.SIMPLE_HEAD], ids=["plain", "simple", "head"])
def test_addresses_ids_times_and_names_of_hosts_stay_whole(width: int, frame: box.Box | None) -> None:
    page = shown(table((TIME, "1,234", INCIDENT, HOST, ADDRESS, PROSE), frame=frame), width)
    for value in (TIME, "1,234", INCIDENT, HOST, ADDRESS):
        assert value in page
    assert all(len(line) <= width for line in page.splitlines())
    for word in PROSE.split():
        assert word in page


def test_where_the_columns_fit_they_stand_side_by_side_and_the_prose_folds() -> None:
    rows = [[Text(INCIDENT), Text("escalated"), Text(PROSE)]]
    lines = shown(FittedTable(["incident", "status", "what"], rows), 80).splitlines()
    assert lines[0].split() == ["incident", "status", "what"]
    assert lines[1].startswith(f"{INCIDENT}  escalated  Executable file")
    assert [line[:33].strip() for line in lines[2:]] == [""] * len(lines[2:])
    assert len(lines) == 4


def test_where_they_do_not_each_value_stands_behind_the_name_of_its_column() -> None:
    page = shown(table((TIME, "5", INCIDENT, HOST, ADDRESS, "because"), (TIME, "6", "", HOST, "", "no")), 70)
    first, second = (f"time {TIME}  alerts {count}" for count in (5, 6))
    starts = [line for line in page.splitlines() if not line.startswith(" ")]
    assert [start[: len(first)] for start in starts] == [first, second]
    assert f"where {HOST}" in " ".join(page.split())
    assert "from" not in page[page.index(second) :]


def test_what_is_longer_than_any_name_is_folded_and_nothing_of_it_is_lost() -> None:
    code = "QWxhZGRpbjpvcGVuIHNlc2FtZQ" * 12
    page = shown(FittedTable(["field", "value"], [[Text("process.command_line"), Text(code)]]), 80)
    assert "".join(line[22:].strip() for line in page.splitlines()[1:]) == code
    assert len(code) > MAX_WHOLE


WORDS = st.text("abc:.-0123456789", min_size=1, max_size=MAX_WHOLE)
CELLS = st.lists(WORDS, max_size=6).map(" ".join)


@given(
    st.integers(MAX_WHOLE + 2 + 7, 200),
    st.integers(1, 6).flatmap(lambda n: st.lists(st.tuples(*[CELLS] * n), min_size=1, max_size=4)),
    st.sampled_from([None, box.SIMPLE]),
)
def test_no_word_is_ever_broken_and_no_line_is_too_long(
    width: int, rows: list[tuple[str, ...]], frame: box.Box | None
) -> None:
    page = shown(table(*rows, frame=frame), width)
    assert all(len(line.rstrip()) <= width for line in page.splitlines())
    words = set(page.split())
    for word in itertools.chain.from_iterable(cell.split() for row in rows for cell in row[1:]):
        assert word in words
