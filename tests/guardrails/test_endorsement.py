"""Who may vouch for a value, and what that makes of it at most."""

from __future__ import annotations

import pytest

from watchfloor_core.alert import Integrity
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.endorsement import CORROBORATION, endorse_by_corroboration, endorse_by_endorser, named_by

WRITTEN_OUTSIDE = Labelled("203.0.113.9", Integrity.EXTERNAL)


def test_an_endorser_of_others_lifts_the_taint_and_leaves_the_label() -> None:
    found = endorse_by_endorser(WRITTEN_OUTSIDE, "listed 1.2")
    assert (found.integrity, found.endorsed_by, found.is_tainted) == (Integrity.EXTERNAL, "endorser:listed 1.2", False)


@pytest.mark.parametrize(
    "name",
    ["", "listed", "person:ana 1", "Listed 1", "listed 1\n2", "listed  1", "listed 1 2", "corroboration", "a:b 1"],
)
def test_what_names_no_endorser_vouches_for_nothing(name: str) -> None:
    with pytest.raises(ValueError, match="names no endorser"):
        endorse_by_endorser(WRITTEN_OUTSIDE, name)


@pytest.mark.parametrize("integrity", [one for one in Integrity if one is not Integrity.EXTERNAL])
def test_what_nobody_has_to_vouch_for_stays_as_it_is(integrity: Integrity) -> None:
    value = Labelled("x", integrity)
    assert endorse_by_endorser(value, "listed 1") is value


def test_whoever_vouched_first_is_named() -> None:
    corroborated = endorse_by_corroboration(WRITTEN_OUTSIDE, {"edr", "firewall"})
    assert endorse_by_endorser(corroborated, "listed 1").endorsed_by == CORROBORATION
    typed = named_by("x", Principal("ana", PrincipalKind.PERSON))
    assert endorse_by_endorser(typed, "listed 1") is typed
