"""Gathers an alert's entities and attributes, each with who could have written it.

A value that the sensor itself states and that is malformed makes the record malformed. A value that an attacker could
have written is never a reason to refuse the record: a garbled host name must not hide the alert. It is then no entity,
and stays visible as an attribute where the connector gives it as one.
"""

from __future__ import annotations

from typing import Final

from watchfloor_connectors.normalise import normalise
from watchfloor_core.alert import Attribute, Entity, EntityKind, EntityRole, Integrity
from watchfloor_core.errors import RecordError

ATTACKER_AUTHORED: Final = frozenset({
    "app_name", "command_line", "dns_answer", "dns_query", "file_name", "file_path", "http_host", "http_method",
    "login_user", "mail_attachment", "mail_sender", "mail_subject", "parent_command_line", "process_name",
    "process_path", "reason", "referrer", "registry_key", "registry_value", "script", "subject", "tls_issuer",
    "tls_sni", "tls_subject", "url", "user_agent",
})  # fmt: skip
"""Attributes whose text an attacker can choose: they are always `Integrity.EXTERNAL`."""


class AlertDraft:
    """The entities and attributes of one alert while it is being read."""

    __slots__ = ("_attributes", "_entities")

    def __init__(self) -> None:
        self._entities: dict[tuple[EntityKind, str, EntityRole], Integrity] = {}
        self._attributes: dict[tuple[str, str], Integrity] = {}

    def entity(
        self,
        kind: EntityKind,
        value: str | None,
        role: EntityRole = EntityRole.RELATED,
        integrity: Integrity = Integrity.SENSOR,
        path: str | None = None,
        is_guess: bool = False,
    ) -> None:
        """Adds an entity; none for no value.

        RecordError where a value that the sensor states is malformed; ``path`` is where it stood. A guess (taken out
        of a log line by pattern, or a field that holds an address or a name) may be malformed and is then left out.
        """
        if value is None:
            return
        try:
            name = normalise(kind, value)
        except RecordError as error:
            if is_guess or integrity >= Integrity.EXTERNAL:
                return
            raise RecordError(error.reason, path=path) from None
        if name is None:
            return
        self._add(kind, name, role, integrity)

    def verbatim_entity(self, kind: EntityKind, value: str, role: EntityRole, integrity: Integrity) -> None:
        """Adds an entity whose value is an anonymised id: spelt as its kind is, but no address or hash is expected."""
        is_checked = kind in (EntityKind.IP, EntityKind.FILE_HASH)
        name = normalise(EntityKind.RESOURCE if is_checked else kind, value)
        if name is not None:
            self._add(kind, name, role, integrity)

    def _add(self, kind: EntityKind, name: str, role: EntityRole, integrity: Integrity) -> None:
        key = (kind, name, role)
        # Named twice, the better witness counts.
        self._entities[key] = min(integrity, self._entities.get(key, integrity))

    def attribute(self, name: str, value: str | None, integrity: Integrity = Integrity.SENSOR) -> None:
        """Adds an attribute; none for no value. An attacker-authored one is labelled so whatever is asked."""
        if value is not None:
            self._attributes[name, value] = Integrity.EXTERNAL if name in ATTACKER_AUTHORED else integrity

    def external(self, name: str, value: str | None) -> None:
        """Adds an attribute that an attacker could have written."""
        self.attribute(name, value, Integrity.EXTERNAL)

    @property
    def has_target_host(self) -> bool:
        return any(kind is EntityKind.HOST and role is EntityRole.TARGET for kind, _, role in self._entities)

    def entities(self) -> tuple[Entity, ...]:
        """In the order in which they were added. ``related`` says nothing of what is also target or actor."""
        telling = {
            (kind, value)
            for kind, value, role in self._entities
            if role is EntityRole.TARGET or role is EntityRole.ACTOR
        }
        return tuple(
            Entity(kind, value, role, who)
            for (kind, value, role), who in self._entities.items()
            if role is not EntityRole.RELATED or (kind, value) not in telling
        )

    def attributes(self) -> tuple[Attribute, ...]:
        return tuple(Attribute(name, value, who) for (name, value), who in self._attributes.items())
