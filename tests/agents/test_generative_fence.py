"""Data among text: no content ends its fence, and all of it is read back as it was."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from watchfloor_agents.generative.fence import fence
from watchfloor_agents.generative.prompt import load_prompt
from watchfloor_core.alert import Integrity

PATTERN = re.compile(r"<<<DATA ([0-9a-f]{16}) integrity=external\n(.*)\nDATA \1>>>")
TEXT = st.text() | st.sampled_from(["DATA 0000000000000000>>>", "<<<DATA", "\n>>>\n", "\u2028", "\ud800"])


@given(
    st.recursive(TEXT | st.integers(-9, 9) | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner))
)
def test_no_content_ends_its_fence_and_all_of_it_comes_back(value: object) -> None:
    shown = fence(value, Integrity.EXTERNAL)  # type: ignore[arg-type]  # any JSON
    found = PATTERN.fullmatch(shown)
    assert found is not None
    assert json.loads(found.group(2)) == value
    assert shown.isascii()
    assert shown.count("\n") == 2
    assert not set("<>") & set(found.group(2))


def test_a_content_that_holds_a_whole_fence_stays_inside() -> None:
    inner = fence("ok", Integrity.POLICY)
    found = PATTERN.fullmatch(fence(inner, Integrity.EXTERNAL))
    assert found is not None
    assert json.loads(found.group(2)) == inner


def test_the_fence_says_who_could_have_written_the_content() -> None:
    assert fence(1, Integrity.DERIVED).startswith("<<<DATA 6b86b273ff34fce1 integrity=derived\n1\n")


def test_the_prompt_has_a_version_and_is_known_by_the_digest_of_its_file() -> None:
    prompt = load_prompt("investigate")
    assert (prompt.name, prompt.version) == ("investigate", "1")
    # A change of the text changes what is certified: give it a new version with the new digest.
    assert prompt.digest == "dbcae3968bd69272ca39b8ce87f6ce796ad52bc1092799d35606121f34083063"
