"""Ids that a later ATT&CK has replaced."""

from __future__ import annotations

import re

import pytest

from watchfloor_connectors.attack import technique_name
from watchfloor_core.attack_ids import REPLACED, current_technique, current_techniques


def test_no_replaced_id_leads_to_another_that_was_replaced() -> None:
    assert not set(REPLACED) & set(REPLACED.values())
    assert all(re.fullmatch(r"T\d{4}(\.\d{3})?", one) for pair in REPLACED.items() for one in pair)


def test_what_was_not_replaced_stays_and_each_is_told_once() -> None:
    assert current_technique("T1003.001") == "T1003.001"
    assert current_techniques(["T1562.001", "T1003", "T1685", "T1070.001"]) == ("T1685", "T1003", "T1685.005")


@pytest.mark.parametrize(
    ("technique", "name"),
    [
        ("T1685", "Disable or Modify Tools"),
        ("T1686", "Disable or Modify System Firewall"),
        ("T1685.005", "Disable or Modify Tools: Clear Windows Event Logs"),
        ("T1003.001", "OS Credential Dumping: LSASS Memory"),
        ("T1021.001", "Remote Services: Remote Desktop Protocol"),
        ("T9999", None),
    ],
)
def test_what_has_a_new_id_has_a_name(technique: str, name: str | None) -> None:
    assert technique_name(technique) == name
