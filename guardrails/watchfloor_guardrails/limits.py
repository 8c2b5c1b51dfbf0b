"""The limits on actions as the operator sets them: how many, how much at once, who must agree, and for how long.

A `LimitTable` has the limits that hold for every action and rows for single tenants and action classes. Of the rows
that match, the most specific one holds (as in the autonomy matrix, `Selector.specificity`); what it leaves out is taken
from the defaults, never from another row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Final

from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_guardrails.catalogue import function_of
from watchfloor_guardrails.matrix import Selector, Task

APPROVER_ROLES: Final = ("responder", "lead")
"""Whoever holds one of these in the tenant may decide on an action, and is told of one."""

MAX_GRANT_TTL_S: Final = 300
"""A grant outlives a re-evaluation by this much at most."""


@dataclass(frozen=True, slots=True)
class QuorumStep:
    """So many people for an action that touches so much."""

    people: int
    up_to: int | None = None
    """Assets and users that the action touches; None in the last step, which has no upper end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionLimits:
    """The limits for one action. The defaults are what ships, and what holds where the operator says nothing."""

    actions_per_hour: int = 20
    """Of one action class in a tenant, with or without a person."""
    autonomous_actions_per_hour: int = 5
    """Of these, without a person; beyond it people decide. 0: a person always decides."""
    max_contained_share_ppm: int = 20_000
    """Of the inventory, in parts per million, under containment at one time. 0: no more than one asset."""
    max_contained_assets: int = 25
    """Under containment at one time."""
    max_blast_assets_l3: int = 1
    """Assets and users that one action may touch without a person."""
    quorum_by_blast: tuple[QuorumStep, ...] = (QuorumStep(1, up_to=5), QuorumStep(2))
    """Ascending; the first step that reaches as far as the action holds."""
    approval_deadline_s: int = 14_400
    """Then nobody's answer is a no."""
    remind_after_s: int = 900
    escalate_after_s: tuple[int, ...] = (3_600,)
    """Ascending; each time one more role of the chain is told."""
    chain: tuple[str, ...] = APPROVER_ROLES
    """Roles in the order in which they are told: the first at once."""
    veto_window_s: int | None = 300
    """At L4: so long a person may still say no before it happens; None where it happens at once."""
    approvals_per_hour: int = 30
    """By one person: whoever approves faster does not look."""
    grant_ttl_s: int = 120
    """At most `MAX_GRANT_TTL_S`."""
    max_lease_s: int = 7 * 86_400
    """A containment may be asked for this long before it is decided anew; an action class may allow less."""
    breaker_failures: int = 3
    """So many failures in a row, and the action class is for people only."""

    def quorum_for(self, touched: int) -> int:
        """How many different people must agree to an action that touches so many assets and users; at least 1."""
        reaching = (step.people for step in self.quorum_by_blast if step.up_to is None or touched <= step.up_to)
        most = max((step.people for step in self.quorum_by_blast), default=1)
        return max(1, next(reaching, most))

    def faults(self) -> Iterator[tuple[str, str]]:
        """What does not fit together: the key, and what is wrong with it."""
        steps = self.quorum_by_blast
        ends = [step.up_to for step in steps]
        if not steps or ends[-1] is not None or None in ends[:-1]:
            yield "quorum_by_blast", "the last step, and only it, has no 'up_to'"
        elif any(
            earlier.people >= later.people or (later.up_to is not None and (earlier.up_to or 0) >= later.up_to)
            for earlier, later in pairwise(steps)
        ):
            yield "quorum_by_blast", "'up_to' and 'people' grow from step to step"
        times = (self.remind_after_s, *self.escalate_after_s)
        if any(time >= self.approval_deadline_s for time in times):
            yield (
                "approval_deadline_s",
                f"{self.approval_deadline_s} s is not after the reminder and every escalation ({max(times)} s)",
            )
        if list(self.escalate_after_s) != sorted(set(self.escalate_after_s)):
            yield "escalate_after_s", "times grow from one to the next"
        if len(self.escalate_after_s) != len(self.chain) - 1:
            yield (
                "escalate_after_s",
                f"{len(self.escalate_after_s)} times for a chain of {len(self.chain)} roles; the first role is told at "
                "once, so one time for each further one is expected",
            )
        if self.autonomous_actions_per_hour > self.actions_per_hour:
            yield (
                "autonomous_actions_per_hour",
                f"{self.autonomous_actions_per_hour} is more than all actions_per_hour ({self.actions_per_hour})",
            )

    @property
    def content(self) -> dict[str, JsonValue]:
        """As plain data, in the words of the file."""
        return {
            "actions_per_hour": self.actions_per_hour,
            "autonomous_actions_per_hour": self.autonomous_actions_per_hour,
            "max_contained_share_ppm": self.max_contained_share_ppm,
            "max_contained_assets": self.max_contained_assets,
            "max_blast_assets_l3": self.max_blast_assets_l3,
            "quorum_by_blast": [{"up_to": step.up_to, "people": step.people} for step in self.quorum_by_blast],
            "approval_deadline_s": self.approval_deadline_s,
            "remind_after_s": self.remind_after_s,
            "escalate_after_s": list(self.escalate_after_s),
            "chain": list(self.chain),
            "veto_window_s": self.veto_window_s or 0,
            "approvals_per_hour": self.approvals_per_hour,
            "grant_ttl_s": self.grant_ttl_s,
            "max_lease_s": self.max_lease_s,
            "breaker_failures": self.breaker_failures,
        }


@dataclass(frozen=True, slots=True)
class LimitRow:
    """Limits of their own for some actions; `Selector.tenant` and `Selector.action_class` only."""

    selector: Selector
    limits: ActionLimits


@dataclass(frozen=True)
class LimitTable:
    """The operator's limits. One without rows, and as it is made without arguments, is what ships."""

    defaults: ActionLimits = ActionLimits()
    rows: tuple[LimitRow, ...] = ()

    def __post_init__(self) -> None:
        selectors = [row.selector for row in self.rows]
        repeated = [selector for index, selector in enumerate(selectors) if selector in selectors[:index]]
        if repeated:
            raise ConfigurationError([Problem(f"two rows of limits for {selector}") for selector in repeated])

    def limits_for(self, tenant: str, action_class: str) -> ActionLimits:
        """What holds for one action."""
        task = Task(function_of(action_class), action_class, "", None, tenant)
        matching = [row for row in self.rows if row.selector.matches(task)]
        return max(matching, key=lambda row: row.selector.specificity).limits if matching else self.defaults

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of what the limits say, whatever the file's formatting, comments and order."""
        rows: list[JsonValue] = [
            {
                "tenant": None if row.selector.tenant is None else row.selector.tenant.content,
                "action_class": row.selector.action_class,
                "limits": row.limits.content,
            }
            for row in sorted(self.rows, key=lambda row: str(row.selector))
        ]
        return hashlib.sha256(canonical({"v": 1, "defaults": self.defaults.content, "rows": rows})).hexdigest()


DEFAULT_LIMITS: Final = LimitTable()
"""What holds where the operator has written no limits."""
DEFAULT_LIMITS_FILE: Final = Path(__file__).with_name("default_limits.yaml")
"""The same with comments, for the operator to copy."""
