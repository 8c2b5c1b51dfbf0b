"""The operator's own policies on actions, in Cedar (https://docs.cedarpolicy.com): they can only forbid or demand more.

Every policy is a ``forbid``. To evaluate, one ``permit`` of everything is added inside, and what is asked of Cedar is
which policies applied, not its decision. Whatever goes otherwise than expected, a policy that ends in an error, a
request that Cedar does not take, an answer of another form, is a denial of its own: more policies never loosen an
answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

import cedarpy

from watchfloor_core.alert import Severity
from watchfloor_core.canonical import canonical
from watchfloor_core.errors import ConfigurationError
from watchfloor_guardrails.cedar_annotations import CedarEffect
from watchfloor_guardrails.cedar_source import CedarRule, load_rules
from watchfloor_guardrails.closing_rule import severity_rank

__all__ = ["NO_POLICIES", "OPERATOR_POLICY_ERROR", "CedarEffect", "CedarHit", "CedarPolicies", "CedarRequest"]

OPERATOR_POLICY_ERROR: Final = "operator_policy_error"
"""The rule named where a policy could not be evaluated."""

_PERMIT: Final = "everything that no policy forbids"
"""Id of the policy added inside; no operator's policy has spaces in its id."""
_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US

_Json: TypeAlias = "str | int | bool | list[_Json] | dict[str, _Json]"


@dataclass(frozen=True, slots=True, kw_only=True)
class CedarRequest:
    """What a policy may look at; `cedar_schema.SCHEMA` says the same to whoever writes one."""

    proposer: str
    proposer_kind: str
    action_class: str
    target_kind: str
    target_value: str
    groups: tuple[str, ...]
    """Of the target, as the inventory has them."""
    tenant: str
    function: str
    tool: str
    level: int
    """In force, after every cap."""
    asset_tier: int
    in_inventory: bool
    blast_assets: int
    blast_users: int
    is_reversible: bool
    is_tainted: bool
    is_undo: bool
    lease_s: int | None
    alert_family: str
    severity: int
    now_us: int


@dataclass(frozen=True, slots=True)
class CedarHit:
    """One policy that applied."""

    rule: str
    """The policy's id, or `OPERATOR_POLICY_ERROR`."""
    effect: CedarEffect
    reason: str
    """For a person."""
    quorum: int | None = None
    """So many people, where it asks for a number."""
    roles: tuple[str, ...] = ()
    """Of which each must hold one, where it asks for some."""


@dataclass(frozen=True)
class CedarPolicies:
    """The operator's policies, parsed once."""

    rules: tuple[CedarRule, ...] = ()
    _parsed: cedarpy.PolicySet | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, files: Mapping[str, str]) -> CedarPolicies:
        """The policies in these files (name: text).

        Raises `ConfigurationError` with every mistake, each with file and line.
        """
        rules = load_rules(files)
        if not rules:
            return cls()
        everything = json.loads(cedarpy.policies_to_json_str("permit(principal, action, resource);"))
        static = {_PERMIT: everything["staticPolicies"]["policy0"], **{rule.id: rule.cedar for rule in rules}}
        try:
            # By JSON, which lets a policy be known by its own id; in Cedar's text they are numbered by position.
            parsed = cedarpy.PolicySet.from_json_str(
                json.dumps({"templates": {}, "staticPolicies": static, "templateLinks": []})
            )
        except ValueError as error:
            raise ConfigurationError(f"the policies do not go together: {error}") from error
        return cls(rules, parsed)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of what the policies say, whatever their files, formatting, comments and order."""
        content = [rule.content for rule in sorted(self.rules, key=lambda rule: rule.id)]
        return hashlib.sha256(canonical({"v": 1, "policies": content})).hexdigest()

    def evaluate(self, request: CedarRequest) -> tuple[CedarHit, ...]:
        """The policies that apply, in the order of the files; a denial more where that cannot be told. Never raises."""
        if self._parsed is None:
            return ()
        try:
            answer = cedarpy.is_authorized(_parc(request), self._parsed, _entities(request))
            return self._hits(answer)
        except Exception as error:  # noqa: BLE001 - whatever it is, the policies have not been heard: that is a no
            return (_error(f"{type(error).__name__}: {error}"),)

    def _hits(self, answer: cedarpy.AuthzResult) -> tuple[CedarHit, ...]:
        applied = set(answer.diagnostics.reasons)
        hits = tuple(_hit(rule) for rule in self.rules if rule.id in applied)
        if answer.diagnostics.errors:
            return (*hits, _error("; ".join(answer.diagnostics.errors)))
        expected = {hit.rule for hit in hits} or {_PERMIT}
        decision = cedarpy.Decision.Deny if hits else cedarpy.Decision.Allow
        if applied != expected or answer.decision is not decision:
            return (*hits, _error(f"an answer of an unexpected form ({answer.decision.value}, {sorted(applied)})"))
        return hits


NO_POLICIES: Final = CedarPolicies()
"""Where the operator has written none."""


def _hit(rule: CedarRule) -> CedarHit:
    demand = rule.demand
    reason = demand.reason or f"the operator's policy {rule.id!r} ({rule.file}:{rule.line}) applies"
    return CedarHit(demand.id, demand.effect, reason, demand.quorum, demand.roles)


def _error(what: str) -> CedarHit:
    text = f"the operator's policies cannot be evaluated: {what[:500]}"
    return CedarHit(OPERATOR_POLICY_ERROR, CedarEffect.DENY, text)


def _parc(request: CedarRequest) -> dict[str, _Json]:
    """Principal, action, resource and context."""
    context: dict[str, _Json] = {
        "tenant": request.tenant,
        "function": request.function,
        "tool": request.tool,
        "level": request.level,
        "asset_tier": request.asset_tier,
        "in_inventory": request.in_inventory,
        "blast_assets": request.blast_assets,
        "blast_users": request.blast_users,
        "is_reversible": request.is_reversible,
        "is_tainted": request.is_tainted,
        "is_undo": request.is_undo,
        "alert_family": request.alert_family,
        "severity": int(severity_rank(Severity(request.severity))),
        "hour_utc": request.now_us // _HOUR_US % 24,
        # The epoch was a Thursday; Monday is 1.
        "weekday_utc": (request.now_us // _DAY_US + 3) % 7 + 1,
    }
    if request.lease_s is not None:
        context["lease_s"] = request.lease_s
    return {
        "principal": _uid("Proposer", request.proposer),
        "action": _uid("Action", request.action_class),
        "resource": _uid("Target", f"{request.target_kind} {request.target_value}"),
        "context": context,
    }


def _entities(request: CedarRequest) -> str:
    target: dict[str, _Json] = {
        "kind": request.target_kind,
        "value": request.target_value,
        "tier": request.asset_tier,
    }
    if request.target_kind == "ip":
        target["address"] = {"__extn": {"fn": "ip", "arg": str(_address(request.target_value))}}
    parc = _parc(request)
    return json.dumps(
        [
            {
                "uid": parc["principal"],
                "attrs": {"kind": request.proposer_kind, "name": request.proposer},
                "parents": [],
            },
            {
                "uid": parc["resource"],
                "attrs": target,
                "parents": [_uid("Group", group) for group in request.groups],
            },
        ]
    )


def _uid(kind: str, name: str) -> dict[str, _Json]:
    return {"type": kind, "id": name}


def _address(text: str) -> IPv4Address | IPv6Address:
    """An IPv4 address in IPv6 form as IPv4: else no policy on an IPv4 network would cover it. Raises ValueError."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
