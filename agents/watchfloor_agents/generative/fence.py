"""Data among the text that a model reads: fenced, labelled with who could have written it, and unable to end its fence.

The content is one line of ASCII JSON in which ``<`` and ``>`` are escaped, so that no content holds a fence's mark;
besides, the mark names the digest of the content, which content cannot hold of itself. Equal data gives equal text,
and so a run can be repeated byte for byte and a provider's prompt cache can work.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import JsonValue

_ESCAPES: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e"})
_TAG_DIGITS: Final = 16


def fence(value: JsonValue, integrity: Integrity) -> str:
    """The value between ``<<<DATA tag integrity=…`` and ``DATA tag>>>``.

    ``integrity`` is that of the least trusted part.
    """
    content = json.dumps(value, ensure_ascii=True, separators=(",", ":"), sort_keys=True).translate(_ESCAPES)
    tag = hashlib.sha256(content.encode()).hexdigest()[:_TAG_DIGITS]
    return f"<<<DATA {tag} integrity={integrity.name.lower()}\n{content}\nDATA {tag}>>>"
