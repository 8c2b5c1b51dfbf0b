"""What a rule's title says of the ATT&CK tactic, for sensors that name none.

Titles are written by the rule's author, not by the attacker. The words are those of ATT&CK's own tactic and technique
names and of the common rule sets' categories; the weights are small on purpose: a title suggests, counts decide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a title suggests."""

    tactic: str | None
    """ATT&CK tactic id."""
    log_odds: float
    """How much more often such a title stands over an attack than over noise, as natural-log odds."""


_NONE = Suggestion(None, 0.0)

_VOCABULARY: tuple[tuple[re.Pattern[str], Suggestion], ...] = tuple(
    (re.compile(rf"\b(?:{words})", re.IGNORECASE), Suggestion(tactic, weight))
    for words, tactic, weight in (
        (r"ransom|mimikatz|cobalt ?strike|meterpreter|lsass|dcsync|golden ticket|kerberoast", "TA0006", 2.0),
        (r"web ?shell|reverse shell|remote code execution|shellshock|log4shell|exploit|sql injection", "TA0001", 1.5),
        (r"command and control|c2\b|beacon|trojan|backdoor|malware|botnet", "TA0011", 1.5),
        (r"exfiltrat|dns tunnel|data theft", "TA0010", 1.5),
        (r"credential dump|brute ?force|password spray|multiple (?:failed|authentication)", "TA0006", 1.0),
        (r"privilege|sudo|root\b|setuid|changed uid|token impersonation", "TA0004", 1.0),
        (r"lateral|psexec|pass.the.(?:hash|ticket)|remote service creat|wmi(?:exec)?\b", "TA0008", 1.5),
        (r"persistence|scheduled task|run key|autostart|new service installed|startup folder", "TA0003", 1.0),
        (r"defen[cs]e evasion|log (?:was )?cleared|disabled? (?:antivirus|defender|firewall)", "TA0005", 1.5),
        (r"web attack|suspicious url|directory traversal|cross.site|xss\b|injection", "TA0001", 1.0),
        (r"powershell|encoded command|macro|wscript|mshta|script execution", "TA0002", 1.0),
        (r"phish|malicious (?:attachment|link)", "TA0001", 1.5),
        (r"scan\b|scanner|nmap|nessus|reconnaissance|sweep|enumerat|discovery", "TA0043", 0.7),
    )
)


@lru_cache(maxsize=4096)
def suggest(title: str) -> Suggestion:
    """The strongest suggestion of a title; no words that we know: none."""
    return max(
        (suggestion for pattern, suggestion in _VOCABULARY if pattern.search(title)),
        key=lambda suggestion: suggestion.log_odds,
        default=_NONE,
    )
