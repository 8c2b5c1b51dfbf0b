"""The one reader of the environment."""

from __future__ import annotations

import pytest

from watchfloor_core.settings import Settings


@pytest.mark.parametrize("given", ["acme, other", '["acme", "other"]', "acme,other,"])
def test_names_are_given_with_commas_or_as_a_list(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("WATCHFLOOR_CONNECTORS_ALLOWED", given)
    assert Settings().connectors_allowed == ("acme", "other")


def test_nothing_is_allowed_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHFLOOR_CONNECTORS_ALLOWED", raising=False)
    assert Settings().connectors_allowed == ()
