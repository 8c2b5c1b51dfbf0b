"""The organisation's identity directory, asked over LDAP: what it says of the accounts that an incident names.

It asks a server inside the organisation and changes nothing there. Names come from alerts, so an attacker may have
written them: they reach the server as values alone, and what it answers is told of a name only where it spells it the
same.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from watchfloor_connectors.context.account_names import Condition, Naming, folded
from watchfloor_connectors.context.accounts import (
    ATTRIBUTES,
    PRIVILEGED_GROUPS,
    Group,
    Layout,
    Raw,
    account_fields,
    name_of_dn,
)
from watchfloor_core.alert import EntityKind
from watchfloor_core.context import ContextKind, Fact, Facts, LookUp
from watchfloor_core.errors import UnavailableError, WatchfloorError
from watchfloor_core.logs.query import EntityRef
from watchfloor_core.logs.source import Coverage, Health

logger = logging.getLogger(__name__)

BATCH: Final = 50
"""Names in one search."""
MAX_ENTRIES: Final = 200
"""In the answer to one search for accounts."""
MAX_GROUPS: Final = 500
"""Of one account, those within others included."""
MAX_NESTING: Final = 8


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to one search."""

    entries: Sequence[tuple[str, Raw]]
    """DN and attributes, by DN."""
    is_cut: bool
    """The server had more to say than it was let, or than it says at once."""


class Session(Protocol):
    """One bound connection. Where it does not answer it raises `watchfloor_core.errors.UnavailableError`, without any
    secret in its words."""

    def search(
        self, any_of: Sequence[Condition], attributes: Sequence[str], limit: int, object_class: str | None = None
    ) -> Found: ...


Connect = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, slots=True)
class _Account:
    entity: EntityRef
    dn: str
    raw: Raw


class DirectorySource:
    """A `ContextSource` of accounts. Thread-safe: each question has a connection of its own."""

    kind = ContextKind.DIRECTORY

    def __init__(
        self,
        name: str,
        naming: Naming,
        connect: Connect,
        *,
        privileged: Sequence[str] | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        """``privileged``: groups by name or DN, None for those that usually are; ``timeout_s``: for one question."""
        self.name = name
        self._naming = naming
        self._connect = connect
        self._privileged = tuple(PRIVILEGED_GROUPS[naming.layout] if privileged is None else privileged)
        self._timeout_s = timeout_s

    def look_up(self, question: LookUp) -> Facts:
        wanted = {
            one: conditions
            for one in question.entities
            if one.kind is EntityKind.USER and (conditions := self._naming.conditions(one.value))
        }
        if not wanted:
            return Facts((), Coverage(self.name, Health.WHOLE))
        deadline = time.monotonic() + self._timeout_s
        try:
            with self._connect() as session:
                return self._answer(session, wanted, deadline)
        except WatchfloorError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001  # a library that reads what a server sends: whatever it raises
            # The class alone: its text can quote what was sent.
            problem = f"its answer cannot be read ({type(error).__qualname__})"
        logger.warning("source of context %s: %s", self.name, problem)
        return Facts((), Coverage(self.name, Health.DARK, problem))

    def _answer(self, session: Session, wanted: Mapping[EntityRef, Sequence[Condition]], deadline: float) -> Facts:
        reasons: list[str] = []
        accounts = self._accounts(session, wanted, deadline, reasons)
        entries = Counter(one.entity for one in accounts)
        facts: list[Fact] = []
        cut = late = 0
        for one in accounts:
            groups: Sequence[Group] = ()
            try:
                if time.monotonic() < deadline:
                    groups, was_cut = self._groups(session, one)
                    cut += was_cut
                else:
                    late += 1
            except UnavailableError:
                if time.monotonic() < deadline:
                    raise
                # What is known of the accounts by now is told.
                late += 1
            fields = account_fields(
                self._naming.layout, self._naming.attribute, one.dn, one.raw, groups, self._privileged
            )
            if entries[one.entity] > 1:
                fields["account.entries"] = entries[one.entity]
            facts.append(Fact(entity=one.entity, fields=fields))
        reasons += [f"not all groups of {cut} accounts were read"] if cut else []
        reasons += [f"the groups of {late} accounts were not asked for in time"] if late else []
        health = Health.PARTIAL if reasons else Health.WHOLE
        return Facts(tuple(facts), Coverage(self.name, health, "; ".join(reasons)), bool(reasons))

    def _accounts(
        self,
        session: Session,
        wanted: Mapping[EntityRef, Sequence[Condition]],
        deadline: float,
        reasons: list[str],
    ) -> list[_Account]:
        """In the order of the question, several of one name by their DN; what is missing is added to the reasons."""
        layout = self._naming.layout
        attributes = tuple(dict.fromkeys((self._naming.attribute, *ATTRIBUTES[layout])))
        # In Active Directory, groups have a name of this kind as well.
        object_class = "user" if layout is Layout.AD else None
        by_spelling: defaultdict[Condition, list[EntityRef]] = defaultdict(list)
        for entity, conditions in wanted.items():
            for attribute, value in conditions:
                by_spelling[attribute, folded(value)].append(entity)
        found: dict[tuple[EntityRef, str], _Account] = {}
        for part in _parts(list(by_spelling), BATCH):
            if time.monotonic() >= deadline:
                reasons.append("not all names were asked for in time")
                break
            try:
                answer = session.search(part, attributes, MAX_ENTRIES, object_class)
            except UnavailableError:
                if not found or time.monotonic() < deadline:
                    raise
                reasons.append("not all names were asked for in time")
                break
            if answer.is_cut:
                reasons.append("it has more accounts of these names than were read")
            for dn, raw in answer.entries:
                for entity in _meant(raw, by_spelling):
                    found[entity, dn] = _Account(entity, dn, raw)
        order = {entity: number for number, entity in enumerate(wanted)}
        return sorted(found.values(), key=lambda one: (order[one.entity], one.dn))

    def _groups(self, session: Session, account: _Account) -> tuple[list[Group], bool]:
        """All that it is in, also through others: administrators are often members of a member."""
        members = ("member",) if self._naming.layout is Layout.AD else ("member", "uniqueMember")
        asked: list[Condition] = [(name, account.dn) for name in members]
        if self._naming.layout is Layout.POSIX:
            names = account.raw.get(self._naming.attribute.lower(), ())
            asked += [("memberUid", one.decode("utf-8", "replace")) for one in names[:1]]
        found: dict[str, Group] = {}
        for _ in range(MAX_NESTING):
            new: list[Group] = []
            for part in _parts(asked, BATCH):
                answer = session.search(part, ("cn",), MAX_GROUPS)
                new += [_group(dn, raw) for dn, raw in answer.entries if dn.casefold() not in found]
                found |= {one.dn.casefold(): one for one in new}
                if answer.is_cut or len(found) > MAX_GROUPS:
                    return list(found.values())[:MAX_GROUPS], True
            asked = [(name, one.dn) for one in new for name in members]
            if not asked:
                return list(found.values()), False
        return list(found.values()), True


def _group(dn: str, raw: Raw) -> Group:
    names = raw.get("cn", ())
    return Group(dn, names[0].decode("utf-8", "replace") if names else name_of_dn(dn))


def _meant(raw: Raw, by_spelling: Mapping[Condition, Sequence[EntityRef]]) -> Iterator[EntityRef]:
    """Those that are spelled as the entry is, but for case. Servers take more for equal, such as ``ánn`` and ``ann``:
    with those a name that an attacker chose would be told to be somebody else's account."""
    for attribute in {attribute for attribute, _ in by_spelling}:
        for value in raw.get(attribute.lower(), ()):
            yield from by_spelling.get((attribute, folded(value.decode("utf-8", "replace"))), ())


def _parts(conditions: Sequence[Condition], size: int) -> Iterator[Sequence[Condition]]:
    for start in range(0, len(conditions), size):
        yield conditions[start : start + size]
