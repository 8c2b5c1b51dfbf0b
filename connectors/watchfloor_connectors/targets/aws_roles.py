"""Roles of IAM: what was assumed before now may do nothing, by an inline policy whose name carries the key.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html for the policy, and
https://docs.aws.amazon.com/IAM/latest/APIReference/ for GetRole, ListRolePolicies, GetRolePolicy, PutRolePolicy and
DeleteRolePolicy.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field

from watchfloor_connectors.targets.aws_client import Calls
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

ROLE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+=,.@-]{0,63}")
_POLICY: Final = re.compile(r"wf-([0-9a-f]{64})")


class _Role(BaseModel):
    id: Annotated[str, Field(alias="RoleId", pattern=r"^[A-Z0-9]{16,128}$")]


class _GotRole(BaseModel):
    role: _Role = Field(alias="Role")


class _Policies(BaseModel):
    names: tuple[str, ...] = Field(alias="PolicyNames")
    is_cut: bool = Field(default=False, alias="IsTruncated")


class _Before(BaseModel):
    time: datetime = Field(alias="aws:TokenIssueTime")


class _Condition(BaseModel):
    before: _Before = Field(alias="DateLessThan")


class _Statement(BaseModel):
    effect: Literal["Deny"] = Field(alias="Effect")
    action: Literal["*"] | tuple[Literal["*"]] = Field(alias="Action")
    resource: Literal["*"] | tuple[Literal["*"]] = Field(alias="Resource")
    condition: _Condition = Field(alias="Condition")


class _Document(BaseModel):
    statements: tuple[_Statement] = Field(alias="Statement")


class _GotPolicy(BaseModel):
    document: _Document = Field(alias="PolicyDocument")


@dataclass(frozen=True, slots=True)
class Role:
    name: str
    id: str
    keys: tuple[str, ...]
    """Of the policies that Watchfloor has put there, sorted."""

    @property
    def state(self) -> TargetState:
        return TargetState({"role": self.name, "id": self.id, "denied_by": list(self.keys)})


def find_role(calls: Calls, name: str) -> Role:
    """Raises `NotFoundError`, `UnavailableError`."""
    role = calls.read(_GotRole, "iam", "get_role", RoleName=name).role
    policies = calls.read(_Policies, "iam", "list_role_policies", RoleName=name, MaxItems=1000)
    if policies.is_cut:
        raise UnavailableError(f"the role {name!r} has more than 1000 inline policies")
    keys = sorted(match[1] for one in policies.names if (match := _POLICY.fullmatch(one)))
    return Role(name, role.id, tuple(keys))


def deny_role(calls: Calls, role: Role, key: str, now: datetime) -> None:
    """``now`` in UTC: what was assumed before it is denied everything."""
    if key in role.keys:
        return
    if role.keys:
        raise NotDoneError(f"denied already, by the proposal of digest {role.keys[0]}; end that first")
    statement = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"DateLessThan": {"aws:TokenIssueTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    calls.change("iam", "put_role_policy", RoleName=role.name, PolicyName=_policy(key), PolicyDocument=document)


def allow_role(calls: Calls, role: Role) -> None:
    if not role.keys:
        raise NotDoneError("the role is not denied by Watchfloor; what others have put there stays")
    for key in role.keys:
        calls.change("iam", "delete_role_policy", RoleName=role.name, PolicyName=_policy(key))


def found_role(calls: Calls, name: str, action_class: str, key: str) -> ReadBack:
    def look() -> tuple[Role, datetime | None]:
        role = find_role(calls, name)
        return role, _denied_before(calls, role, key) if action_class == "deny role" else None

    def is_applied(found: tuple[Role, datetime | None]) -> bool:
        return found[1] is not None if action_class == "deny role" else not found[0].keys

    role, before = found = calls.until(look, is_applied)
    if before is not None:
        text = f"the role {name} is denied all that was assumed before {before.isoformat()}, by this action"
    elif role.keys:
        text = f"the role {name} bears the policy of the proposal of digest {', '.join(role.keys)}"
    else:
        text = f"the role {name} is not denied"
    return ReadBack(Effect.APPLIED if is_applied(found) else Effect.NOT_APPLIED, role.state, text)


def _denied_before(calls: Calls, role: Role, key: str) -> datetime | None:
    """What the action's policy says; None where there is none, or somebody has changed it into another."""
    if key not in role.keys:
        return None
    try:
        got = calls.read(_GotPolicy, "iam", "get_role_policy", RoleName=role.name, PolicyName=_policy(key))
    except (NotFoundError, UnavailableError):
        return None
    return got.document.statements[0].condition.before.time


def _policy(key: str) -> str:
    return f"wf-{key}"
