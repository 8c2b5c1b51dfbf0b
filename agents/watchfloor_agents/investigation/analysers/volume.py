"""What only numbers show: passwords tried on many accounts, and much data that left (ATT&CK TA0006 and TA0010).

Knowledge: https://attack.mitre.org/techniques/T1110/003/ and https://attack.mitre.org/techniques/T1048/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from watchfloor_agents.investigation.engine import Analysis, Claim
from watchfloor_agents.investigation.scope import scope_of
from watchfloor_agents.investigation.view import CaseView, Question
from watchfloor_core.evidence import Evidence
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import Aggregate, Operator, Select, Where
from watchfloor_core.report import Citation, Scope
from watchfloor_core.untrusted import quote_untrusted

MANY_ACCOUNTS: Final = 8
"""Accounts on which one address failed: more than a person mistypes."""
MANY_FAILURES: Final = 20
"""Failures of one address on one account or few."""
LARGE_BYTES: Final = 100 * 1024**2


class VolumeAnalyser:
    """Counts instead of reading single events."""

    name = "volume"
    version = "1"

    def questions(self, view: CaseView) -> Sequence[Question]:
        scope = scope_of(view.case)
        failed = Select(range=scope.range, types=frozenset({EventType.LOGON_FAILED}))
        large = Select(
            range=scope.range,
            types=frozenset({EventType.NETWORK_CONNECTION}),
            where=Where(Field.SOURCE_BYTES, Operator.AT_LEAST, (LARGE_BYTES,)),
        )
        return [
            Question(
                Aggregate(select=failed, by=(Field.SOURCE_IP,), distinct=Field.USER_NAME, limit=20),
                tool="logon_sessions",
                purpose="Which addresses failed to log on, and on how many accounts",
            ),
            Question(
                Aggregate(select=large, by=(Field.SOURCE_IP, Field.DESTINATION_IP), limit=20),
                tool="network_peers",
                purpose="Between which addresses much data went",
            ),
        ]

    def analyse(self, view: CaseView) -> Analysis:
        failed, large = self.questions(view)
        claims: list[Claim] = []
        for question, make in ((failed, _guessing), (large, _sending)):
            answer = view.answer_to(question)
            for evidence in answer.evidence if answer is not None else ():
                claims += make(evidence)
        return Analysis(tuple(claims))


def _guessing(evidence: Evidence) -> list[Claim]:
    claims = []
    for number, group in _groups(evidence):
        (address,), count, accounts = group["values"], group["count"], group["distinct"] or 0
        if address is None or (accounts < MANY_ACCOUNTS and count < MANY_FAILURES):
            continue
        is_spray = accounts >= MANY_ACCOUNTS
        claims.append(
            Claim(
                code="password_spray" if is_spray else "password_guessing",
                text=f"{quote_untrusted(str(address), 60)} failed to log on {count} times, on {accounts} accounts",
                citations=_cited(evidence, number, ("values.0", "count", "distinct")),
                time_us=group["first_us"],
                log_odds=2.5 if is_spray else 2.0,
                techniques=("T1110.003",) if is_spray else ("T1110.001",),
                entities=(("ip", str(address), Scope.INVOLVED),),
            )
        )
    return claims


def _sending(evidence: Evidence) -> list[Claim]:
    claims = []
    for number, group in _groups(evidence):
        source, destination = group["values"]
        if source is None or destination is None:
            continue
        claims.append(
            Claim(
                code="large_transfer",
                text=(
                    f"{quote_untrusted(str(source), 60)} sent more than 100 MiB to "
                    f"{quote_untrusted(str(destination), 60)} in each of {group['count']} connections"
                ),
                citations=_cited(evidence, number, ("values.0", "values.1", "count")),
                time_us=group["first_us"],
                log_odds=1.0,
                techniques=("T1048",),
                entities=(("ip", str(destination), Scope.INVOLVED),),
            )
        )
    return claims


def _groups(evidence: Evidence) -> list[tuple[int, dict[str, Any]]]:  # Any: JSON, as `evidence_of_groups` wrote it
    groups = evidence.body.get("groups")
    return [(n, one) for n, one in enumerate(groups)] if isinstance(groups, list) else []


def _cited(evidence: Evidence, number: int, names: Sequence[str]) -> tuple[Citation, ...]:
    paths = [f"groups.{number}.{name}" for name in names]
    return tuple(Citation(evidence.id, path, value) for path in paths if (value := evidence.value(path)) is not None)
