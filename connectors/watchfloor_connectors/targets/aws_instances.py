"""Instances of EC2: all their network interfaces change to a security group that isolates, and back to their own.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/, there DescribeNetworkInterfaces,
ModifyNetworkInterfaceAttribute, CreateTags and DeleteTags. The key, and the groups to go back to, stand in tags of each
interface.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, Field

from watchfloor_connectors.targets.aws_client import Calls
from watchfloor_connectors.targets.base import MARK
from watchfloor_connectors.targets.http_api import NotThereError
from watchfloor_connectors.targets.notes import Note, Notes
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

INSTANCE_ID: Final = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")
KEY_TAG: Final = "watchfloor:key"
GROUPS_TAG: Final = "watchfloor:groups"
MAX_GROUPS: Final = 11
"""What a tag's value of 256 characters has room for; Amazon allows 5 to an interface, unless asked for more."""
_KEY: Final = re.compile(rf"{MARK}([0-9a-f]{{64}})")

_GROUP_ID: Final = re.compile(r"sg-(?:[0-9a-f]{8}|[0-9a-f]{17})")

GroupId = Annotated[str, Field(pattern=f"^{_GROUP_ID.pattern}$")]
VpcId = Annotated[str, Field(pattern=r"^vpc-(?:[0-9a-f]{8}|[0-9a-f]{17})$")]


class _Group(BaseModel):
    id: GroupId = Field(alias="GroupId")


class _Tag(BaseModel):
    name: str = Field(alias="Key")
    value: str = Field(alias="Value")


class _Interface(BaseModel):
    id: Annotated[str, Field(alias="NetworkInterfaceId", pattern=r"^eni-[0-9a-f]{8,17}$")]
    vpc: VpcId = Field(alias="VpcId")
    groups: tuple[_Group, ...] = Field(alias="Groups")
    tags: tuple[_Tag, ...] = Field(default=(), alias="TagSet")

    @property
    def group_ids(self) -> tuple[str, ...]:
        return tuple(sorted(one.id for one in self.groups))

    @property
    def key(self) -> str | None:
        match = _KEY.fullmatch(self._tag(KEY_TAG))
        return match[1] if match else None

    @property
    def former(self) -> tuple[str, ...]:
        """The groups to go back to, as the tag has them."""
        return tuple(self._tag(GROUPS_TAG).split())

    def _tag(self, name: str) -> str:
        return next((one.value for one in self.tags if one.name == name), "")


class _Interfaces(BaseModel):
    interfaces: tuple[_Interface, ...] = Field(alias="NetworkInterfaces")
    more: str | None = Field(default=None, alias="NextToken")


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance by its network interfaces, in the order of their ids."""

    id: str
    interfaces: tuple[_Interface, ...]
    isolation: tuple[str | None, ...]
    """For each interface the group that isolates in its VPC; None where none is configured."""

    @property
    def isolated(self) -> tuple[bool, ...]:
        return tuple(
            group is not None and one.group_ids == (group,)
            for one, group in zip(self.interfaces, self.isolation, strict=True)
        )

    @property
    def held(self) -> tuple[_Interface, ...]:
        """The interfaces that are isolated and bear a mark. A mark alone is nothing: many may tag."""
        pairs = zip(self.interfaces, self.isolated, strict=True)
        return tuple(one for one, is_isolated in pairs if is_isolated and one.key is not None)

    @property
    def holder(self) -> str | None:
        return next((one.key for one in self.held), None)

    @property
    def state(self) -> TargetState:
        groups = {one.id: list(one.group_ids) for one in self.interfaces}
        return TargetState({"instance": self.id, "groups": groups, "held_by": self.holder})


class Instances:
    def __init__(self, isolation_groups: Mapping[str, str], notes: Notes) -> None:
        self._isolation, self._notes = isolation_groups, notes

    def find(self, calls: Calls, instance: str) -> Instance:
        """Raises `NotFoundError`, `UnavailableError`."""
        asked = [{"Name": "attachment.instance-id", "Values": [instance]}]
        found = calls.read(_Interfaces, "ec2", "describe_network_interfaces", Filters=asked)
        if not found.interfaces:
            raise NotThereError(f"there is no instance {instance} with a network interface in this account and region")
        if found.more:
            raise UnavailableError(f"{instance} has more network interfaces than one answer tells")
        interfaces = tuple(sorted(found.interfaces, key=lambda one: one.id))
        return Instance(instance, interfaces, tuple(self._isolation.get(one.vpc) for one in interfaces))

    def contain(self, calls: Calls, instance: Instance, key: str) -> None:
        if instance.holder == key and all(instance.isolated):
            return
        if instance.holder is not None:
            raise NotDoneError(f"held already by the proposal of digest {instance.holder}; end that first")
        if any(instance.isolated):
            raise NotDoneError("isolated already, by another hand")
        for one, group in zip(instance.interfaces, instance.isolation, strict=True):
            if group is None:
                raise NotDoneError(f"no isolation group is configured for {one.vpc}; add it to 'isolation_groups'")
            if len(one.groups) > MAX_GROUPS:
                raise NotDoneError(f"{one.id} has {len(one.groups)} security groups; a tag has room for {MAX_GROUPS}")
        with self._notes.alone(instance.id):
            told = tuple(f"{one.id} {' '.join(one.group_ids)}" for one in instance.interfaces)
            self._notes.write(Note(target=instance.id, id=instance.id, key=key, details=told))
            # Every interface bears its mark before the first of them changes.
            for one in instance.interfaces:
                tags = {KEY_TAG: f"{MARK}{key}", GROUPS_TAG: " ".join(one.group_ids)}
                told_tags = [{"Key": name, "Value": value} for name, value in tags.items()]
                calls.note("ec2", "create_tags", Resources=[one.id], Tags=told_tags)
            try:
                for one, group in zip(instance.interfaces, instance.isolation, strict=True):
                    _regroup(calls, one, (str(group),))
            except NotDoneError:
                self._unmark(calls, instance)
                raise

    def restore(self, calls: Calls, instance: Instance) -> None:
        if not instance.held:
            raise NotDoneError("no network interface is isolated with a mark of Watchfloor; others may restore theirs")
        with self._notes.alone(instance.id):
            note = self._notes.read(instance.id)
            for one in instance.held:
                told = f"{one.id} {' '.join(one.former)}"
                # Whoever may tag could have us put the instance into groups of their choice.
                is_forged = note is not None and note.key == one.key and told not in note.details
                if is_forged or not one.former or not all(map(_GROUP_ID.fullmatch, one.former)):
                    raise NotDoneError(f"the tags of {one.id} do not name the groups that it had; restore it by hand")
            for one in instance.held:
                _regroup(calls, one, one.former)
            self._unmark(calls, instance)

    def found(self, calls: Calls, instance: str, action_class: str, key: str) -> ReadBack:
        is_on = action_class == "contain instance"

        def effect_of(one: Instance) -> Effect:
            if is_on and one.holder != key:
                return Effect.NOT_APPLIED
            right = [isolated == is_on for isolated in one.isolated]
            if all(right):
                return Effect.APPLIED
            return Effect.UNKNOWN if any(right) else Effect.NOT_APPLIED

        now = calls.until(lambda: self.find(calls, instance), lambda one: effect_of(one) is Effect.APPLIED)
        held = f"by the proposal of digest {now.holder}" if now.holder else "without a mark of ours"
        text = f"{sum(now.isolated)} of {len(now.isolated)} network interfaces of {instance} are isolated, {held}"
        return ReadBack(effect_of(now), now.state, text)

    def _unmark(self, calls: Calls, instance: Instance) -> None:
        for one in instance.interfaces:
            tags = [{"Key": KEY_TAG}, {"Key": GROUPS_TAG}]
            calls.note("ec2", "delete_tags", Resources=[one.id], Tags=tags)
        self._notes.remove(instance.id)


def _regroup(calls: Calls, interface: _Interface, groups: tuple[str, ...]) -> None:
    calls.change("ec2", "modify_network_interface_attribute", NetworkInterfaceId=interface.id, Groups=list(groups))
