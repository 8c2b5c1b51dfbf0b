"""What to do about what was found: steps for the response agent to propose, and work that people do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from watchfloor_agents.investigation.analysers.context import RUNBOOK
from watchfloor_agents.investigation.analysers.indicator import is_machine_account
from watchfloor_agents.investigation.engine import Claim
from watchfloor_core.addresses import is_outside
from watchfloor_core.alert import EntityKind
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.fields import Field
from watchfloor_core.report import HypothesisKind, Phase, Recommendation, Scope, Stance
from watchfloor_core.untrusted import quote_untrusted

MAX_ADDRESSES: Final = 3
MAX_ACCOUNTS: Final = 3
ACTED_FROM: Final = 1.0
"""Log-odds that the findings of what was done with an account must reach together: one odd command is no reason to
take somebody's account from them."""
_MEMORY: Final = "T1003"


def recommendations(verdict: Verdict, claims: Sequence[Claim], ids: Mapping[int, str]) -> tuple[Recommendation, ...]:
    """The least disruptive of each phase first; where the evidence does not decide, the runbooks alone, and where it
    speaks against an attack, none."""
    if verdict is not Verdict.TRUE_POSITIVE:
        return tuple(_runbooks(claims, ids)) if verdict is Verdict.UNDETERMINED else ()
    attack = [one for one in claims if one.about is HypothesisKind.ATTACK and one.stance is Stance.SUPPORTS]
    return (*_runbooks(claims, ids), *_contain(attack, ids), *_eradicate(attack, ids), *_recover(attack, ids))


def _runbooks(claims: Sequence[Claim], ids: Mapping[int, str]) -> Iterator[Recommendation]:
    for one in claims:
        if one.code == RUNBOOK and one.citations:
            title = quote_untrusted(one.citations[0].text, 160)
            yield _by_people(Phase.CONTAIN, f"Follow the runbook {title}", (ids[id(one)],))


def _contain(claims: Sequence[Claim], ids: Mapping[int, str]) -> Iterator[Recommendation]:
    addresses = _named(claims, EntityKind.IP, ids)
    outside = [(value, found) for value, found in addresses.items() if is_outside(value)]
    for value, found in outside[:MAX_ADDRESSES]:
        yield Recommendation(
            phase=Phase.CONTAIN,
            action_class="deny ip",
            target_kind="ip",
            target=value,
            purpose="An address outside took part in what was found",
            expected_effect="no connection to or from it is let through",
            undo="let the address through again",
            finding_ids=found,
        )
    for value, found in _named(claims, EntityKind.FILE, ids).items():
        yield Recommendation(
            phase=Phase.CONTAIN,
            action_class="contain file",
            target_kind="file",
            target=value,
            purpose="The file holds what was taken",
            expected_effect="nobody can read the file at its place",
            undo="put the file back",
            finding_ids=found,
        )
    for value, found in _acting(claims, ids).items():
        account = quote_untrusted(value, 80)
        yield _by_people(
            Phase.CONTAIN, f"Ask whoever holds the account {account} whether this was them, and end its sessions", found
        )
        yield Recommendation(
            phase=Phase.CONTAIN,
            action_class="disable user",
            target_kind="user",
            target=value,
            purpose="What was found was done with this account",
            expected_effect="nobody can sign in with it",
            undo="enable the account again",
            finding_ids=found,
        )
    hosts = _named([one for one in claims if _compromised(one)], EntityKind.HOST, ids)
    for value, found in hosts.items():
        yield _by_people(
            Phase.CONTAIN, f"Isolate {quote_untrusted(value, 80)} from the network while it is looked at", found
        )


def _eradicate(claims: Sequence[Claim], ids: Mapping[int, str]) -> Iterator[Recommendation]:
    lasting = [
        one for one in claims if any(each.startswith(("T1053", "T1543", "T1547", "T1546")) for each in one.techniques)
    ]
    if lasting:
        found = tuple(ids[id(one)] for one in lasting)
        yield _by_people(Phase.ERADICATE, "Remove what starts a program again: tasks, services, registry values", found)


def _recover(claims: Sequence[Claim], ids: Mapping[int, str]) -> Iterator[Recommendation]:
    stolen = [
        one for one in claims if any(each.startswith((_MEMORY, "T1555", "T1558", "T1552")) for each in one.techniques)
    ]
    if stolen:
        found = tuple(ids[id(one)] for one in stolen)
        is_domain = any(one.code.startswith(("ntds", "dcsync", "backup_key")) for one in stolen)
        what = "Change the passwords of all accounts of the domain, and krbtgt's twice" if is_domain else (
            "Change the passwords of the accounts that were in use on the hosts concerned"
        )  # fmt: skip
        yield _by_people(Phase.RECOVER, what, found)


def _by_people(phase: Phase, purpose: str, findings: tuple[str, ...]) -> Recommendation:
    return Recommendation(
        phase=phase,
        action_class="",
        target_kind="",
        target="",
        purpose=purpose,
        expected_effect="",
        undo="",
        finding_ids=findings,
    )


def _named(claims: Sequence[Claim], kind: EntityKind, ids: Mapping[int, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for one in claims:
        for each, value, _ in one.entities:
            if each == kind.value:
                found[value] = (*found.get(value, ()), ids[id(one)])
    return found


def _acting(claims: Sequence[Claim], ids: Mapping[int, str]) -> dict[str, tuple[str, ...]]:
    """Accounts with which something was done that speaks for an attack, by what the events themselves say; those that
    most was done with first. An account that an alert merely names, or that somebody failed to sign in with, is none.
    """
    weights: dict[str, float] = {}
    acted: list[Claim] = []
    for one in claims:
        cited = {each.text for each in one.citations if each.field == Field.USER_NAME.value}
        for kind, value, scope in one.entities:
            is_cited = kind == EntityKind.USER.value and value in cited
            if is_cited and scope is not Scope.TARGETED and not is_machine_account(value):
                weights[value] = weights.get(value, 0.0) + one.log_odds
                acted.append(one)
    named = _named(list({id(one): one for one in acted}.values()), EntityKind.USER, ids)
    enough = [one for one in weights if weights[one] >= ACTED_FROM]
    return {one: named[one] for one in sorted(enough, key=lambda one: (-weights[one], one))[:MAX_ACCOUNTS]}


def _compromised(claim: Claim) -> bool:
    return any(kind == EntityKind.HOST.value and scope is Scope.COMPROMISED for kind, _, scope in claim.entities)
