"""Access keys of IAM users: made inactive and active again. The key of the action stands in a tag of the user.

Source: https://docs.aws.amazon.com/IAM/latest/APIReference/, GetAccessKeyLastUsed, ListAccessKeys, UpdateAccessKey,
ListUserTags, TagUser, UntagUser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, Field

from watchfloor_connectors.targets.aws_client import Calls
from watchfloor_connectors.targets.base import MARK
from watchfloor_connectors.targets.http_api import NotThereError
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

ACCESS_KEY_ID: Final = re.compile(r"AKIA[A-Z0-9]{16}")
"""Of a user, for long: those of roles, ``ASIA…``, end by themselves."""
_KEY: Final = re.compile(rf"{MARK}([0-9a-f]{{64}})")


class _LastUsed(BaseModel):
    user: Annotated[str, Field(alias="UserName", pattern=r"^[\w+=,.@-]{1,64}$")]


class _Key(BaseModel):
    id: str = Field(alias="AccessKeyId")
    status: Annotated[str, Field(alias="Status", pattern=r"^[A-Za-z]{1,16}$")]


class _Keys(BaseModel):
    keys: tuple[_Key, ...] = Field(alias="AccessKeyMetadata")


class _Tag(BaseModel):
    name: str = Field(alias="Key")
    value: str = Field(alias="Value")


class _Tags(BaseModel):
    tags: tuple[_Tag, ...] = Field(alias="Tags")


@dataclass(frozen=True, slots=True)
class AccessKey:
    id: str
    user: str
    status: str
    mark: str | None

    @property
    def is_disabled(self) -> bool:
        return self.status != "Active"

    @property
    def holder(self) -> str | None:
        return self.mark if self.is_disabled else None

    @property
    def state(self) -> TargetState:
        return TargetState({"key": self.id, "user": self.user, "status": self.status, "held_by": self.holder})


def find_key(calls: Calls, id_: str) -> AccessKey:
    """Raises `NotFoundError`, `UnavailableError`."""
    user = calls.read(_LastUsed, "iam", "get_access_key_last_used", AccessKeyId=id_).user
    keys = calls.read(_Keys, "iam", "list_access_keys", UserName=user).keys
    key = next((one for one in keys if one.id == id_), None)
    if key is None:
        raise NotThereError(f"the user of the access key {id_} has no such key")
    # A user has at most 50 tags, and 100 are told at once.
    tags = calls.read(_Tags, "iam", "list_user_tags", UserName=user).tags
    found = next((match for one in tags if one.name == _tag(id_) and (match := _KEY.fullmatch(one.value))), None)
    return AccessKey(id_, user, key.status, found[1] if found else None)


def disable_key(calls: Calls, key: AccessKey, by: str) -> None:
    if key.is_disabled:
        if key.holder == by:
            return
        whose = f"by the proposal of digest {key.holder}; end that first" if key.holder else "by another hand"
        raise NotDoneError(f"the access key is inactive already, {whose}")
    calls.note("iam", "tag_user", UserName=key.user, Tags=[{"Key": _tag(key.id), "Value": f"{MARK}{by}"}])
    try:
        calls.change("iam", "update_access_key", UserName=key.user, AccessKeyId=key.id, Status="Inactive")
    except NotDoneError:
        calls.note("iam", "untag_user", UserName=key.user, TagKeys=[_tag(key.id)])
        raise


def enable_key(calls: Calls, key: AccessKey) -> None:
    if not key.is_disabled:
        raise NotDoneError("the access key is active")
    if key.holder is None:
        raise NotDoneError("the access key was made inactive by another hand, which may make it active")
    calls.change("iam", "update_access_key", UserName=key.user, AccessKeyId=key.id, Status="Active")
    calls.note("iam", "untag_user", UserName=key.user, TagKeys=[_tag(key.id)])


def found_key(calls: Calls, id_: str, action_class: str, by: str) -> ReadBack:
    def is_applied(key: AccessKey) -> bool:
        return key.holder == by if action_class == "disable key" else not key.is_disabled

    key = calls.until(lambda: find_key(calls, id_), is_applied)
    whose = ""
    if key.is_disabled:
        whose = f", by the proposal of digest {key.holder}" if key.holder else ", by another hand"
    text = f"the access key {id_} of {key.user} is {key.status}{whose}"
    return ReadBack(Effect.APPLIED if is_applied(key) else Effect.NOT_APPLIED, key.state, text)


def _tag(id_: str) -> str:
    return f"watchfloor:{id_}"
