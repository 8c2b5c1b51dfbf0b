"""What a kill switch may stop: scopes as text, which of them cover an act, and who may touch which.

::

    all                     everything in this installation
    tenant:<tenant>         everything of one tenant
    function:<function>     one function, e.g. function:incident_response
    action:<action class>   one class of action, e.g. action:deny ip
    tool:<tool>             one configured tool
    agent:<name>            whatever one proposer proposes

and the last four of one tenant only: ``tenant:<tenant>/action:<action class>``. Names match exactly, never as patterns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.incident import Function
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.matrix import CLOSE_INCIDENT, INVESTIGATE_INCIDENT

ALL: Final = "all"
DRILL: Final = "drill"
"""An action class that nothing is of: what a drill stops."""
ACTION_CLASSES: Final = (*sorted(CATALOGUE), CLOSE_INCIDENT, INVESTIGATE_INCIDENT, DRILL)
"""Closed, as are the functions: a misspelt name would be thrown with success and stop nothing."""
MAX_REASON: Final = 4_000
"""Characters."""

_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,95}")
_ACTION: Final = re.compile(r"[a-z][a-z_]{0,31}(?: [a-z][a-z_]{0,31})?")
_FORMS: Final = {
    "tenant": _TENANT,
    "function": re.compile("|".join(Function)),
    "action": _ACTION,
    "tool": _NAME,
    "agent": _NAME,
}
_FORMS_TEXT: Final = (
    "all, tenant:NAME, function:NAME, action:CLASS, tool:NAME, agent:NAME, or one of the last four behind "
    "tenant:NAME/ for that tenant alone"
)


@dataclass(frozen=True, slots=True)
class KillScope:
    """A scope in its parts; ``str`` gives its text back."""

    tenant: str | None
    """Whose acts it covers; None: everybody's."""
    kind: str | None
    """``function``, ``action``, ``tool`` or ``agent``; None: acts of every kind."""
    name: str | None
    """Of that kind; None exactly where ``kind`` is."""

    def __str__(self) -> str:
        parts = [] if self.tenant is None else [f"tenant:{self.tenant}"]
        if self.kind is not None:
            parts.append(f"{self.kind}:{self.name}")
        return "/".join(parts) or ALL


def parse_scope(text: str) -> KillScope:
    """The scope that a person wrote. Raises `ConfigurationError`, which says what there is."""
    if text == ALL:
        return KillScope(None, None, None)
    first, slash, second = text.partition("/")
    kind, name = _part(text, first)
    if kind != "tenant":
        if slash:
            raise _wrong(text, "only tenant:NAME stands before a slash")
        return KillScope(None, kind, name)
    if not slash:
        return KillScope(name, None, None)
    tenant = name
    kind, name = _part(text, second)
    if kind == "tenant":
        raise _wrong(text, "a tenant has no tenants")
    return KillScope(tenant, kind, name)


def tenant_of(scope: str) -> str | None:
    """Whose acts a stored scope covers, also one that only another version can parse; None: everybody's."""
    first = scope.partition("/")[0]
    return first.removeprefix("tenant:") if first.startswith("tenant:") else None


def covering_scopes(
    tenant: str,
    function: str | None = None,
    action_class: str | None = None,
    tool: str | None = None,
    agent: str | None = None,
) -> tuple[str, ...]:
    """Every scope that stops such an act; what does not apply to it is None.

    The order is fixed. Raises ValueError for a name that no scope can carry: what cannot be stopped must not begin.
    """
    named = (("function", function), ("action", action_class), ("tool", tool), ("agent", agent))
    _require("tenant", tenant)
    own = [f"{kind}:{_require(kind, name)}" for kind, name in named if name is not None]
    return (ALL, f"tenant:{tenant}", *own, *(f"tenant:{tenant}/{one}" for one in own))


def may_touch(scope: str, caller_tenant: str, home_tenant: str) -> bool:
    """Whether a caller of one tenant may throw this switch.

    Everybody their own tenant's; those that reach over tenants only from the installation's home tenant. False for
    what is no scope. Roles are the business of whoever authenticates.
    """
    try:
        parsed = parse_scope(scope)
    except ConfigurationError:
        return False
    return caller_tenant == (home_tenant if parsed.tenant is None else parsed.tenant)


def refusals_to_stop(principal: Principal, reason: str) -> list[str]:
    """Everything against throwing a switch: people and services may, for stopping is always safe."""
    found = _faults(reason)
    if principal.kind is PrincipalKind.AGENT:
        found.append(f"principal {principal.name!r} is an agent; a person or a service throws a switch")
    return found


def refusals_to_release(principal: Principal, reason: str) -> list[str]:
    """Everything against letting go again what was stopped: only a person may."""
    found = _faults(reason)
    if principal.kind is not PrincipalKind.PERSON:
        found.append(f"principal {principal.name!r} is a {principal.kind}; only a person lets go what was stopped")
    return found


def _faults(reason: str) -> list[str]:
    found = []
    if not reason.strip():
        found.append("say why; the reason is kept in the ledger")
    if len(reason) > MAX_REASON:
        found.append(f"the reason has {len(reason):,} characters; at most {MAX_REASON:,} are kept")
    if "\0" in reason or any("\ud800" <= character <= "\udfff" for character in reason):
        found.append("the reason holds a NUL or half a surrogate pair, which no database keeps; remove it")
    return found


def _part(whole: str, text: str) -> tuple[str, str]:
    kind, colon, name = text.partition(":")
    form = _FORMS.get(kind)
    if form is None or not colon:
        raise _wrong(whole, f"{text!r:.80} names no kind")
    if kind == "function" and form.fullmatch(name) is None:
        raise _wrong(whole, f"the functions are {', '.join(Function)}")
    if kind == "action" and name not in ACTION_CLASSES:
        raise _wrong(whole, f"the action classes are {', '.join(map(repr, ACTION_CLASSES))}")
    if form.fullmatch(name) is None:
        raise _wrong(whole, f"{name!r:.120} is not the name of a {kind}")
    return kind, name


def _require(kind: str, name: str) -> str:
    if _FORMS[kind].fullmatch(name) is None:
        raise ValueError(f"{name!r:.120} cannot be named in a kill switch as {kind}; expected {_FORMS[kind].pattern}")
    return name


def _wrong(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"{text!r:.120} is not a scope: {why}; there are {_FORMS_TEXT}")
