"""Amazon Web Services: isolates instances, makes access keys inactive, and ends what was assumed of a role."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from watchfloor_connectors.targets.aws_client import Aws, AwsClientOptions, Calls, is_installed
from watchfloor_connectors.targets.aws_instances import INSTANCE_ID, GroupId, Instance, Instances, VpcId
from watchfloor_connectors.targets.aws_keys import (
    ACCESS_KEY_ID,
    AccessKey,
    disable_key,
    enable_key,
    find_key,
    found_key,
)
from watchfloor_connectors.targets.aws_roles import ROLE_NAME, Role, allow_role, deny_role, find_role, found_role
from watchfloor_connectors.targets.base import BadTargetError, ConfiguredTarget, NeverError, Slot
from watchfloor_connectors.targets.files import absolute
from watchfloor_connectors.targets.http_api import SYSTEM_CLOCK, Clock
from watchfloor_connectors.targets.names import matched
from watchfloor_connectors.targets.notes import Notes
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import ReadBack, TargetState

_INSTANCES: Final = frozenset({"contain instance", "restore instance"})
_KEYS: Final = frozenset({"disable key", "enable key"})
_ROLES: Final = frozenset({"deny role", "allow role"})
_PERMISSIONS: Final = {
    "ec2:DescribeNetworkInterfaces": _INSTANCES,
    "ec2:ModifyNetworkInterfaceAttribute": _INSTANCES,
    "ec2:CreateTags": _INSTANCES,
    "ec2:DeleteTags": _INSTANCES,
    "iam:GetAccessKeyLastUsed": _KEYS,
    "iam:ListAccessKeys": _KEYS,
    "iam:UpdateAccessKey": _KEYS,
    "iam:ListUserTags": _KEYS,
    "iam:TagUser": _KEYS,
    "iam:UntagUser": _KEYS,
    "iam:GetRole": _ROLES,
    "iam:ListRolePolicies": _ROLES,
    "iam:GetRolePolicy": _ROLES,
    "iam:PutRolePolicy": _ROLES,
    "iam:DeleteRolePolicy": _ROLES,
}


class AwsOptions(AwsClientOptions):
    """Options of the kind ``aws``."""

    isolation_groups: dict[VpcId, GroupId] = Field(default_factory=dict)
    """For each VPC its security group without rules, or with those that forensics needs."""
    state_dir: Annotated[str, AfterValidator(absolute)] | None = None
    """Where the tool remembers groups beside the tags; None: ``targets/<tool>/<tenant>`` in the data directory."""
    never: tuple[str, ...] = ()
    """Ids of instances and access keys, names of roles."""


class AmazonWebServices(ConfiguredTarget[AwsOptions]):
    kind = "aws"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = _INSTANCES | _KEYS | _ROLES
    options_type = AwsOptions

    def __init__(self, slot: Slot, options: AwsOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(slot, options)
        denied = f"allow the key or role of the tool {', '.join(self.least_privilege)}"
        self._aws = Aws(slot.tool, options, denied=denied, clock=clock)
        self._instances = Instances(options.isolation_groups, Notes(slot, options.state_dir, options.timeout_s))
        # Without its own key it could not take anything back.
        own = () if options.access_key_id is None else (options.access_key_id,)
        self._never = frozenset((*own, *options.never))

    @classmethod
    def faults(cls, options: AwsOptions, *, is_shared: bool) -> Iterator[str]:  # noqa: ARG003 - sharing is no fault
        if not is_installed():
            yield "the kind 'aws' needs Amazon's SDK: pip install 'watchfloor[aws]'"
        if (options.access_key_id is None) != (options.secret_access_key is None):
            yield "access_key_id and secret_access_key go together; leave both out to use the role of the machine"

    def privileges(self) -> tuple[str, ...]:
        return tuple(name for name, classes in _PERMISSIONS.items() if classes & self.action_classes)

    def read_state(self, target: Target) -> TargetState:
        return self._found(self._aws.calls(), target).state

    def do(self, action: Action, key: str) -> None:
        calls = self._aws.calls()
        match self._found(calls, action.target), action.action_class:
            case Instance() as instance, "contain instance":
                self._instances.contain(calls, instance, key)
            case Instance() as instance, _:
                self._instances.restore(calls, instance)
            case AccessKey() as access_key, "disable key":
                disable_key(calls, access_key, key)
            case AccessKey() as access_key, _:
                enable_key(calls, access_key)
            case Role() as role, "deny role":
                deny_role(calls, role, key, datetime.now(UTC))
            case Role() as role, _:
                allow_role(calls, role)

    def read_back(self, action: Action, key: str) -> ReadBack:
        calls = self._aws.calls()
        value = self._value(action.target)
        match action.target.kind:
            case TargetKind.INSTANCE:
                return self._instances.found(calls, value, action.action_class, key)
            case TargetKind.KEY:
                return found_key(calls, value, action.action_class, key)
            case _:
                return found_role(calls, value, action.action_class, key)

    def _found(self, calls: Calls, target: Target) -> Instance | AccessKey | Role:
        """Raises `NeverError` for what may not be touched, unless it is held by us."""
        value = self._value(target)
        found: Instance | AccessKey | Role
        match target.kind:
            case TargetKind.INSTANCE:
                found = self._instances.find(calls, value)
                is_ours = found.holder is not None
            case TargetKind.KEY:
                found = find_key(calls, value)
                is_ours = found.holder is not None
            case _:
                found = find_role(calls, value)
                is_ours = bool(found.keys)
        if value in self._never and not is_ours:
            raise NeverError(f"{value} is never touched by {self.tool!r}")
        return found

    @staticmethod
    def _value(target: Target) -> str:
        match target.kind:
            case TargetKind.INSTANCE:
                return matched(target, TargetKind.INSTANCE, INSTANCE_ID, "the id of an instance, i-…")
            case TargetKind.KEY:
                return matched(target, TargetKind.KEY, ACCESS_KEY_ID, "the id of a user's access key, AKIA…")
            case TargetKind.ROLE:
                return matched(target, TargetKind.ROLE, ROLE_NAME, "the name of a role")
            case _:
                raise BadTargetError(f"a target of kind {target.kind!r} is nothing of Amazon's")
