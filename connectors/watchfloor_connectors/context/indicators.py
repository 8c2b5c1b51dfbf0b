"""Threat intelligence that is held in memory: indicators by what they name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from watchfloor_connectors.context.warning_lists import WarningList
from watchfloor_connectors.normalise import normalise
from watchfloor_core.addresses import is_outside
from watchfloor_core.alert import EntityKind
from watchfloor_core.clock import now_us, to_iso
from watchfloor_core.context import ContextKind, Fact, Facts, LookUp
from watchfloor_core.errors import RecordError
from watchfloor_core.logs.event import Value
from watchfloor_core.logs.query import EntityRef
from watchfloor_core.logs.source import Coverage, Health

MAX_INDICATORS: Final = 1_000_000
"""Of one source; what is more is left out, and the source says so."""
MAX_FACTS: Final = 10
"""About one entity."""
MAX_NAME: Final = 500
MOST_EXPIRED: Final = 20
"""The confidence that is left once an indicator's time is over: addresses change hands."""

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """One thing that somebody has seen used in an attack."""

    kind: EntityKind
    value: str
    """Normalised as in alerts; for an address also a network in CIDR form."""
    name: str
    confidence: int | None = None
    """0–100, as STIX has it; None where it is not stated."""
    valid_until_us: int | None = None
    reference: str = ""
    """Its id where it comes from."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader made of some files."""

    indicators: tuple[Indicator, ...]
    unread: int = 0
    """Entries that say something which cannot be looked up, such as two conditions at once."""
    problems: tuple[str, ...] = ()
    """Files that could not be read at all, and why."""


def indicator(
    kind: EntityKind,
    value: str,
    name: str,
    *,
    confidence: int | None = None,
    valid_until_us: int | None = None,
    reference: str = "",
) -> Indicator | None:
    """The indicator in the one spelling of its kind; None where the value is none of that kind."""
    try:
        if kind is EntityKind.IP and "/" in value:
            spelled: str | None = str(ip_network(value.strip(), strict=False))
        else:
            spelled = normalise(kind, value)
    except (RecordError, ValueError):
        return None
    if spelled is None:
        return None
    bounded = None if confidence is None else max(0, min(100, confidence))
    return Indicator(
        kind=kind,
        value=spelled,
        name=name[:MAX_NAME] or spelled,
        confidence=bounded,
        valid_until_us=valid_until_us,
        reference=reference[:MAX_NAME],
    )


class IndicatorSource:
    """A `ContextSource` of indicators in memory. Thread-safe: it does not change."""

    kind = ContextKind.INTELLIGENCE

    def __init__(
        self, name: str, reading: Reading, warning_lists: Sequence[WarningList] = (), *, is_own: bool = False
    ) -> None:
        """``is_own``: by the operator, who may name private addresses too; else nothing is said of those."""
        self.name = name
        self._is_own = is_own
        self._warning_lists = tuple(warning_lists)
        self._exact: defaultdict[tuple[EntityKind, str], list[Indicator]] = defaultdict(list)
        self._networks: defaultdict[tuple[int, int], dict[int, Indicator]] = defaultdict(dict)
        kept = _unique(reading.indicators)
        for one in kept[:MAX_INDICATORS]:
            if one.kind is EntityKind.IP and "/" in one.value:
                network = ip_network(one.value)
                self._networks[network.version, network.prefixlen].setdefault(int(network.network_address), one)
            else:
                self._exact[one.kind, one.value].append(one)
        self._coverage = _coverage(name, reading, len(kept))

    def look_up(self, question: LookUp) -> Facts:
        entities = [one for one in question.entities if self._is_own or others_may_know(one)]
        facts = tuple(fact for entity in entities for fact in self._facts(entity))
        return Facts(facts, self._coverage)

    def _facts(self, entity: EntityRef) -> Iterator[Fact]:
        try:
            value = normalise(entity.kind, entity.value)
        except RecordError:
            return
        if value is None:
            return
        found = [*self._matching(entity.kind, value)][:MAX_FACTS]
        if not found:
            return
        warning = next((one.name for one in self._warning_lists if one.holds(entity.kind, value)), None)
        now = now_us()
        for one in found:
            yield Fact(entity=entity, fields=_fields(one, warning, now))

    def _matching(self, kind: EntityKind, value: str) -> Iterator[Indicator]:
        yield from self._exact.get((kind, value), ())
        if kind is EntityKind.DOMAIN:
            for parent in _parents(value):
                yield from self._exact.get((kind, parent), ())
        if kind is EntityKind.IP and self._networks:
            address = ip_address(value)
            for (version, length), networks in sorted(self._networks.items(), reverse=True):
                below = address.max_prefixlen - length
                if version == address.version and (held := networks.get(int(address) >> below << below)):
                    yield held


def others_may_know(entity: EntityRef) -> bool:
    """False for an address of a private range: everybody has a 10.0.0.1, and what others say of theirs says nothing
    of ours."""
    return entity.kind is not EntityKind.IP or is_outside(entity.value)


def _parents(domain: str) -> Iterator[str]:
    """The domains above, down to two labels: what is said of a name holds for what is below it."""
    labels = domain.split(".")
    for start in range(1, len(labels) - 1):
        yield ".".join(labels[start:])


def _fields(one: Indicator, warning: str | None, now: int) -> dict[str, Value]:
    fields: dict[str, Value] = {"indicator.value": one.value, "indicator.name": one.name}
    confidence = one.confidence
    if one.valid_until_us is not None and one.valid_until_us <= now:
        fields["indicator.expired"] = to_iso(one.valid_until_us)
        confidence = min(MOST_EXPIRED, MOST_EXPIRED if confidence is None else confidence)
    if confidence is not None:
        fields["indicator.confidence"] = confidence
    if one.reference:
        fields["indicator.reference"] = one.reference
    if warning is not None:
        fields["warning_list.name"] = warning
    return fields


def _unique(indicators: Iterable[Indicator]) -> list[Indicator]:
    return list(dict.fromkeys(indicators))


def _coverage(name: str, reading: Reading, count: int) -> Coverage:
    reasons = list(reading.problems)
    if reading.unread:
        reasons.append(f"{reading.unread:,} of its entries say what cannot be looked up")
    if count > MAX_INDICATORS:
        reasons.append(f"{count - MAX_INDICATORS:,} of its indicators are beyond the {MAX_INDICATORS:,} that are held")
    if not count and reading.problems:
        return Coverage(name, Health.DARK, "; ".join(reasons))
    return Coverage(name, Health.PARTIAL if reasons else Health.WHOLE, "; ".join(reasons))
