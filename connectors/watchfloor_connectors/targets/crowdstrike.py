"""CrowdStrike Falcon: cuts hosts off the network, lets them back, and looks at what runs on them.

Source of the wire format: the Falcon API's specification (collections Hosts and Real Time Response) as its clients have
it, https://github.com/CrowdStrike/gofalcon and https://github.com/CrowdStrike/falconpy.

Falcon has no room for a comment at a containment. The key stands in a grouping tag of the host, put there before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, Field

from watchfloor_connectors.targets.base import ConfiguredTarget, NeverError, Slot
from watchfloor_connectors.targets.crowdstrike_triage import ReadOnlyCommand, Triage
from watchfloor_connectors.targets.http_api import (
    RESTRICTING,
    SYSTEM_CLOCK,
    Api,
    ApiOptions,
    BaseUrl,
    Clock,
    NotThereError,
    Session,
)
from watchfloor_connectors.targets.http_credentials import OAuthToken
from watchfloor_connectors.targets.names import host_name
from watchfloor_connectors.targets.notes import Notes
from watchfloor_connectors.targets.secret import SecretReference, read_secret
from watchfloor_core.errors import UnavailableError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

_AGENT_ID: Final = re.compile(r"[0-9a-f]{32}")
_TAG: Final = re.compile(r"FalconGroupingTags/wf/([0-9a-f]{64})")
_SAME_NAME: Final = 50


class CrowdstrikeOptions(ApiOptions):
    """Options of the kind ``crowdstrike``."""

    api_url: BaseUrl = "https://api.crowdstrike.com"
    """That of your cloud, e.g. ``https://api.eu-1.crowdstrike.com``."""
    client_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]
    client_secret: SecretReference
    commands: tuple[ReadOnlyCommand, ...] = Field(default=("ps", "netstat"), min_length=1, max_length=4)
    """What ``investigate host`` runs: commands of the read-only responder, without arguments."""
    never: tuple[str, ...] = ()
    """Names or agent ids of hosts, e.g. of domain controllers."""


class _Found(BaseModel):
    resources: tuple[Annotated[str, Field(max_length=64)], ...] | None = None


class _Device(BaseModel):
    device_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    hostname: str = Field(default="", max_length=255)
    status: str = Field(default="", max_length=64)
    tags: tuple[str, ...] | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(match[1] for tag in sorted(self.tags or ()) if (match := _TAG.fullmatch(tag)))

    @property
    def is_settled(self) -> bool:
        return self.status in ("normal", "contained")


class _Devices(BaseModel):
    resources: tuple[_Device, ...] | None = None


class Crowdstrike(ConfiguredTarget[CrowdstrikeOptions]):
    kind = "crowdstrike"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"contain host", "restore host", "investigate host"})
    options_type = CrowdstrikeOptions
    restricting: ClassVar[frozenset[str]] = RESTRICTING

    def __init__(self, slot: Slot, options: CrowdstrikeOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(slot, options)
        token = OAuthToken(f"{options.api_url}/oauth2/token", self._login)
        denied = f"give the API client the scopes {', '.join(self.least_privilege)}"
        self._api = Api(slot.tool, options, options.api_url, token, denied=denied, clock=clock)
        self._triage = Triage(Notes(slot, None, options.timeout_s), options.commands)
        self._never = frozenset(one.lower() for one in options.never)

    def privileges(self) -> tuple[str, ...]:
        writes = ("hosts:write",) if self.action_classes & {"contain host", "restore host"} else ()
        looks = ("real-time-response:read",) if "investigate host" in self.action_classes else ()
        return ("hosts:read", *writes, *looks)

    def read_state(self, target: Target) -> TargetState:
        with self._api.session() as session:
            return _state(self._touchable(session, target))

    def do(self, action: Action, key: str) -> None:
        with self._api.session() as session:
            device = self._touchable(session, action.target)
            match action.action_class:
                case "contain host":
                    self._contain(session, device, key)
                case "restore host":
                    self._restore(session, device)
                case _:
                    self._triage.start(session, device.device_id, key)

    def read_back(self, action: Action, key: str) -> ReadBack:
        with self._api.session() as session:
            if action.action_class == "investigate host":
                device = self._device(session, action.target)
                return self._triage.found(session, device.device_id, key, _state(device))
            device = session.until(lambda: self._device(session, action.target), lambda one: one.is_settled)
        wanted = "contained" if action.action_class == "contain host" else "normal"
        if not device.is_settled:
            effect = Effect.UNKNOWN
        elif wanted == "contained" and device.keys != (key,):
            # Cut off by somebody else, or not at all: our mark is not what did it.
            effect = Effect.NOT_APPLIED
        else:
            effect = Effect.APPLIED if device.status == wanted else Effect.NOT_APPLIED
        held = f"marked by the proposal of digest {', '.join(device.keys)}" if device.keys else "without a mark of ours"
        text = f"Falcon says of agent {device.device_id}: {quote_untrusted(device.status, 40)}, {held}"
        return ReadBack(effect, _state(device), text)

    def _contain(self, session: Session, device: _Device, key: str) -> None:
        if device.status != "normal":
            if device.keys == (key,):
                return
            whose = f"by the proposal of digest {device.keys[0]}; end that first" if device.keys else "by another hand"
            raise NotDoneError(f"the host is {quote_untrusted(device.status, 40)} already, {whose}")
        for stale in device.keys:
            # Left by a restoration whose last step failed; the host has been free since.
            self._tag(session, device, "remove", stale)
        self._tag(session, device, "add", key)
        try:
            self._act(session, device, "contain")
        except NotDoneError:
            self._tag(session, device, "remove", key)
            raise

    def _restore(self, session: Session, device: _Device) -> None:
        if not device.keys:
            raise NotDoneError("the host bears no mark of Watchfloor; whoever contained it may lift that")
        if device.status in ("contained", "containment_pending"):
            self._act(session, device, "lift_containment")
        for key in device.keys:
            self._tag(session, device, "remove", key)

    @staticmethod
    def _act(session: Session, device: _Device, name: Literal["contain", "lift_containment"]) -> None:
        session.change(
            "POST",
            "devices/entities/devices-actions/v2",
            params={"action_name": name},
            json={"ids": [device.device_id]},
        )

    @staticmethod
    def _tag(session: Session, device: _Device, verb: Literal["add", "remove"], key: str) -> None:
        tags = [f"FalconGroupingTags/wf/{key}"]
        asked = {"action": verb, "device_ids": [device.device_id], "tags": tags}
        session.note("PATCH", "devices/entities/devices/tags/v1", json=asked)

    def _touchable(self, session: Session, target: Target) -> _Device:
        """Raises `NeverError` as well, but for a host that bears our mark: that can always be taken back."""
        device = self._device(session, target)
        if {device.device_id, device.hostname.lower()} & self._never and not device.keys:
            raise NeverError(f"the host {target.value!r} is never touched by {self.tool!r}")
        return device

    def _device(self, session: Session, target: Target) -> _Device:
        """The one host of that name or agent id. Raises `NotFoundError`, `UnavailableError`."""
        name = host_name(target)
        is_id = _AGENT_ID.fullmatch(name) is not None
        ids = [name] if is_id else self._ids(session, name)
        if not ids:
            raise NotThereError(f"Falcon has no host {name!r}")
        found = session.read(_Devices, "devices/entities/devices/v2", params=[("ids", one) for one in ids])
        wanted = name.lower()
        devices = [one for one in found.resources or () if (one.device_id if is_id else one.hostname.lower()) == wanted]
        if not devices:
            raise NotThereError(f"Falcon has no host {name!r}")
        if len(devices) > 1:
            agents = ", ".join(sorted(one.device_id for one in devices[:5]))
            raise UnavailableError(f"several agents report as {name!r}: {agents}; name the one meant by its agent id")
        return devices[0]

    @staticmethod
    def _ids(session: Session, name: str) -> list[str]:
        # A name has no character that means anything in FQL. It finds more than exact matches, which are chosen above.
        asked = {"filter": f"hostname:'{name}'", "limit": str(_SAME_NAME)}
        found = session.read(_Found, "devices/queries/devices/v1", params=asked).resources or ()
        if len(found) >= _SAME_NAME:
            raise UnavailableError(f"{_SAME_NAME} hosts or more have names like {name!r}; name one by its agent id")
        return list(found)

    def _login(self) -> Mapping[str, str]:
        secret = read_secret(self.options.client_secret).get_secret_value()
        return {"client_id": self.options.client_id, "client_secret": secret}


def _state(device: _Device) -> TargetState:
    return TargetState({"agent": device.device_id, "status": device.status, "held_by": list(device.keys)})
