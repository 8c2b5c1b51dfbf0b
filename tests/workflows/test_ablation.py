"""Each control is taken away in turn, and the attack that it stops then succeeds: none of them is there for show."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias
from unittest import mock

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import text

from tests.workflows import attacks
from tests.workflows.attacks import Scene, payload_of
from tests.workflows.plane import clock_of_the_plane
from watchfloor_core.errors import WatchfloorError
from watchfloor_core.store.engine import Store, open_store
from watchfloor_guardrails import approval as approvals
from watchfloor_guardrails import grant as grants
from watchfloor_guardrails import verified_approval
from watchfloor_guardrails.action_context import ActionContext
from watchfloor_guardrails.action_gates import asks, caps_on
from watchfloor_guardrails.approval import ApprovalOutcome, OpenApproval, VoteDecision
from watchfloor_guardrails.autonomy import Cap
from watchfloor_guardrails.effect import Effect
from watchfloor_guardrails.gates import RuleHit, RulingDecision
from watchfloor_guardrails.grant import Grant, open_grant
from watchfloor_guardrails.proposal import ActionProposal
from watchfloor_guardrails.ruling import rule
from watchfloor_workflows.authority import voting

GATES: Final = "watchfloor_guardrails.action_gates"
RULING: Final = "watchfloor_guardrails.action_ruling"
APPROVAL: Final = "watchfloor_guardrails.approval"
VERIFIED: Final = "watchfloor_guardrails.verified_approval"
GRANT: Final = "watchfloor_guardrails.grant"
AUTHORITY: Final = "watchfloor_workflows.authority"

# Any, in all that follows: what stands in for a function takes what that one takes, and hands it through.

Removal: TypeAlias = Mapping[str, object]


def without(*names: str) -> Removal:
    """These gates find nothing to say."""
    return {f"{GATES}.{name}": lambda *_: None for name in names}


def without_asking(name: str) -> Removal:
    """One of the questions is not asked."""

    def others(proposal: ActionProposal, context: ActionContext) -> Iterator[RuleHit]:
        return (hit for hit in asks(proposal, context) if hit.rule != name)

    return {f"{RULING}.asks": others}


def without_cap(name: str) -> Removal:
    def others(*args: Any) -> Iterator[Cap]:
        return (cap for cap in caps_on(*args) if cap.name != name)

    return {f"{RULING}.caps_on": others}


def without_refusal(words: str, **more: object) -> Removal:
    """One reason against a vote is not found."""

    def others(*args: Any) -> list[str]:
        return [reason for reason in _REFUSALS(*args) if words not in reason]

    return {f"{AUTHORITY}.voting.refusals": others, **more}


def only_engaged(proposal: ActionProposal, context: ActionContext) -> str | None:
    return f"engaged for {context.engaged}" if context.engaged else None


def for_any_audience(envelope: str, issuers: Any, *, audience: str, now_us: int) -> Grant:
    return open_grant(envelope, issuers, audience=payload_of(envelope)["audience"], now_us=now_us)


def at_any_time(envelope: str, issuers: Any, *, audience: str, now_us: int) -> Grant:
    return open_grant(envelope, issuers, audience=audience, now_us=payload_of(envelope)["issued_us"])


ANY_TIME: Removal = {
    f"{AUTHORITY}.executing.open_grant": at_any_time,
    f"{GRANT}.Grant.check_moment": lambda *_: None,
}


def unverified(envelope: str, payload_type: str, trusted: Mapping[str, Ed25519PublicKey]) -> tuple[bytes, str]:
    return base64.b64decode(json.loads(envelope)["payload"]), ""


class RememberedRuling:
    """The executor takes the ruling that the grant was issued on, instead of one of this moment."""

    def __init__(self) -> None:
        self._held: dict[str, Any] = {}

    def at_the_grant(self, proposal: ActionProposal, context: ActionContext) -> object:
        self._held[proposal.digest] = rule(proposal, context)
        return self._held[proposal.digest]

    def at_execution(self, proposal: ActionProposal, context: ActionContext) -> object:
        return self._held[proposal.digest]


REMEMBERED: Final = RememberedRuling()


def ageless(self: OpenApproval, now_us: int) -> ApprovalOutcome:
    return _OUTCOME(replace(self, deadline_us=2**60), 0)


_OUTCOME: Final = OpenApproval.outcome
_IS_ENOUGH: Final = approvals.is_enough
_REFUSALS: Final = approvals.refusals


def enough_at_any_time(requirement: Any, votes: Any, deadline_us: int) -> bool:
    return _IS_ENOUGH(requirement, votes, 2**60)


def enough_whatever_the_role(requirement: Any, votes: Any, deadline_us: int) -> bool:
    held = [replace(vote, roles=requirement.roles) for vote in votes]
    return _IS_ENOUGH(requirement, held, deadline_us)


def enough_with_one(requirement: Any, votes: Any, deadline_us: int) -> bool:
    return _IS_ENOUGH(replace(requirement, quorum=1), votes, deadline_us)


def without_denials(proposal: Any, record: Any, *others: Any) -> tuple[str, ...]:
    for_it = tuple(one for one in record.votes if one.vote.decision is VoteDecision.APPROVE)
    return _APPROVERS(proposal, replace(record, votes=for_it), *others)


_APPROVERS: Final = verified_approval.approvers
_WITHOUT_PEOPLE: Final = grants._without_people


def without_objections(ruling: Any, approval: Any, veto_ends_us: Any, now_us: int) -> object:
    return _WITHOUT_PEOPLE(ruling, None, veto_ends_us, now_us)


def without_waiting(ruling: Any, approval: Any, veto_ends_us: Any, now_us: int) -> object:
    return _WITHOUT_PEOPLE(replace(ruling, veto_s=None), approval, veto_ends_us, now_us)


def executing_decoys(*args: Any, is_decoy: bool, **values: Any) -> object:
    return _AUTHORISE(*args, is_decoy=False, **values)


_AUTHORISE: Final = grants.authorise


def always_applied(*_: Any) -> tuple[Effect, dict[str, str]]:
    return Effect.APPLIED, {}


def any_undo(connection: Any, proposal: ActionProposal, draft: Any, now_us: int) -> str | None:
    return None if draft.undo_of is None else "ab" * 32


def any_owner(row: Any) -> Any:
    """The key, as if it were Ana's."""
    return replace(_KEY(row), principal="ana")


_KEY: Final = voting._key


@contextmanager
def removed(removal: Removal, store: Store) -> Iterator[None]:
    with ExitStack() as stack:
        for target, replacement in removal.items():
            if target == "SQL":
                with store.write() as connection:
                    for statement in str(replacement).split(";"):
                        connection.execute(text(statement))
            else:
                stack.enter_context(mock.patch(target, replacement))
        yield


WITHOUT_UNIQUE: Final = (
    "CREATE TABLE loose AS SELECT * FROM execution;DROP TABLE execution;ALTER TABLE loose RENAME TO execution"
)


ALLOWED: Final = RuleHit("level", RulingDecision.ALLOW, "no level is asked for")
NOBODY: Final = frozenset[str]()

# the control | the attack that it stops | what is taken away
TABLE: list[tuple[str, Callable[[Scene], bool], Removal]] = [
    # What no person can wave through.
    ("kill switch", attacks.act_in_a_stopped_scope, without("_switch")),
    ("kill epoch", attacks.outlive_a_stop, {f"{GATES}._switch": only_engaged}),
    ("state of the target", attacks.use_a_changed_target, without("_state")),
    ("pin of the tool", attacks.use_a_changed_tool, without("_pin")),
    ("version of the policy", attacks.use_a_changed_policy, without("_policy")),
    ("state of the incident", attacks.act_for_a_closed_incident, without("_incident")),
    (
        "end of the proposal",
        attacks.act_after_the_proposals_end,
        {**without("_expiry"), **ANY_TIME},
    ),
    ("freeze", attacks.act_beside_an_unknown_outcome, without("_freeze")),
    ("held already", attacks.contain_twice, without("_held")),
    ("budget", attacks.spend_more_than_the_hours_budget, {
        **without("_budget"), f"{AUTHORITY}.executing._charge": lambda *_: None}),
    ("share of the fleet", attacks.contain_more_than_the_share, without("_budget")),
    ("time limit", attacks.hold_longer_than_is_allowed, without("_lease")),
    ("ruling at execution", attacks.act_for_a_closed_incident, {
        f"{AUTHORITY}.granting.rule": REMEMBERED.at_the_grant, f"{AUTHORITY}.executing.rule": REMEMBERED.at_execution}),
    # What a person is always asked.
    ("level", attacks.act_alone_at_l2, {f"{RULING}.level_gate": lambda *_: ALLOWED}),
    ("taint", attacks.act_alone_on_an_attackers_text, {
        "watchfloor_guardrails.proposal.ActionProposal.tainted": ()}),
    ("crown jewels", attacks.act_alone_on_a_crown_jewel, without_asking("crown_jewel")),
    ("irreversible acts", attacks.act_alone_irreversibly, without_asking("irreversible")),
    ("sequence", attacks.act_alone_with_the_trifecta, without_asking("sequence")),
    ("signature of the policy", attacks.act_alone_under_an_unsigned_policy, without_cap("policy")),
    ("certificate", attacks.act_alone_without_a_certificate, without_cap("certified")),
    ("certificate of another", attacks.act_alone_on_anothers_certificate, without_cap("certified")),
    ("cap on models", attacks.act_alone_as_a_model, without_cap("engine")),
    ("budget of autonomy", attacks.act_alone_more_often_than_allowed, {
        **without_cap("budget"), f"{AUTHORITY}.executing._charge": lambda *_: None}),
    ("breaker", attacks.act_alone_after_failures, without_cap("breaker")),
    ("veto window", attacks.act_before_people_could_object, {
        f"{GRANT}._without_people": without_waiting, f"{AUTHORITY}.sealing._terms": lambda *_: None}),
    ("objection", attacks.act_against_an_objection, {f"{GRANT}._without_people": without_objections}),
    ("time of the stated undo", attacks.let_go_before_the_stated_time, {
        f"{AUTHORITY}.surroundings._undoes": any_undo}),
    ("proposer of the stated undo", attacks.let_go_as_an_agent, {f"{AUTHORITY}.surroundings._undoes": any_undo}),
    # Whose yes counts.
    ("exclusion of the proposer", attacks.approve_ones_own, {f"{APPROVAL}._excluded": lambda _: NOBODY}),
    ("exclusion of the policy's author", attacks.approve_under_ones_own_policy, {
        f"{APPROVAL}._excluded": lambda _: NOBODY}),
    ("distinct people", attacks.count_twice, {f"{APPROVAL}._same_person": str}),
    ("quorum", attacks.be_one_of_two, {
        f"{APPROVAL}.is_enough": enough_with_one, f"{VERIFIED}.is_enough": enough_with_one}),
    ("role", attacks.approve_without_a_role, without_refusal("this takes role", **{
        f"{APPROVAL}.is_enough": enough_whatever_the_role, f"{VERIFIED}.is_enough": enough_whatever_the_role})),
    ("people only", attacks.approve_as_an_agent, without_refusal("only a person")),
    ("tenant of the voter", attacks.approve_another_tenants, without_refusal("is not of tenant")),
    ("deadline", attacks.approve_after_the_deadline, {
        f"{APPROVAL}.OpenApproval.outcome": ageless, f"{APPROVAL}.is_enough": enough_at_any_time,
        f"{VERIFIED}.is_enough": enough_at_any_time}),
    ("finality of a no", attacks.approve_what_was_denied, {f"{GRANT}.approvers": without_denials}),
    ("signature of an approval", attacks.sign_for_somebody_else, {
        f"{AUTHORITY}.voting.verify_assertion": lambda *_: None, f"{VERIFIED}.verify_assertion": lambda *_: None}),
    ("owner of a key", attacks.sign_with_ones_own_key_for_somebody_else, {f"{AUTHORITY}.voting._key": any_owner}),
    ("what was signed", attacks.carry_a_vote_over_to_another_proposal, {
        f"{VERIFIED}.states": lambda *_, **__: True}),
    ("rate of approvals", attacks.approve_faster_than_one_can_read, {
        f"{AUTHORITY}.voting._charge_rate": lambda *_: None}),
    ("decoys", attacks.execute_a_decoy, {f"{AUTHORITY}.granting.authorise": executing_decoys}),
    # What a grant is good for.
    ("audience of a grant", attacks.use_a_grant_elsewhere, {f"{AUTHORITY}.executing.open_grant": for_any_audience}),
    ("end of a grant", attacks.use_a_grant_late, ANY_TIME),
    ("signature of a grant", attacks.prolong_a_grant, {f"{GRANT}.verify": unverified}),
    ("single use", attacks.use_a_grant_twice, {"SQL": WITHOUT_UNIQUE}),
    ("read-back", attacks.be_believed_without_an_effect, {
        f"{AUTHORITY}.executing.Executor._read_back": always_applied}),
]  # fmt: skip


@pytest.fixture
def another_sqlite_store(tmp_path: Path, migrated_sqlite_file: Path) -> Iterator[Store]:
    path = tmp_path / "another.db"
    shutil.copyfile(migrated_sqlite_file, path)
    store = open_store(f"sqlite:///{path}")
    yield store
    store.close()


@pytest.mark.parametrize(("attack", "removal"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_attack_fails_with_the_control_and_succeeds_without_it(
    attack: Callable[[Scene], bool], removal: Removal, sqlite_store: Store, another_sqlite_store: Store
) -> None:
    assert not under(attack, sqlite_store, {})
    assert under(attack, another_sqlite_store, removal)


def under(attack: Callable[[Scene], bool], store: Store, removal: Removal) -> bool:
    with clock_of_the_plane() as clock, removed(removal, store):
        scene = Scene(store, clock=clock)
        scene.furnish()
        try:
            return attack(scene)
        except WatchfloorError:
            return False
