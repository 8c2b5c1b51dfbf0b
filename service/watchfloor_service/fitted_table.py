"""A table for the terminal that breaks no address, id or time, however narrow the terminal is.

Words stay whole and sentences fold between them. Where the columns do not fit side by side, each row is told in lines,
every value behind its column's name: half an address cannot be copied, and a cut one is another address.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

MAX_WHOLE: Final = 64
"""Characters of a word that is kept whole: an id, a SHA-256, an IPv6 address in quotes, most names of hosts. What is
longer is code or data, and is broken where the column ends."""
MIN_PROSE: Final = 20
"""Columns that a sentence gets at least beside others."""
_INDENT: Final = 2


class FittedTable:
    """Rows of cells under headers; ``right`` names the columns of numbers, ``whole`` those whose cells are not even
    broken between words."""

    def __init__(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[Text]],
        *,
        right: Collection[str] = (),
        whole: Collection[str] = (),
        box: Box | None = None,
        title: str | None = None,
    ) -> None:
        self._headers = headers
        self._rows = rows
        self._right = right
        self._whole = whole
        self._box = box
        self._title = title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = self._widths(options.max_width - self._frame)
        if widths is None:
            yield from self._stacked(console, options.max_width)
            return
        table = Table(
            box=self._box,
            pad_edge=self._box is not None,
            header_style="bold",
            title=self._title,
            title_justify="left",
        )
        for header, width in zip(self._headers, widths, strict=True):
            table.add_column(
                header,
                justify="right" if header in self._right else "left",
                overflow="fold",
                no_wrap=header in self._whole,
                width=width,
            )
        for row in self._rows:
            table.add_row(*row)
        yield table

    @property
    def _frame(self) -> int:
        """Characters between and around cells: two spaces, or a box's edges and a space on both sides of each cell."""
        count = len(self._headers)
        return 2 * (count - 1) if self._box is None else 3 * count + 1

    def _widths(self, room: int) -> list[int] | None:
        """Of each column; None where they do not fit side by side."""
        columns = [
            _Column(header, [row[number] for row in self._rows], is_whole=header in self._whole)
            for number, header in enumerate(self._headers)
        ]
        left = room - sum(one.least for one in columns)
        if left < 0:
            return None
        wanted = sum(one.natural - one.least for one in columns)
        if wanted <= left:
            return [one.natural for one in columns]
        return [one.least + left * (one.natural - one.least) // wanted for one in columns]

    def _stacked(self, console: Console, width: int) -> Iterator[Text]:
        if self._title:
            yield Text(self._title, "italic")
        for row in self._rows:
            told = Text("  ").join(
                Text(" ").join([*([Text(header, "bold")] if header else []), cell])
                for header, cell in zip(self._headers, row, strict=True)
                if cell.plain
            )
            for number, line in enumerate(told.wrap(console, max(1, width - _INDENT), overflow="fold")):
                line.rstrip()
                yield Text(" " * _INDENT if number else "").append_text(line)


class _Column:
    def __init__(self, header: str, cells: Sequence[Text], *, is_whole: bool) -> None:
        texts = [header, *(cell.plain for cell in cells)]
        self.natural: Final = max(cell_len(line) for text in texts for line in text.split("\n"))
        words = (cell_len(word) for text in texts for word in text.split())
        longest = max((one for one in words if one <= MAX_WHOLE), default=0)
        self.least: Final = self.natural if is_whole else min(self.natural, max(longest, MIN_PROSE))
