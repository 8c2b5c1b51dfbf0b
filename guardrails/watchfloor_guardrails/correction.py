"""A person's correction of a finding: what makes one acceptable."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from watchfloor_core.correction import Judgement
from watchfloor_guardrails.decision import MAX_COMMENT, MAX_PRINCIPAL, Principal, PrincipalKind, is_storable


@dataclass(frozen=True, slots=True)
class CorrectionRequest:
    """What the person wants, as it came over the wire."""

    says: Judgement
    finding_id: str | None
    """None for a technique that the report does not have."""
    technique: str | None = None
    comment: str = ""


def refusals(
    request: CorrectionRequest,
    principal: Principal,
    *,
    named: Collection[str],
    is_technique: Callable[[str], bool],
) -> list[str]:
    """Every reason against a correction, each with its remedy; empty where it is acceptable.

    ``named``: the techniques that the report has; ``is_technique`` knows the ids of ATT&CK.
    """
    return [*_against_principal(principal), *_against_form(request, named, is_technique), *_against_comment(request)]


def _against_principal(principal: Principal) -> Iterator[str]:
    if principal.kind is not PrincipalKind.PERSON:
        yield f"principal {principal.name!r} is a {principal.kind}; only a person corrects a finding"
    if not 1 <= len(principal.name) <= MAX_PRINCIPAL:
        yield f"the principal's name has {len(principal.name)} characters; 1 to {MAX_PRINCIPAL} are expected"


def _against_form(
    request: CorrectionRequest, named: Collection[str], is_technique: Callable[[str], bool]
) -> Iterator[str]:
    says, technique = request.says, request.technique
    if technique is not None and not is_technique(technique):
        yield f"{technique[:16]!r} is no technique of ATT&CK; give an id such as T1003.001"
    if request.finding_id is None:
        if says not in (Judgement.MISSED, Judgement.WITHDRAWN):
            yield f"{says.value!r} is said of a finding; name the finding"
        if technique is None:
            yield "neither a finding nor a technique is named; name the finding, or the technique that was missed"
        elif says is Judgement.MISSED and technique in named:
            yield f"the report has {technique}; correct the finding that it rests on"
        return
    if says is Judgement.MISSED:
        yield "a technique is missed by the report, not by a finding; name the technique alone"
    elif technique is not None and says not in (Judgement.WRONG, Judgement.INCOMPLETE):
        yield f"{says.value!r} takes no technique; one goes with a finding that is wrong or incomplete"


def _against_comment(request: CorrectionRequest) -> Iterator[str]:
    if len(request.comment) > MAX_COMMENT:
        yield f"the comment has {len(request.comment):,} characters; at most {MAX_COMMENT:,} are kept"
    if not is_storable(request.comment):
        yield "the comment holds a NUL or half a surrogate pair, which no database keeps; remove it"
