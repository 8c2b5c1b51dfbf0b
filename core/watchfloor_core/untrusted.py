"""Attacker-authored text, made safe to look at: nothing in it can move a cursor, hide itself or end a line.

Alert fields reach terminals, logs and the console. A command line may hold ANSI escapes that repaint the screen, a
file name a bidirectional override that turns ``gpj.exe`` round, a user name a line feed that fakes a log line. Here
every such character becomes visible text, ``\\u{001B}``.

The result is plain text. It is not escaped for HTML or for a markup language of a terminal library: print it with
markup switched off.
"""

from __future__ import annotations

import re
from typing import Final

QUOTE_LIMIT: Final = 200
"""Characters of untrusted text that are shown in one place unless the caller says otherwise."""

_BLANK_BUT_PRINTABLE: Final = (
    "\u034f"  # combining grapheme joiner
    "\u115f\u1160\u3164\uffa0"  # Hangul fillers
    "\u17b4\u17b5"  # Khmer inherent vowels
    "\u180b-\u180d\u180f"  # Mongolian variation selectors
    "\u2800"  # Braille pattern blank
    "\ufe00-\ufe0f\U000e0100-\U000e01ef"  # variation selectors: two of them carry a hidden byte
)
"""What `str.isprintable` lets through though it draws nothing (Unicode ``Default_Ignorable_Code_Point`` of the
categories Lo and Mn, and one blank symbol). Controls, format characters (bidirectional, zero-width, tags, BOM),
surrogates, unassigned and private-use code points, and all separators but the plain space are not printable."""

_NOT_ASCII: Final = re.compile(r"[^\x20-\x7e]")
_BLANK: Final = re.compile(f"[{_BLANK_BUT_PRINTABLE}]")
_QUOTED: Final = str.maketrans({'"': '\\"', "\\": "\\\\"})


def escape_untrusted(text: str) -> str:
    """The text with every character that is invisible or acts on its surroundings as ``\\u{XXXX}``.

    Backslashes stay as they are, so text that was quoted before comes out unchanged; use `quote_untrusted` where it
    must be clear where the foreign text begins and ends.
    """
    if text.isprintable() and (text.isascii() or not _BLANK.search(text)):
        return text
    return _NOT_ASCII.sub(_visible, text)


def quote_untrusted(text: str, limit: int = QUOTE_LIMIT) -> str:
    """The text in double quotes, made visible and cut to ``limit`` characters of the original.

    What is cut is counted: ``"AAAA"…(+996 characters)``. Quotes and backslashes inside are escaped, so that the text
    cannot pretend to have ended.
    """
    shown = escape_untrusted(text[:limit].translate(_QUOTED))
    cut = len(text) - limit
    return f'"{shown}"' if cut <= 0 else f'"{shown}"…(+{cut} characters)'


def _visible(match: re.Match[str]) -> str:
    character = match.group()
    if character.isprintable() and not _BLANK.match(character):
        return character
    return f"\\u{{{ord(character):04X}}}"
