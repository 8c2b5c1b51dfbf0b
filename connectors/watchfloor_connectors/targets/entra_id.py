"""Microsoft Entra ID: disables accounts and applications, enables them, and ends the sessions of an account.

Source of the wire format: https://learn.microsoft.com/graph/api/, there ``user-get``, ``user-update``,
``user-revokesigninsessions``, ``serviceprincipal-get`` and ``serviceprincipal-update``.

An application has ``notes``, where the key stands. An account has nothing that the least permission could write, so
which accounts are held stands in notes of our own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BaseModel, Field

from watchfloor_connectors.targets.base import ConfiguredTarget, NeverError, Slot
from watchfloor_connectors.targets.entra_apps import App, AppChange, app_by_id, change_app
from watchfloor_connectors.targets.files import absolute
from watchfloor_connectors.targets.held_accounts import CLASSES, Account, HeldAccounts
from watchfloor_connectors.targets.http_api import RESTRICTING, SYSTEM_CLOCK, Api, BaseUrl, Clock, Session, path_of
from watchfloor_connectors.targets.microsoft_login import MicrosoftOptions, application_token
from watchfloor_connectors.targets.names import UUID, account_name, matched
from watchfloor_connectors.targets.notes import Notes
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, ReadBack, TargetState

_SELECTED: Final = "id,userPrincipalName,accountEnabled,onPremisesSyncEnabled,signInSessionsValidFromDateTime"
_PERMISSIONS: Final = {
    "User.Read.All": CLASSES,
    "User.EnableDisableAccount.All": frozenset({"disable user", "enable user"}),
    "User.RevokeSessions.All": frozenset({"stop session"}),
    "Application.ReadWrite.All": frozenset({"disable app", "enable app"}),
}


class EntraOptions(MicrosoftOptions):
    """Options of the kind ``entra_id``."""

    graph_url: BaseUrl = "https://graph.microsoft.com"
    state_dir: Annotated[str, AfterValidator(absolute)] | None = None
    """Where the tool remembers which accounts it holds; None: ``targets/<tool>/<tenant>`` in the data directory."""
    never: tuple[str, ...] = ()
    """Names or ids of accounts, e.g. of break-glass accounts, and ids of applications."""


class _User(BaseModel):
    id: Annotated[str, Field(pattern=f"^{UUID.pattern}$")]
    name: str = Field(alias="userPrincipalName", max_length=1024)
    is_enabled: bool = Field(alias="accountEnabled")
    is_synchronised: bool | None = Field(default=None, alias="onPremisesSyncEnabled")
    valid_from: str | None = Field(default=None, alias="signInSessionsValidFromDateTime", max_length=40)

    @property
    def account(self) -> Account:
        return Account(self.id, not self.is_enabled, "enabled" if self.is_enabled else "disabled")


class EntraId(ConfiguredTarget[EntraOptions]):
    kind = "entra_id"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = CLASSES | {"disable app", "enable app"}
    options_type = EntraOptions
    restricting: ClassVar[frozenset[str]] = RESTRICTING

    def __init__(self, slot: Slot, options: EntraOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(slot, options)
        denied = f"grant the application {', '.join(self.least_privilege)}, with admin consent"
        token = application_token(options, options.graph_url)
        self._api = Api(slot.tool, options, f"{options.graph_url}/v1.0", token, denied=denied, clock=clock)
        # Without itself it could not take anything back.
        self._never = frozenset({options.application, *(one.lower() for one in options.never)})
        self._held = HeldAccounts(slot.tool, Notes(slot, options.state_dir, options.timeout_s), self._never)

    def privileges(self) -> tuple[str, ...]:
        return tuple(name for name, classes in _PERMISSIONS.items() if classes & self.action_classes)

    def read_state(self, target: Target) -> TargetState:
        with self._api.session() as session:
            if target.kind is TargetKind.APP:
                return self._touchable_app(session, target).state
            user = self._touchable(session, target)
            if target.kind is TargetKind.SESSION:
                return _session_state(user.id, user.valid_from or "")
            return self._held.state(user.account)

    def do(self, action: Action, key: str) -> None:
        with self._api.session() as session:
            if action.target.kind is TargetKind.APP:
                app = self._touchable_app(session, action.target)
                change_app(
                    session, app, AppChange.DISABLE if action.action_class == "disable app" else AppChange.ENABLE, key
                )
                return
            user = self._touchable(session, action.target)
            match action.action_class:
                case "disable user":
                    self._held.disable(user.account, key, _switch(session, user, is_on=False))
                case "enable user":
                    self._held.enable(user.account, key, _switch(session, user, is_on=True))
                case _:
                    revoke = f"{path_of('users', user.id)}/revokeSignInSessions"
                    self._held.end_sessions(
                        user.account, key, user.valid_from or "", lambda: session.change("POST", revoke)
                    )

    def read_back(self, action: Action, key: str) -> ReadBack:
        with self._api.session() as session:
            match action.target.kind:
                case TargetKind.APP:
                    name = action.action_class
                    app = session.until(
                        lambda: self._app(session, action.target),
                        lambda one: one.found(name, key).effect is Effect.APPLIED,
                    )
                    return app.found(name, key)
                case TargetKind.SESSION:
                    return self._sessions_found(session, action.target, key)
                case _:
                    user = self._user(session, action.target)
                    back = self._held.found(
                        action.action_class, key, session, lambda: self._user(session, action.target).account
                    )
        if not user.is_synchronised:
            return back
        warned = f"{back.text}; it is synchronised from a local directory, which may overrule that: change it there too"
        return ReadBack(back.effect, back.state, warned)

    def _sessions_found(self, session: Session, target: Target, key: str) -> ReadBack:
        user = self._user(session, target)
        effect, last = self._held.found_ended(
            user.account, key, session, lambda: self._user(session, target).valid_from or ""
        )
        text = f"sign-ins of {user.id} count from {last}; tokens for access that are out live on for minutes"
        return ReadBack(effect, _session_state(user.id, last), text)

    def _touchable(self, session: Session, target: Target) -> _User:
        user = self._user(session, target)
        self._held.check_touchable(user.account, target, user.name)
        return user

    def _touchable_app(self, session: Session, target: Target) -> App:
        """Raises `NeverError` as well, but for one that we hold: that can always be taken back."""
        app = self._app(session, target)
        if app.app_id in self._never and app.holder is None:
            raise NeverError(f"the application {app.app_id} is never touched by {self.tool!r}")
        return app

    @staticmethod
    def _user(session: Session, target: Target) -> _User:
        return session.read(_User, path_of("users", account_name(target, UUID)), params={"$select": _SELECTED})

    @staticmethod
    def _app(session: Session, target: Target) -> App:
        what = "the id (appId) of an application, in lower case"
        return app_by_id(session, matched(target, TargetKind.APP, UUID, what))


def _switch(session: Session, user: _User, *, is_on: bool) -> Callable[[], object]:
    return lambda: session.change("PATCH", path_of("users", user.id), json={"accountEnabled": is_on})


def _session_state(user: str, last: str) -> TargetState:
    return TargetState({"id": user, "valid_from": last or None})
