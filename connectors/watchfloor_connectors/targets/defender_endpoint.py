"""Microsoft Defender for Endpoint: isolates machines, releases them, and has them scanned.

Source of the wire format: https://learn.microsoft.com/defender-endpoint/api/machineaction and the pages beside it.

A machine says nothing of its isolation. It is what the last of its isolations and releases says that did not fail; the
comment of each carries the key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AwareDatetime, BaseModel, Field

from watchfloor_connectors.targets.base import MARK, ConfiguredTarget, NeverError, Slot
from watchfloor_connectors.targets.http_api import (
    RESTRICTING,
    SYSTEM_CLOCK,
    Api,
    BaseUrl,
    Clock,
    NotThereError,
    Session,
    path_of,
)
from watchfloor_connectors.targets.microsoft_login import MicrosoftOptions, application_token
from watchfloor_connectors.targets.names import host_name
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

_MACHINE_ID: Final = re.compile(r"[0-9a-f]{40}")
_KEY: Final = re.compile(rf"\b{MARK}([0-9a-f]{{64}})\b")
_SAME_NAME: Final = 50
_FAILED: Final = frozenset({"Failed", "TimeOut", "Cancelled"})


class DefenderOptions(MicrosoftOptions):
    """Options of the kind ``defender_endpoint``."""

    api_url: BaseUrl = "https://api.security.microsoft.com"
    resource: BaseUrl = "https://api.securitycenter.microsoft.com"
    """What the token is for; other clouds of Microsoft have others."""
    isolation: Literal["Full", "Selective"] = "Full"
    """``Selective`` leaves Outlook, Teams and Skype for Business connected."""
    scan: Literal["Quick", "Full"] = "Quick"
    max_per_minute: int = Field(default=60, ge=1, le=100)
    """Requests; Microsoft allows 100 in a minute."""
    never: tuple[str, ...] = ()
    """Names or ids of machines, e.g. of domain controllers."""


class _Machine(BaseModel):
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    name: str | None = Field(default=None, alias="computerDnsName", max_length=255)


class _Machines(BaseModel):
    value: tuple[_Machine, ...]


class _MachineAction(BaseModel):
    id: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]
    type: Annotated[str, Field(max_length=64)]
    comment: str | None = Field(default=None, alias="requestorComment")
    status: Annotated[str, Field(pattern=r"^[A-Za-z]{1,32}$")]
    created: AwareDatetime = Field(alias="creationDateTimeUtc")

    @property
    def key(self) -> str | None:
        found = _KEY.search(self.comment or "")
        return found[1] if found else None

    @property
    def is_open(self) -> bool:
        return self.status not in _FAILED and self.status != "Succeeded"


class _MachineActions(BaseModel):
    value: tuple[_MachineAction, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A machine with what was done to it, the latest first."""

    machine: _Machine
    actions: tuple[_MachineAction, ...]

    @property
    def isolation(self) -> _MachineAction | None:
        """The isolation or release that says how the machine is, or is about to be."""
        kinds = ("Isolate", "Unisolate")
        return next((one for one in self.actions if one.type in kinds and one.status not in _FAILED), None)

    @property
    def holds(self) -> _MachineAction | None:
        """The isolation in force, or under way."""
        last = self.isolation
        return last if last is not None and last.type == "Isolate" else None

    @property
    def state(self) -> TargetState:
        last = self.isolation
        said = "released" if last is None or last.type == "Unisolate" else "isolated"
        held = self.holds
        return TargetState(
            {
                "machine": self.machine.id,
                "isolation": f"to be {said}" if last is not None and last.is_open else said,
                "held_by": None if held is None else held.key or "another hand",
            }
        )

    def of(self, kind: str, key: str) -> _MachineAction | None:
        return next((one for one in self.actions if one.type == kind and one.key == key), None)


class DefenderEndpoint(ConfiguredTarget[DefenderOptions]):
    kind = "defender_endpoint"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"contain host", "restore host", "scan host"})
    options_type = DefenderOptions
    restricting: ClassVar[frozenset[str]] = RESTRICTING

    def __init__(self, slot: Slot, options: DefenderOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(slot, options)
        denied = f"grant the application {', '.join(self.least_privilege)}, with admin consent"
        token = application_token(options, options.resource)
        self._api = Api(slot.tool, options, options.api_url, token, denied=denied, clock=clock)
        self._never = frozenset(one.lower() for one in options.never)

    def privileges(self) -> tuple[str, ...]:
        isolates = ("Machine.Isolate",) if self.action_classes & {"contain host", "restore host"} else ()
        return ("Machine.Read.All", *isolates, *(("Machine.Scan",) if "scan host" in self.action_classes else ()))

    def read_state(self, target: Target) -> TargetState:
        with self._api.session() as session:
            return self._touchable(session, target).state

    def do(self, action: Action, key: str) -> None:
        with self._api.session() as session:
            seen = self._touchable(session, action.target)
            match action.action_class:
                case "contain host":
                    self._isolate(session, seen, key)
                case "restore host":
                    self._release(session, seen, key)
                case _:
                    if seen.of("RunAntiVirusScan", key) is None:
                        self._order(session, seen, "runAntiVirusScan", key, {"ScanType": self.options.scan})

    def read_back(self, action: Action, key: str) -> ReadBack:
        kind = {"contain host": "Isolate", "restore host": "Unisolate"}.get(action.action_class, "RunAntiVirusScan")

        def look() -> _Seen:
            return self._seen(session, action.target)

        def is_settled(seen: _Seen) -> bool:
            one = seen.of(kind, key)
            return one is None or not one.is_open

        with self._api.session() as session:
            seen = session.until(look, is_settled, every_s=1.0)
        done = seen.of(kind, key)
        told = "no action of this key" if done is None else f"action {done.id}: {kind} {done.status}"
        text = f"Defender has of machine {seen.machine.id}: {told}"
        output = "" if done is None else done.id
        if kind == "RunAntiVirusScan":
            # A scan takes hours; what counts is that the machine has begun it.
            has_begun = done is not None and done.status in ("InProgress", "Succeeded")
            is_waiting = done is not None and done.is_open
            effect = Effect.APPLIED if has_begun else Effect.UNKNOWN if is_waiting else Effect.NOT_APPLIED
            return ReadBack(effect, seen.state, text, output)
        last = seen.isolation
        if last is not None and last.is_open:
            effect = Effect.UNKNOWN
        elif kind == "Isolate":
            effect = Effect.APPLIED if last is not None and last == done else Effect.NOT_APPLIED
        else:
            effect = Effect.APPLIED if seen.holds is None else Effect.NOT_APPLIED
        return ReadBack(effect, seen.state, text, output)

    def _isolate(self, session: Session, seen: _Seen, key: str) -> None:
        held = seen.holds
        if held is not None and held.key == key:
            return
        if held is not None:
            whose = f"by the proposal of digest {held.key}; end that first" if held.key else "by another hand"
            raise NotDoneError(f"the machine is isolated already, {whose}")
        self._order(session, seen, "isolate", key, {"IsolationType": self.options.isolation})

    def _release(self, session: Session, seen: _Seen, key: str) -> None:
        held = seen.holds
        if held is None:
            if seen.of("Unisolate", key) is not None:
                return
            raise NotDoneError("the machine is not isolated")
        if held.key is None:
            raise NotDoneError("the machine was isolated by another hand, which may release it")
        self._order(session, seen, "unisolate", key, {})

    @staticmethod
    def _order(session: Session, seen: _Seen, verb: str, key: str, more: dict[str, str]) -> None:
        body = {"Comment": f"Watchfloor {MARK}{key}", **more}
        session.change("POST", f"api/{path_of('machines', seen.machine.id, verb)}", json=body)

    def _touchable(self, session: Session, target: Target) -> _Seen:
        """Raises `NeverError` as well, but for a machine that we hold: that can always be taken back."""
        seen = self._seen(session, target)
        names = {seen.machine.id, (seen.machine.name or "").lower(), _first_label(seen.machine.name)}
        if names & self._never and (seen.holds is None or seen.holds.key is None):
            raise NeverError(f"the machine {target.value!r} is never touched by {self.tool!r}")
        return seen

    def _seen(self, session: Session, target: Target) -> _Seen:
        """The one machine of that name or id. Raises `NotFoundError`, `UnavailableError`."""
        machine = self._machine(session, host_name(target))
        asked = {"$filter": f"machineId eq '{machine.id}'"}
        found = session.read(_MachineActions, "api/machineactions", params=asked).value
        return _Seen(machine, tuple(sorted(found, key=lambda one: one.created, reverse=True)))

    @staticmethod
    def _machine(session: Session, name: str) -> _Machine:
        if _MACHINE_ID.fullmatch(name):
            return session.read(_Machine, f"api/{path_of('machines', name)}")
        wanted = name.lower()
        # A name has no character that means anything in OData.
        asked = {"$filter": f"startswith(computerDnsName,'{wanted}')", "$top": str(_SAME_NAME)}
        found = session.read(_Machines, "api/machines", params=asked).value
        same = [one for one in found if wanted in ((one.name or "").lower(), _first_label(one.name))]
        if len(same) > 1 or len(found) >= _SAME_NAME:
            ids = ", ".join(sorted(one.id for one in same[:5]))
            raise UnavailableError(f"several machines have the name {name!r} or begin so: {ids}; name one by its id")
        if not same:
            raise NotThereError(f"Defender has no machine {name!r}")
        return same[0]


def _first_label(name: str | None) -> str:
    return (name or "").lower().partition(".")[0]
