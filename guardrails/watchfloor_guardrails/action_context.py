"""What a ruling on an action needs to know beside the proposal."""

from __future__ import annotations

from dataclasses import dataclass

from watchfloor_guardrails.autonomy import AutonomyMatrix, Cap
from watchfloor_guardrails.cedar import CedarPolicies
from watchfloor_guardrails.incident_facts import IncidentFacts
from watchfloor_guardrails.limits import ActionLimits
from watchfloor_guardrails.sequence import Fact


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """The operator's policy as it was read for this ruling."""

    matrix: AutonomyMatrix
    limits: ActionLimits
    """Resolved for the proposal's tenant and action class."""
    cedar: CedarPolicies
    digest: str
    """Over all of it."""
    is_signed: bool
    author: str | None


@dataclass(frozen=True, slots=True)
class Spending:
    """What budgets have seen already, without this proposal."""

    actions: int
    """Executed in the last hour, of this action class."""
    autonomous_actions: int
    """Of those, without a person."""
    contained_assets: int
    """Under containment now; needed for a containment of something of ours only."""
    inventory_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionContext:
    """What has no default must be said where it is not known, too, and counts as the worst then."""

    policy: PolicyInForce | None
    """None where the operator's policy cannot be read."""
    caps: tuple[Cap, ...]
    """Bounds that others keep: certified, breaker."""
    now_us: int
    facts_at_proposal: IncidentFacts
    facts_now: IncidentFacts | None
    """None where the incident is gone."""
    kill_epoch: int | None
    """The switches' epoch now; None where they cannot be read."""
    engaged: tuple[str, ...]
    """Scopes that are stopped and cover this action."""
    frozen: str | None
    """Why the action class is frozen, if it is."""
    state_digest: str | None
    """Of the target now; None where it cannot be read."""
    tool_pin: str | None
    """Of the configured tool now; None where there is none of that name."""
    spending: Spending | None
    """None where the budgets cannot be read."""
    is_held: bool
    """The same target is under the same containment already."""
    facts_touched: frozenset[Fact] | None
    """What the incident's run has touched, this action included; None where that cannot be read."""
    dark_sources: tuple[str, ...]
    evidence_editors: tuple[str, ...]
    """People who changed what the incident consists of."""
    named_by: tuple[str, ...] = ()
    """People who named its target or an argument, beside proposer and requester."""
    groups: tuple[str, ...]
    """Of the target, as the inventory has them."""
    undoes: str | None
    """Digest of an executed proposal in which exactly this undo was stated, as the store has verified."""
