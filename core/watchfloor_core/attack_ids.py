"""Ids of ATT&CK techniques that a later version has replaced, so that rules and sensors of any age mean the same.

ATT&CK 19 took *Impair Defenses* (T1562) apart and moved the clearing of logs there; earlier versions merged others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

REPLACED: Final[Mapping[str, str]] = {
    "T1562": "T1685",
    "T1562.001": "T1685",
    "T1562.002": "T1685.001",
    "T1562.003": "T1690",
    "T1562.004": "T1686",
    "T1562.006": "T1685",
    "T1562.007": "T1686.001",
    "T1562.008": "T1685.002",
    "T1562.009": "T1688",
    "T1562.010": "T1689",
    "T1562.011": "T1685.003",
    "T1562.012": "T1685.004",
    "T1562.013": "T1686.002",
    "T1070.001": "T1685.005",
    "T1070.002": "T1685.006",
    "T1053.001": "T1053.002",
    "T1547.011": "T1647",
    "T1574.002": "T1574.001",
    "T1076": "T1021.001",
    "T1215": "T1547.006",
    "T1487": "T1561.002",
}
"""Old id: the id that ATT&CK 19.2 gives it, by the relationships ``revoked-by`` of its Enterprise bundle."""


def current_technique(technique: str) -> str:
    """The id that a technique has now; an id that was not replaced as it is."""
    return REPLACED.get(technique, technique)


def current_techniques(techniques: Iterable[str]) -> tuple[str, ...]:
    """The ids that they have now, each once, in their order."""
    return tuple(dict.fromkeys(map(current_technique, techniques)))
