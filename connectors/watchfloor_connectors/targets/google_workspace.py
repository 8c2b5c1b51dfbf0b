"""Google Workspace: suspends accounts, restores them, and signs them out.

Source of the wire format: https://developers.google.com/workspace/admin/directory/reference/rest/v1/users (get, patch,
signOut) and https://developers.google.com/workspace/admin/reports/reference/rest/v1/activities/list.

The directory says nothing of an account's sessions. That they were ended is read in the audit log of administrators.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BaseModel, Field

from watchfloor_connectors.targets.base import ConfiguredTarget, Slot
from watchfloor_connectors.targets.files import absolute
from watchfloor_connectors.targets.google_login import delegated_token
from watchfloor_connectors.targets.held_accounts import CLASSES, Account, HeldAccounts
from watchfloor_connectors.targets.http_api import (
    RESTRICTING,
    SYSTEM_CLOCK,
    Api,
    ApiOptions,
    BaseUrl,
    Clock,
    Session,
    path_of,
)
from watchfloor_connectors.targets.names import account_name
from watchfloor_connectors.targets.notes import Notes
from watchfloor_connectors.targets.secret import SecretReference
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import ReadBack, TargetState

_ID: Final = re.compile(r"[0-9]{15,25}")
_SIGNED_OUT: Final = "RESET_SIGNIN_COOKIES"
_SCOPE: Final = "https://www.googleapis.com/auth/"
_SCOPES: Final = {
    f"{_SCOPE}admin.directory.user": frozenset({"disable user", "enable user"}),
    f"{_SCOPE}admin.directory.user.readonly": frozenset({"stop session"}),
    f"{_SCOPE}admin.directory.user.security": frozenset({"stop session"}),
    f"{_SCOPE}admin.reports.audit.readonly": frozenset({"stop session"}),
}


class GoogleWorkspaceOptions(ApiOptions):
    """Options of the kind ``google_workspace``."""

    service_account_key: SecretReference
    """The JSON file of a key of the service account."""
    administrator: Annotated[str, Field(pattern=r"^[^@\s]{1,64}@[^@\s]{1,190}$")]
    """The account that the service account acts for: one that may suspend users and nothing else."""
    api_url: BaseUrl = "https://admin.googleapis.com"
    login_url: BaseUrl = "https://oauth2.googleapis.com/token"
    state_dir: Annotated[str, AfterValidator(absolute)] | None = None
    """Where the tool remembers which accounts it holds; None: ``targets/<tool>/<tenant>`` in the data directory."""
    never: tuple[str, ...] = ()
    """Addresses or ids of accounts, e.g. of break-glass accounts."""


class _User(BaseModel):
    id: Annotated[str, Field(pattern=f"^{_ID.pattern}$")]
    primary_email: Annotated[str, Field(alias="primaryEmail", pattern=r"^[^\s,=<>]{3,255}$")]
    suspended: bool = False

    @property
    def account(self) -> Account:
        return Account(self.id, self.suspended, "suspended" if self.suspended else "active")


class _ActivityId(BaseModel):
    time: Annotated[str, Field(pattern=r"^[0-9T:.Z+-]{10,40}$")]
    qualifier: Annotated[str, Field(alias="uniqueQualifier", pattern=r"^-?[0-9]{1,20}$")]


class _Activity(BaseModel):
    id: _ActivityId


class _Activities(BaseModel):
    items: tuple[_Activity, ...] = ()


class GoogleWorkspace(ConfiguredTarget[GoogleWorkspaceOptions]):
    kind = "google_workspace"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = CLASSES
    options_type = GoogleWorkspaceOptions
    restricting: ClassVar[frozenset[str]] = RESTRICTING

    def __init__(self, slot: Slot, options: GoogleWorkspaceOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(slot, options)
        scopes = self.least_privilege
        denied = (
            f"delegate to the service account {' '.join(scopes)}, and give {options.administrator} a role for users"
        )
        token = delegated_token(options.service_account_key, options.administrator, scopes, options.login_url)
        self._api = Api(slot.tool, options, f"{options.api_url}/admin", token, denied=denied, clock=clock)
        notes = Notes(slot, options.state_dir, options.timeout_s)
        # Without the administrator nothing could be taken back.
        self._held = HeldAccounts(slot.tool, notes, (options.administrator, *options.never))

    def privileges(self) -> tuple[str, ...]:
        writes = f"{_SCOPE}admin.directory.user"
        needed = [scope for scope, classes in _SCOPES.items() if classes & self.action_classes]
        # To write is to read.
        return tuple(scope for scope in needed if writes not in needed or scope != f"{writes}.readonly")

    def read_state(self, target: Target) -> TargetState:
        with self._api.session() as session:
            user = self._touchable(session, target)
            if target.kind is TargetKind.SESSION:
                return _session_state(user, _last_sign_out(session, user))
            return self._held.state(user.account)

    def do(self, action: Action, key: str) -> None:
        with self._api.session() as session:
            user = self._touchable(session, action.target)
            path = _path(user.id)
            if action.action_class == "stop session":
                last = _last_sign_out(session, user)
                self._held.end_sessions(user.account, key, last, lambda: session.change("POST", f"{path}/signOut"))
            elif action.action_class == "disable user":
                self._held.disable(user.account, key, lambda: session.change("PATCH", path, json={"suspended": True}))
            else:
                self._held.enable(user.account, key, lambda: session.change("PATCH", path, json={"suspended": False}))

    def read_back(self, action: Action, key: str) -> ReadBack:
        with self._api.session() as session:
            if action.action_class != "stop session":
                return self._held.found(
                    action.action_class, key, session, lambda: self._user(session, action.target).account
                )
            user = self._user(session, action.target)
            effect, last = self._held.found_ended(user.account, key, session, lambda: _last_sign_out(session, user))
        text = f"the audit log has {last or 'none'} as the last {_SIGNED_OUT} of {user.id}; it can be minutes behind"
        return ReadBack(effect, _session_state(user, last), text)

    def _touchable(self, session: Session, target: Target) -> _User:
        user = self._user(session, target)
        self._held.check_touchable(user.account, target, user.primary_email)
        return user

    @staticmethod
    def _user(session: Session, target: Target) -> _User:
        return session.read(_User, _path(account_name(target, _ID)), params={"fields": "id,primaryEmail,suspended"})


def _path(user: str) -> str:
    return f"directory/v1/{path_of('users', user)}"


def _last_sign_out(session: Session, user: _User) -> str:
    """When an administrator last signed this account out, with what tells it from others; empty where none has."""
    asked = {
        "eventName": _SIGNED_OUT,
        "filters": f"USER_EMAIL=={user.primary_email}",
        "maxResults": "1",
    }
    items = session.read(_Activities, "reports/v1/activity/users/all/applications/admin", params=asked).items
    return f"{items[0].id.time} {items[0].id.qualifier}" if items else ""


def _session_state(user: _User, last: str) -> TargetState:
    return TargetState({"id": user.id, "last_signed_out": last})
