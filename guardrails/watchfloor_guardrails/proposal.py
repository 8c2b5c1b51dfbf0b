"""A proposal: one action as data, sealed. Its digest is what people approve, grants carry and executors check.

The digest is SHA-256 over the RFC 8785 canonical JSON of the preimage, which holds everything that the action is and
rests on::

    {v, incident: {tenant, id, revision}, action: {class, tool, arguments}, targets: [{kind, value, …, state}],
     evidence_root, blast, undo, tool_pin, policy_digest, kill_epoch, proposer, nonce, expires_us}

Change any of it and it is another proposal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Final, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import JsonValue, canonical, parse_canonical
from watchfloor_core.errors import RecordError
from watchfloor_guardrails.action import MAX_TEXT, Action, Labelled, Scalar, Target
from watchfloor_guardrails.blast import MILLION, Blast
from watchfloor_guardrails.catalogue import CATALOGUE, ActionClass, TargetKind
from watchfloor_guardrails.decision import PrincipalKind

FORMAT: Final = 1
_LARGEST: Final = 2**53 - 1
_HEX64: Final = frozenset("0123456789abcdef")


class ProposalStatus(StrEnum):
    """Where a proposal stands. Everything below ``EXECUTING`` is an end."""

    DRAFTED = "drafted"
    """Asked for; its target has not been looked at."""
    WAITING = "waiting"
    """A person, or a veto window, is waited for."""
    APPROVED = "approved"
    """Nothing stands against it; a grant is to be made."""
    EXECUTING = "executing"
    DENIED = "denied"
    """A person said no, or the ruling did."""
    EXPIRED = "expired"
    """Nobody decided in time: that is a no."""
    VOIDED = "voided"
    """What it rested on has changed."""
    REFUSED = "refused"
    """At the last moment something stood against it: a switch, a budget, a changed target."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Whether it took effect cannot be told. Never counted as success."""

    @property
    def is_open(self) -> bool:
        return self in (
            ProposalStatus.DRAFTED,
            ProposalStatus.WAITING,
            ProposalStatus.APPROVED,
            ProposalStatus.EXECUTING,
        )


@dataclass(frozen=True, slots=True)
class Proposer:
    """Who proposes, as authentication or the engine's name has it."""

    name: str
    kind: PrincipalKind
    requester: str | None = None
    """The person who asked the proposer for it, if any."""


def version_digest(proposer: Proposer, tool_pin: str) -> str:
    """SHA-256 over who proposes and what acts: what a certificate is for. A change of either is not certified."""
    content = {"name": proposer.name, "kind": proposer.kind.value, "tool_pin": tool_pin}
    return hashlib.sha256(canonical(content)).hexdigest()


@dataclass(frozen=True, kw_only=True)
class ActionProposal:
    """A sealed proposal. No field of it is trusted to be in range: `faults` says what is not."""

    tenant: str
    incident_id: str
    incident_revision: int
    action_class: str
    tool: str
    arguments: Mapping[str, Labelled]
    target_kind: str
    target: Labelled
    """The target's value, with who could have written it."""
    state_digest: str
    """Of the target as it was when the proposal was sealed."""
    evidence_root: str
    blast: Blast
    undo_class: str | None
    lease_s: int | None
    """So long after the effect the undo runs; None where nothing ends by itself."""
    tool_pin: str
    policy_digest: str
    kill_epoch: int
    proposer: Proposer
    nonce: str
    expires_us: int

    @property
    def known_class(self) -> ActionClass | None:
        return CATALOGUE.get(self.action_class)

    @property
    def is_reversible(self) -> bool:
        """It can be taken back, or leaves nothing that would have to be; what is not known is neither."""
        known = self.known_class
        return known is not None and known.is_reversible

    @property
    def action(self) -> Action:
        """What the tool is told. Raises ValueError for a kind of target that is not in the catalogue."""
        arguments: dict[str, Scalar] = {name: one.value for name, one in self.arguments.items()}
        return Action(
            self.action_class, self.tool, Target(TargetKind(self.target_kind), str(self.target.value)), arguments
        )

    @property
    def tainted(self) -> tuple[str, ...]:
        """Names of the parts that an attacker could have written and nobody has vouched for."""
        named = [("target", self.target), *sorted(self.arguments.items())]
        return tuple(name for name, value in named if value.is_tainted)

    def preimage(self) -> bytes:
        """The canonical bytes. Raises ValueError where a value has no canonical form."""
        return self._written()[0]

    @property
    def digest(self) -> str:
        return self._written()[1]

    def _written(self) -> tuple[bytes, str]:
        """The preimage and its digest, which are asked for many times on the way of one action."""
        # The arguments are a mapping that somebody else may hold and change: what was worked out is for these alone.
        # By their text, for 1 equals True and is written otherwise.
        key = repr(dict(self.arguments))
        if key not in self._known:
            data = canonical(self._content())
            self._known[key] = data, hashlib.sha256(data).hexdigest()
        return self._known[key]

    @cached_property
    def _known(self) -> dict[str, tuple[bytes, str]]:
        return {}

    def _content(self) -> JsonValue:
        return {
            "v": FORMAT,
            "incident": {"tenant": self.tenant, "id": self.incident_id, "revision": self.incident_revision},
            "action": {
                "class": self.action_class,
                "tool": self.tool,
                "arguments": {name: _labelled(one) for name, one in self.arguments.items()},
            },
            "targets": [{"kind": self.target_kind, **_labelled(self.target), "state": self.state_digest}],
            "evidence_root": self.evidence_root,
            "blast": {
                "assets": self.blast.assets,
                "users": self.blast.users,
                "fleet_ppm": self.blast.fleet_ppm,
                "tier": self.blast.tier,
                "in_inventory": self.blast.in_inventory,
            },
            "undo": None if self.undo_class is None else {"class": self.undo_class, "after_s": self.lease_s},
            "tool_pin": self.tool_pin,
            "policy_digest": self.policy_digest,
            "kill_epoch": self.kill_epoch,
            "proposer": {
                "name": self.proposer.name,
                "kind": self.proposer.kind.value,
                "requester": self.proposer.requester,
            },
            "nonce": self.nonce,
            "expires_us": self.expires_us,
        }

    def faults(self) -> Iterator[str]:
        """Why the proposal makes no sense, if so."""
        known = self.known_class
        if known is None:
            yield f"action class {self.action_class!r:.80} is not in the catalogue"
        else:
            if self.target_kind != known.target:
                yield f"{self.action_class!r} acts on {known.target}, not on {self.target_kind!r:.40}"
            if self.undo_class != known.undo:
                yield f"the undo of {self.action_class!r} is {known.undo!r}, stated is {self.undo_class!r:.80}"
            if known.is_containment and self.lease_s is None:
                yield "a containment has a time limit, and none is stated"
            if not known.is_containment and self.lease_s is not None:
                yield f"{self.action_class!r} holds nothing back, so it has no time limit"
        yield from self._faults_of_values()

    def _faults_of_values(self) -> Iterator[str]:
        for name, value in (("target", self.target), *self.arguments.items()):
            if isinstance(value.value, str) and not 0 < len(value.value) <= MAX_TEXT:
                yield f"{name!r:.80} has {len(value.value):,} characters; 1 to {MAX_TEXT:,} are taken"
        if not isinstance(self.target.value, str):
            yield "the target is not named by a text"
        for name, digest in (
            ("state_digest", self.state_digest),
            ("evidence_root", self.evidence_root),
            ("tool_pin", self.tool_pin),
            ("policy_digest", self.policy_digest),
        ):
            if len(digest) != 64 or not _HEX64.issuperset(digest):
                yield f"{name} is not a SHA-256"
        if len(self.nonce) < 32:
            yield "the nonce has fewer than 32 hex digits"
        numbers = {
            "incident_revision": (self.incident_revision, 1, _LARGEST),
            "kill_epoch": (self.kill_epoch, 0, _LARGEST),
            "expires_us": (self.expires_us, 1, _LARGEST),
            "lease_s": (1 if self.lease_s is None else self.lease_s, 1, 366 * 86_400),
            "blast.assets": (self.blast.assets, 0, _LARGEST),
            "blast.users": (self.blast.users, 0, _LARGEST),
            "blast.fleet_ppm": (self.blast.fleet_ppm, 0, MILLION),
            "blast.tier": (self.blast.tier, 0, 3),
        }
        for name, (number, least, most) in numbers.items():
            if not least <= number <= most:
                yield f"{name} is not in {least}–{most:,}"


def _labelled(one: Labelled) -> dict[str, JsonValue]:
    return {"value": one.value, "integrity": one.integrity.name.lower(), "endorsed_by": one.endorsed_by}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _LabelledModel(_Model):
    value: str | int | bool
    integrity: str
    endorsed_by: str | None

    def labelled(self) -> Labelled:
        return Labelled(self.value, Integrity[self.integrity.upper()], self.endorsed_by)


class _TargetModel(_LabelledModel):
    kind: str
    state: str


class _Incident(_Model):
    tenant: str
    id: str
    revision: int


class _ActionModel(_Model):
    arguments: dict[str, _LabelledModel]
    tool: str
    # ``class`` is a keyword, hence the alias.
    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class _BlastModel(_Model):
    assets: int
    users: int
    fleet_ppm: int
    tier: int
    in_inventory: bool


class _ProposerModel(_Model):
    name: str
    kind: str
    requester: str | None


class _Preimage(_Model):
    v: int
    incident: _Incident
    action: _ActionModel
    targets: list[_TargetModel]
    evidence_root: str
    blast: _BlastModel
    undo: dict[str, str | int | None] | None
    tool_pin: str
    policy_digest: str
    kill_epoch: int
    proposer: _ProposerModel
    nonce: str
    expires_us: int


@lru_cache(maxsize=256)
def parse_preimage(data: bytes) -> ActionProposal:
    """The proposal in canonical bytes; what it gives has that very preimage. Raises `RecordError`.

    The same bytes are read several times on the way of one action, so the latest proposals are kept.
    """
    try:
        raw = parse_canonical(data)
        model = _Preimage.model_validate(raw)
        if model.v != FORMAT or len(model.targets) != 1:
            raise ValueError(f"format {model.v} with {len(model.targets)} targets; expected {FORMAT} with one")
        proposal = _from_model(model)
    except (ValidationError, ValueError, KeyError) as error:
        raise RecordError(f"not a sealed proposal: {error}") from error
    if proposal.preimage() != data:
        raise RecordError("not a sealed proposal: it holds more or less than the format has")
    return proposal


def _from_model(model: _Preimage) -> ActionProposal:
    target = model.targets[0]
    undo = model.undo or {}
    # The types of both are checked where the whole is compared with its canonical form.
    undo_class, lease_s = cast("str | None", undo.get("class")), cast("int | None", undo.get("after_s"))
    action_class = (model.action.model_extra or {}).get("class")
    if not isinstance(action_class, str):
        raise ValueError("the action has no class")
    return ActionProposal(
        tenant=model.incident.tenant,
        incident_id=model.incident.id,
        incident_revision=model.incident.revision,
        action_class=action_class,
        tool=model.action.tool,
        # Read-only: what was parsed is kept, and the next to read these bytes gets the same object.
        arguments=MappingProxyType({name: one.labelled() for name, one in model.action.arguments.items()}),
        target_kind=target.kind,
        target=target.labelled(),
        state_digest=target.state,
        evidence_root=model.evidence_root,
        blast=Blast(**model.blast.model_dump()),
        undo_class=undo_class,
        lease_s=lease_s,
        tool_pin=model.tool_pin,
        policy_digest=model.policy_digest,
        kill_epoch=model.kill_epoch,
        proposer=Proposer(model.proposer.name, PrincipalKind(model.proposer.kind), model.proposer.requester),
        nonce=model.nonce,
        expires_us=model.expires_us,
    )
