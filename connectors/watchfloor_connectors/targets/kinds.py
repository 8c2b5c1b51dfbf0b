"""The kinds of tools that may be configured: those that ship, and third-party ones that the settings allow by name.

A third-party kind enters by the entry-point group ``watchfloor.targets``: the entry point's name is the kind's, and it
points to a subclass of `ConfiguredTarget`. One that cannot be loaded stops the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import Any, Final, TypeAlias

from watchfloor_connectors.targets.account import PosixAccount
from watchfloor_connectors.targets.aws import AmazonWebServices
from watchfloor_connectors.targets.base import ConfiguredTarget, ToolOptions
from watchfloor_connectors.targets.blocklist import Blocklist
from watchfloor_connectors.targets.commands.bash import Bash, PowerShell
from watchfloor_connectors.targets.commands.http import HttpApi
from watchfloor_connectors.targets.commands.openc2 import OpenC2Http
from watchfloor_connectors.targets.commands.ssh import Ssh
from watchfloor_connectors.targets.crowdstrike import Crowdstrike
from watchfloor_connectors.targets.defender_endpoint import DefenderEndpoint
from watchfloor_connectors.targets.entra_id import EntraId
from watchfloor_connectors.targets.google_workspace import GoogleWorkspace
from watchfloor_connectors.targets.jira import Jira
from watchfloor_connectors.targets.ldap_account import LdapAccount
from watchfloor_connectors.targets.nftables import Nftables
from watchfloor_connectors.targets.notify import Notify
from watchfloor_connectors.targets.okta import Okta
from watchfloor_connectors.targets.palo_alto import PaloAlto
from watchfloor_connectors.targets.pfsense import Pfsense
from watchfloor_connectors.targets.process import Process
from watchfloor_connectors.targets.quarantine import Quarantine
from watchfloor_connectors.targets.servicenow_ticket import ServicenowTicket
from watchfloor_connectors.targets.sigma_filters import SigmaFilters
from watchfloor_connectors.targets.thehive import TheHive
from watchfloor_connectors.targets.velociraptor import Velociraptor
from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.plugins import find_entries, shown_setting
from watchfloor_guardrails.catalogue import CATALOGUE

GROUP: Final = "watchfloor.targets"

# Any: each kind has options of its own type; its own `options_type` checks them before it is made.
Kind: TypeAlias = type[ConfiguredTarget[Any]]

BUILT_IN: Final[Mapping[str, Kind]] = {
    kind.kind: kind
    for kind in (
        AmazonWebServices,
        Blocklist,
        Nftables,
        Crowdstrike,
        DefenderEndpoint,
        EntraId,
        GoogleWorkspace,
        Okta,
        PosixAccount,
        Process,
        Quarantine,
        SigmaFilters,
        Bash,
        PowerShell,
        Ssh,
        HttpApi,
        OpenC2Http,
        Jira,
        LdapAccount,
        Notify,
        PaloAlto,
        Pfsense,
        ServicenowTicket,
        TheHive,
        Velociraptor,
    )
}


def load_kinds(allowed: Sequence[str]) -> dict[str, Kind]:
    """Every kind by its name; ConfigurationError with all that cannot be loaded."""
    kinds = dict(BUILT_IN)
    entries, problems = find_entries(GROUP, [name for name in allowed if name not in BUILT_IN], "the kind")
    problems += [
        Problem(f"{name!r} is a kind that ships; take it out of {shown_setting('targets_allowed')}")
        for name in dict.fromkeys(allowed)
        if name in BUILT_IN
    ]
    for entry in entries:
        try:
            kinds[entry.name] = _loaded(entry)
        except ConfigurationError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigurationError(problems)
    return kinds


def _loaded(entry: EntryPoint) -> Kind:
    try:
        found = entry.load()
    except Exception as error:  # someone else's code: whatever it raises, the start stops and says so
        raise ConfigurationError(
            f"the kind {entry.name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}; "
            f"mend it or take it out of {shown_setting('targets_allowed')}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, ConfiguredTarget)):
        raise ConfigurationError(f"{entry.value} is no subclass of ConfiguredTarget, found {found!r}")
    missing = [name for name in ("kind", "revision", "classes", "options_type") if not hasattr(found, name)]
    if missing:
        raise ConfigurationError(f"{entry.value} does not say its {', '.join(missing)}")
    if found.kind != entry.name:
        raise ConfigurationError(f"the entry point {entry.name!r} gives the kind {found.kind!r}; the two must agree")
    if not found.classes or not found.classes <= CATALOGUE.keys():
        raise ConfigurationError(f"{entry.value} does {sorted(found.classes)}; known are: {', '.join(CATALOGUE)}")
    if not issubclass(found.options_type, ToolOptions):
        raise ConfigurationError(f"the options_type of {entry.value} is no subclass of ToolOptions")
    return found
