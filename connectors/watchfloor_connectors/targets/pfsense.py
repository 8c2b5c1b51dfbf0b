"""pfSense with the package for its REST API (v2): an entry of an alias that your firewall rules use.

Source of the wire format: https://pfrest.org and its repository https://github.com/pfrest/pfSense-pkg-RESTAPI. The
entry is added and removed by value, so that what others put into the alias meanwhile stays. What is in force is what
the packet filter has in the alias's table, and that is what is read back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, Field

from watchfloor_connectors.targets.addresses import Address, Network, address_of, network_of, refuse_never
from watchfloor_connectors.targets.base import MARK, ConfiguredTarget, Slot
from watchfloor_connectors.targets.blocklist import NetworkTexts
from watchfloor_connectors.targets.http_api import (
    RESTRICTING,
    SYSTEM_CLOCK,
    Api,
    ApiOptions,
    BaseUrl,
    Clock,
    Session,
)
from watchfloor_connectors.targets.http_credentials import SecretHeader
from watchfloor_connectors.targets.secret import SecretReference
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

_DETAIL: Final = re.compile(rf"{MARK}([0-9a-f]{{64}})")
_MAX_ENTRIES: Final = 20_000


class PfsenseOptions(ApiOptions):
    """Options of the kind ``pfsense``."""

    api_url: BaseUrl
    """The firewall's web interface, e.g. ``https://pfsense.corp.example``."""
    api_key: SecretReference
    alias: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,31}$")] = "watchfloor_blocked"
    """An alias of type *Host(s)* that a rule of yours blocks."""
    never: NetworkTexts = ()
    """Addresses and networks: your own gateways, resolvers, management networks."""


class _Alias(BaseModel):
    id: int = Field(ge=0)
    name: str = Field(max_length=255)
    type: str = Field(max_length=60)
    address: tuple[str, ...] = Field(default=(), max_length=_MAX_ENTRIES)
    detail: tuple[str, ...] = Field(default=(), max_length=_MAX_ENTRIES)


class _Aliases(BaseModel):
    data: tuple[_Alias, ...]


class _Changed(BaseModel):
    data: _Alias


class _Table(BaseModel):
    entries: tuple[str, ...] = Field(default=(), max_length=_MAX_ENTRIES)


class _TableAnswer(BaseModel):
    data: _Table


class _Applied(BaseModel):
    applied: bool


class _AppliedAnswer(BaseModel):
    data: _Applied


@dataclass(frozen=True, slots=True)
class _Found:
    """What the configuration says of one address."""

    alias: _Alias
    is_listed: bool
    key: str | None
    """None where another hand listed it."""
    spelled: str
    """As it stands there."""


@dataclass(frozen=True, slots=True)
class _Seen:
    found: _Found
    is_in_force: bool | None
    """None where the packet filter has no such table."""
    is_pending: bool


class Pfsense(ConfiguredTarget[PfsenseOptions]):
    kind = "pfsense"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"deny ip", "allow ip"})
    options_type = PfsenseOptions
    restricting: ClassVar[frozenset[str]] = RESTRICTING

    def __init__(self, slot: Slot, options: PfsenseOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(slot, options)
        self._never: tuple[Network, ...] = tuple(map(network_of, options.never))
        credentials = SecretHeader(options.api_key, name="X-API-Key", before="")
        denied = f"check the API key, and grant its user {', '.join(self.least_privilege)}"
        self._api = Api(slot.tool, options, options.api_url, credentials, denied=denied, clock=clock)

    def privileges(self) -> tuple[str, ...]:
        return (
            "api-v2-firewall-aliases-get",
            "api-v2-firewall-alias-patch",
            "api-v2-firewall-apply-get",
            "api-v2-firewall-apply-post",
            "api-v2-diagnostics-table-get",
        )

    def read_state(self, target: Target) -> TargetState:
        address = address_of(target)
        with self._api.session() as session:
            return self._state(self._allowed(address, self._found(session, address)))

    def do(self, action: Action, key: str) -> None:
        address = address_of(action.target)
        with self._api.session() as session:
            found = self._allowed(address, self._found(session, address))
            if action.action_class == "deny ip":
                if found.is_listed and found.key != key:
                    raise NotDoneError(f"{address} is in {self.options.alias!r} already, {_whose(found, key)}")
                if not found.is_listed:
                    self._change(session, found.alias, "append", str(address), key)
            elif found.is_listed and found.key is not None:
                self._change(session, found.alias, "remove", found.spelled, found.key)
            else:
                raise NotDoneError(
                    f"{address} is not in {self.options.alias!r} by Watchfloor; what others put there stays"
                )
            session.change("POST", "api/v2/firewall/apply", json={})

    def read_back(self, action: Action, key: str) -> ReadBack:
        address = address_of(action.target)
        wanted = action.action_class == "deny ip"
        with self._api.session() as session:
            seen = session.until(
                lambda: self._seen(session, address),
                lambda one: one.found.is_listed is not wanted or bool(one.is_in_force) is wanted,
            )
        found = seen.found
        text = f"{address} is {'' if found.is_listed else 'not '}in the alias {self.options.alias!r}"
        text += f", {_whose(found, key)}" if found.is_listed else ""
        match seen.is_in_force:
            case None:
                text += "; the packet filter has no such table, so no rule uses the alias"
            case is_in_force:
                text += f"; it is {'' if is_in_force else 'not '}in the packet filter's table"
        if found.is_listed is wanted and bool(seen.is_in_force) is wanted:
            effect = Effect.APPLIED
        elif found.is_listed is wanted and seen.is_pending:
            effect, text = Effect.UNKNOWN, f"{text}, and changes are still being applied"
        else:
            effect = Effect.NOT_APPLIED
        return ReadBack(effect, self._state(found), text)

    def _change(
        self, session: Session, alias: _Alias, verb: Literal["append", "remove"], address: str, key: str
    ) -> None:
        asked = {"id": alias.id, "address": [address], "detail": [f"{MARK}{key}"], verb: True}
        told = session.change("PATCH", "api/v2/firewall/alias", json=asked).parse(_Changed).data
        if told.name != alias.name:
            # Ids are places in a list: somebody removed an alias in between.
            raise UnavailableError(f"the alias at place {alias.id} was another one by then; look at its entries")

    def _allowed(self, address: Address, found: _Found) -> _Found:
        """Raises `NeverError` for a protected address, unless it is held by us: that can always be taken back."""
        if found.key is None:
            refuse_never(address, self._never)
        return found

    def _state(self, found: _Found) -> TargetState:
        return TargetState({"alias": self.options.alias, "is_listed": found.is_listed, "key": found.key})

    def _found(self, session: Session, address: Address) -> _Found:
        wanted = self.options.alias
        found = session.read(_Aliases, "api/v2/firewall/aliases", params={"name": wanted}).data
        alias = next((one for one in found if one.name == wanted), None)
        if alias is None:
            raise UnavailableError(
                f"the firewall has no alias {wanted!r}; make one of type Host(s) and a rule that uses it"
            )
        if alias.type != "host" or len(alias.address) != len(alias.detail):
            raise UnavailableError(f"the alias {wanted!r} is not of type Host(s) with a description for each entry")
        for spelled, detail in zip(alias.address, alias.detail, strict=True):
            if _is(spelled, address):
                match = _DETAIL.fullmatch(detail)
                return _Found(alias, True, match[1] if match else None, spelled)
        return _Found(alias, False, None, "")

    def _seen(self, session: Session, address: Address) -> _Seen:
        found = self._found(session, address)
        is_in_force: bool | None = None
        try:
            table = session.read(_TableAnswer, "api/v2/diagnostics/table", params={"id": self.options.alias}).data
            is_in_force = any(_is(one, address) for one in table.entries)
        except NotFoundError:
            pass
        applied = session.read(_AppliedAnswer, "api/v2/firewall/apply").data.applied
        return _Seen(found, is_in_force, not applied)


def _is(text: str, address: Address) -> bool:
    try:
        return ip_address(text) == address
    except ValueError:
        # A host name or another alias.
        return False


def _whose(found: _Found, key: str) -> str:
    if found.key is None:
        return "by another hand"
    return "by this action" if found.key == key else f"by the proposal of digest {found.key}; end that first"
