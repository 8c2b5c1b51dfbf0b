"""Applications of Microsoft Entra ID: their service principals, with the key of whoever disabled one in ``notes``."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, Field

from watchfloor_connectors.targets.base import MARK
from watchfloor_connectors.targets.http_api import Session
from watchfloor_connectors.targets.names import UUID
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

MAX_NOTES: Final = 1024
"""Characters of ``notes`` (https://learn.microsoft.com/graph/api/resources/serviceprincipal)."""
_MARKED: Final = re.compile(rf"(?:\A|\n)Watchfloor {MARK}([0-9a-f]{{64}})(?=\n|\Z)")


class AppChange(StrEnum):
    DISABLE = "disable"
    ENABLE = "enable"


class App(BaseModel):
    """A service principal."""

    id: Annotated[str, Field(pattern=f"^{UUID.pattern}$")]
    app_id: Annotated[str, Field(alias="appId", pattern=f"^{UUID.pattern}$")]
    account_enabled: bool | None = Field(default=None, alias="accountEnabled")
    notes: str | None = Field(default=None, max_length=MAX_NOTES)

    @property
    def is_disabled(self) -> bool:
        return self.account_enabled is False

    @property
    def mark(self) -> str | None:
        found = _MARKED.search(self.notes or "")
        return found[1] if found else None

    @property
    def holder(self) -> str | None:
        return self.mark if self.is_disabled else None

    @property
    def state(self) -> TargetState:
        return TargetState({"id": self.id, "is_disabled": self.is_disabled, "held_by": self.holder})

    def found(self, action_class: str, key: str) -> ReadBack:
        is_applied = self.holder == key if action_class == "disable app" else not self.is_disabled
        whose = ""
        if self.is_disabled:
            whose = f", by the proposal of digest {self.holder}" if self.holder else ", by another hand"
        text = f"the application {self.app_id} is {'disabled' if self.is_disabled else 'enabled'}{whose}"
        return ReadBack(Effect.APPLIED if is_applied else Effect.NOT_APPLIED, self.state, text)


def app_by_id(session: Session, app_id: str) -> App:
    """``app_id`` is a checked GUID. Raises `NotFoundError`, `UnavailableError`."""
    return session.read(App, _path(app_id), params={"$select": "id,appId,accountEnabled,notes"})


def change_app(session: Session, app: App, change: AppChange, key: str) -> None:
    """In one request with the mark, so that neither is there without the other. Raises `NotDoneError`."""
    unmarked = _MARKED.sub("", app.notes or "").lstrip("\n")
    if change is AppChange.DISABLE:
        if app.is_disabled:
            if app.holder == key:
                return
            whose = f"by the proposal of digest {app.holder}; end that first" if app.holder else "by another hand"
            raise NotDoneError(f"the application is disabled already, {whose}")
        marked = f"{unmarked}\n" if unmarked else ""
        notes: str | None = f"{marked}Watchfloor {MARK}{key}"
        if len(notes or "") > MAX_NOTES:
            raise NotDoneError(f"the application's notes have no room for a mark: {MAX_NOTES} characters at most")
    else:
        if not app.is_disabled:
            raise NotDoneError("the application is not disabled")
        if app.holder is None:
            raise NotDoneError("the application was disabled by another hand, which may enable it")
        notes = unmarked or None
    session.change("PATCH", _path(app.app_id), json={"accountEnabled": change is AppChange.ENABLE, "notes": notes})


def _path(app_id: str) -> str:
    return f"servicePrincipals(appId='{app_id}')"
