"""Lines of the CSV files that are written here, safe to open in a spreadsheet whatever their texts hold."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Final

from watchfloor_core.untrusted import escape_untrusted

_FORMULA: Final = re.compile(r"(^|[;|])([ \"]*)(?=[=+\-@＝＋－＠])")
"""Spreadsheets take a cell that begins so for a formula. Where a cell begins is theirs to say: in many countries they
split at semicolons, and at more where somebody chose it. Tabs and line breaks are made visible and split nothing."""
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_.:-]*)?(?:,(?:[A-Za-z0-9][A-Za-z0-9_.:-]*)?)+")
"""A line of numbers and names, as most are: nothing in it needs a look of its own."""


def csv_line(values: Sequence[object]) -> bytes:
    """One line with its end. Texts are other people's: what is invisible in them is made visible, and what a
    spreadsheet would calculate gets an apostrophe before it."""
    texts = [str(one) for one in values]
    plain = ",".join(texts)
    if _PLAIN.fullmatch(plain) and plain.count(",") == len(texts) - 1:
        return f"{plain}\n".encode()
    line = io.StringIO()
    cells = [_FORMULA.sub(r"\1\2'", escape_untrusted(one)) for one in texts]
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()
