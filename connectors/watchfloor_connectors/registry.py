"""The connectors that may be used, by name, and which of them an input is of.

There are three kinds: those that ship (modules and mappings), third-party ones (entry-point group
``watchfloor.connectors``), of which only those that the setting ``connectors_allowed`` names are ever imported, and
the operator's own mapping files. A connector that cannot be loaded stops the start: one that is silently missing would
turn its alerts into dead letters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Final

from watchfloor_connectors.crowdstrike import CrowdStrike
from watchfloor_connectors.elastic import Elastic
from watchfloor_connectors.guardduty import GuardDuty
from watchfloor_connectors.mapping import MappedConnector
from watchfloor_connectors.mapping_load import load_mapping_file, load_mappings, packaged_mappings
from watchfloor_connectors.microsoft import Microsoft
from watchfloor_connectors.ocsf import Ocsf
from watchfloor_connectors.sigma import Sigma
from watchfloor_connectors.suricata import Suricata
from watchfloor_connectors.wazuh import Wazuh
from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.plugins import find_entries, shown_setting
from watchfloor_core.ports import Connector, Record
from watchfloor_core.settings import Settings
from watchfloor_core.untrusted import quote_untrusted

GROUP: Final = "watchfloor.connectors"
NAMES_SHOWN: Final = 24
"""Columns or keys that a message quotes."""


def built_in() -> list[Connector]:
    """The connectors that are modules of this package."""
    return [Ocsf(), Suricata(), Wazuh(), CrowdStrike(), Microsoft(), GuardDuty(), Elastic(), Sigma()]


class Registry:
    """Connectors by name."""

    def __init__(self, connectors: Iterable[Connector]) -> None:
        self._connectors: dict[str, Connector] = {}
        problems: list[Problem] = []
        for connector in connectors:
            if connector.name in self._connectors:
                problems.append(Problem(f"two connectors are named {connector.name!r}; rename the one that is yours"))
            self._connectors[connector.name] = connector
        if problems:
            raise ConfigurationError(problems)

    @classmethod
    def load(cls, settings: Settings) -> Registry:
        """Everything that the settings allow; ConfigurationError where any of it cannot be loaded."""
        connectors = built_in()
        connectors += [MappedConnector(mapping) for mapping in packaged_mappings()]
        connectors += _third_party(settings.connectors_allowed)
        if settings.mappings_dir is not None:
            connectors += [MappedConnector(mapping) for mapping in load_mappings(settings.mappings_dir)]
        return cls(connectors)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._connectors))

    def get(self, name: str) -> Connector:
        """The connector of exactly that name; ConfigurationError names those there are."""
        found = self._connectors.get(name)
        if found is None:
            raise ConfigurationError(f"there is no connector {name!r}; known are: {', '.join(self.names())}")
        return found

    def with_mapping(self, file: Path) -> tuple[Registry, str]:
        """These connectors and the mapping in ``file``, which comes before any of the same name; and its name."""
        mapped = MappedConnector(load_mapping_file(file))
        others = [connector for name, connector in self._connectors.items() if name != mapped.name]
        return Registry([*others, mapped]), mapped.name

    def detect(
        self, records: Sequence[Record], *, hint: str | None = None, columns: Sequence[str] | None = None
    ) -> Connector:
        """The one connector that recognises the first records of an input.

        ``hint`` is a connector's name, which decides; ``columns`` is the CSV header, which is enough where there is no
        record. Records that no connector recognises are tolerated beside a majority that one does: they will be dead
        letters. Raises ConfigurationError where no connector or more than one recognises any of the records.
        """
        if hint is not None:
            return self.get(hint)
        if not records and columns:
            records = [dict.fromkeys(columns, "")]
        if not records:
            raise ConfigurationError(
                "the input has no readable record, so its format cannot be recognised; say it with --connector NAME"
            )
        found = {
            name: count
            for name, connector in self._connectors.items()
            if (count := sum(connector.recognises(record) for record in records))
        }
        match sorted(found):
            case [only] if 2 * found[only] > len(records):
                return self._connectors[only]
            case [only]:
                share = f"only {found[only]} of the first {len(records)} records are of {only!r}"
                raise ConfigurationError(f"{share}. {_seen(records)}. {_REMEDY}")
            case []:
                raise ConfigurationError(f"no connector recognises the records. {_seen(records)}. {_REMEDY}")
            case several:
                raise ConfigurationError(
                    f"several connectors recognise the records: {', '.join(several)}. {_seen(records)}. {_REMEDY}"
                )


_REMEDY: Final = "Say which with --connector NAME, or describe the format in a mapping file (docs/how-to/map-a-csv.md)"


def _seen(records: Sequence[Record]) -> str:
    names = list(dict.fromkeys(name for record in records for name in record))
    shown = ", ".join(quote_untrusted(name, 40) for name in names[:NAMES_SHOWN])
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"The columns or keys are {shown}{more}"


def _third_party(allowed: Sequence[str]) -> list[Connector]:
    entries, problems = find_entries(GROUP, allowed, "connector")
    connectors: list[Connector] = []
    for entry in entries:
        try:
            connectors.append(_loaded(entry))
        except ConfigurationError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigurationError(problems)
    return connectors


def _loaded(entry: EntryPoint) -> Connector:
    try:
        connector = entry.load()()
    except Exception as error:  # someone else's code: whatever it raises, the start stops and says so
        raise ConfigurationError(
            f"connector {entry.name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}; "
            f"mend it or take it out of {shown_setting('connectors_allowed')}"
        ) from error
    if not isinstance(connector, Connector):
        raise ConfigurationError(
            f"{entry.value} is no connector: name, version, recognises and to_alert were expected, "
            f"found {type(connector).__name__}"
        )
    if connector.name != entry.name:
        raise ConfigurationError(
            f"the entry point {entry.name!r} gives a connector that calls itself {connector.name!r}; the two must agree"
        )
    return connector
