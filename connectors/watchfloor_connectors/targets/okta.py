"""Okta: suspends accounts, unsuspends them, and ends their sessions.

Source of the wire format: https://developer.okta.com/docs/api/openapi/okta-management/management/,
there *User*, *UserLifecycle*, *UserSessions* and *SystemLog*.

Okta says nothing of an account's sessions. That they were ended is read in its System Log.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BaseModel, Field, RootModel

from watchfloor_connectors.targets.base import ConfiguredTarget, Slot
from watchfloor_connectors.targets.files import absolute
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
from watchfloor_connectors.targets.http_credentials import SecretHeader
from watchfloor_connectors.targets.names import account_name
from watchfloor_connectors.targets.notes import Notes
from watchfloor_connectors.targets.secret import SecretReference
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import ReadBack, TargetState

_ID: Final = re.compile(r"00u[0-9A-Za-z]{17}")
_CLEARED: Final = "user.session.clear"
_PERMISSIONS: Final = {
    "okta.users.read": CLASSES,
    "okta.users.lifecycle.suspend": frozenset({"disable user"}),
    "okta.users.lifecycle.unsuspend": frozenset({"enable user"}),
    "okta.users.lifecycle.clearSessions": frozenset({"stop session"}),
    "the standard role Report Administrator, to read the System Log": frozenset({"stop session"}),
}


class OktaOptions(ApiOptions):
    """Options of the kind ``okta``."""

    org_url: BaseUrl
    """Such as ``https://example.okta.com``; not that of the admin console."""
    api_token: SecretReference
    state_dir: Annotated[str, AfterValidator(absolute)] | None = None
    """Where the tool remembers which accounts it holds; None: ``targets/<tool>/<tenant>`` in the data directory."""
    never: tuple[str, ...] = ()
    """Logins or ids of accounts, e.g. of break-glass accounts and the one that the token is of."""


class _Profile(BaseModel):
    login: Annotated[str, Field(max_length=255)]


class _User(BaseModel):
    id: Annotated[str, Field(pattern=f"^{_ID.pattern}$")]
    status: Annotated[str, Field(pattern=r"^[A-Z_]{1,32}$")]
    profile: _Profile

    @property
    def account(self) -> Account:
        return Account(self.id, self.status in ("SUSPENDED", "DEPROVISIONED"), self.status)


class _Event(BaseModel):
    uuid: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]


class _Events(RootModel[tuple[_Event, ...]]):
    pass


class Okta(ConfiguredTarget[OktaOptions]):
    kind = "okta"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = CLASSES
    options_type = OktaOptions
    restricting: ClassVar[frozenset[str]] = RESTRICTING

    def __init__(self, slot: Slot, options: OktaOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(slot, options)
        denied = f"give the token's account a role with {', '.join(self.least_privilege)}"
        credentials = SecretHeader(options.api_token, before="SSWS ")
        self._api = Api(slot.tool, options, f"{options.org_url}/api/v1", credentials, denied=denied, clock=clock)
        self._held = HeldAccounts(slot.tool, Notes(slot, options.state_dir, options.timeout_s), options.never)

    def privileges(self) -> tuple[str, ...]:
        return tuple(name for name, classes in _PERMISSIONS.items() if classes & self.action_classes)

    def read_state(self, target: Target) -> TargetState:
        with self._api.session() as session:
            user = self._touchable(session, target)
            if target.kind is TargetKind.SESSION:
                return _session_state(user, _last_clearing(session, user))
            return self._held.state(user.account)

    def do(self, action: Action, key: str) -> None:
        with self._api.session() as session:
            user = self._touchable(session, action.target)
            if action.action_class == "stop session":
                self._held.end_sessions(
                    user.account,
                    key,
                    _last_clearing(session, user),
                    lambda: session.change(
                        "DELETE", path_of("users", user.id, "sessions"), params={"oauthTokens": "true"}
                    ),
                )
            elif action.action_class == "disable user":
                suspend = path_of("users", user.id, "lifecycle", "suspend")
                self._held.disable(user.account, key, lambda: session.change("POST", suspend))
            else:
                unsuspend = path_of("users", user.id, "lifecycle", "unsuspend")
                self._held.enable(user.account, key, lambda: session.change("POST", unsuspend))

    def read_back(self, action: Action, key: str) -> ReadBack:
        with self._api.session() as session:
            if action.action_class != "stop session":
                return self._held.found(
                    action.action_class, key, session, lambda: self._user(session, action.target).account
                )
            user = self._user(session, action.target)
            effect, last = self._held.found_ended(user.account, key, session, lambda: _last_clearing(session, user))
        text = f"Okta's System Log has {last or 'none'} as the last {_CLEARED} of {user.id} in 7 days"
        return ReadBack(effect, _session_state(user, last), text)

    def _touchable(self, session: Session, target: Target) -> _User:
        user = self._user(session, target)
        self._held.check_touchable(user.account, target, user.profile.login)
        return user

    @staticmethod
    def _user(session: Session, target: Target) -> _User:
        return session.read(_User, path_of("users", account_name(target, _ID)))


def _last_clearing(session: Session, user: _User) -> str:
    """The id of the last event by which sessions of this account were ended; empty where there is none."""
    asked = {
        "filter": f'eventType eq "{_CLEARED}" and target.id eq "{user.id}"',
        "sortOrder": "DESCENDING",
        "limit": "1",
    }
    events = session.read(_Events, "logs", params=asked).root
    return events[0].uuid if events else ""


def _session_state(user: _User, last: str) -> TargetState:
    return TargetState({"id": user.id, "last_cleared": last})
