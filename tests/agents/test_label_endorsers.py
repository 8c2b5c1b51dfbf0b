"""Label endorsers of others: the template keeps the contract, the kit finds what does not, and unclear is no."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.agents.test_reading_tools import Says
from watchfloor_agents.plugged.messages import PlugInError
from watchfloor_agents.vouching import template
from watchfloor_agents.vouching.asking import PluggedEndorser
from watchfloor_agents.vouching.endorser import NamedValue
from watchfloor_agents.vouching.template import ListedNetworks
from watchfloor_agents.vouching.testing import check_endorser

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "write-an-endorser.md"


def address(value: str) -> NamedValue:
    return NamedValue(action_class="deny ip", kind="ip", value=value, sources=())


LISTED, OTHER = address("198.51.100.7"), address("203.0.113.9")


class TestAsking:
    pytestmark = pytest.mark.anyio

    @pytest.mark.parametrize(
        ("said", "vouched"),
        [
            ([True, False], (LISTED,)),
            ([False, True], (OTHER,)),
            ([True], ()),
            ([True, True, True], ()),
            ([1, True], ()),
            (["yes", True], ()),
            (True, ()),
            (None, ()),
            ("sleeps", ()),
            ("asks", ()),
            (PlugInError("it failed with KeyError"), ()),
            (OSError("no more processes"), ()),
        ],
    )
    async def test_only_a_clear_yes_for_each_value_counts(self, said: object, vouched: tuple[NamedValue, ...]) -> None:
        endorser = PluggedEndorser(name="listed", version="1", converse=Says(said), timeout_s=0.05)
        assert await endorser.vouched([LISTED, OTHER]) == vouched


class TestContract:
    def test_the_template_keeps_it(self) -> None:
        check_endorser(ListedNetworks(), vouches_for=LISTED, not_for=[OTHER, address("198.51.101.1")])

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"name": "A B"}, "its name is"),
            ({"version": ""}, "has no version"),
            ({"vouches": lambda _: False}, "does not vouch for what"),
            ({"vouches": lambda _: "yes"}, "expected True or False"),
            ({"vouches": lambda _: True}, "it vouches for '203.0.113.9'"),
            ({"vouches": lambda one: one.value != "203.0.113.9"}, "it vouches for ''"),
        ],
    )
    def test_the_kit_finds_what_is_wrong(self, changes: Mapping[str, object], problem: str) -> None:
        endorser = ListedNetworks()
        for name, value in changes.items():
            setattr(endorser, name, value)
        with pytest.raises(AssertionError, match=problem):
            check_endorser(endorser, vouches_for=LISTED, not_for=[OTHER])

    def test_one_that_changes_its_mind_is_found(self) -> None:
        class Wavering(ListedNetworks):
            said = False

            def vouches(self, value: NamedValue) -> bool:
                self.said = not self.said
                return self.said

        with pytest.raises(AssertionError, match="otherwise the second time"):
            check_endorser(Wavering(), vouches_for=LISTED, not_for=[OTHER])

    def test_what_lacks_a_member_and_what_was_given_no_other_value_is_found(self) -> None:
        with pytest.raises(AssertionError, match="lacks a member"):
            check_endorser(object(), vouches_for=LISTED, not_for=[OTHER])  # type: ignore[arg-type]  # that is the point
        with pytest.raises(AssertionError, match="does not vouch for"):
            check_endorser(ListedNetworks(), vouches_for=LISTED, not_for=[])


def test_the_document_shows_the_template() -> None:
    assert Path(template.__file__).read_text().partition('"""\n\n')[2] in DOCUMENT.read_text()
