"""What may be done to the outside world at all: the closed list of action classes.

An action class is an OpenC2 verb with a target type (``notify`` is ours: OpenC2 has no word for telling people). What
cannot be told by a proposer stands here: whether it can be undone, by what, and for how long it may last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watchfloor_core.incident import Function

_HOUR_S: Final = 3_600
_DAY_S: Final = 24 * _HOUR_S


class TargetKind(StrEnum):
    """What an action is done to (OpenC2 target types, ours where it has none)."""

    IP = "ip"
    """An IPv4 or IPv6 address, RFC 5952."""
    USER = "user"
    """An account by its name."""
    PROCESS = "process"
    """``<pid>@<start time>``: the start time tells a process from a later one of the same number."""
    FILE = "file"
    """An absolute path."""
    HOST = "host"
    """A computer, by the name that the inventory and the tool know it by."""
    INSTANCE = "instance"
    """A virtual machine of a cloud, by the provider's id."""
    SESSION = "session"
    """All that an account is signed in to, by the account's name."""
    KEY = "key"
    """An access key of a cloud, by its id (never its secret)."""
    ROLE = "role"
    """What is assumed for a time in a cloud, by its name."""
    APP = "app"
    """An application that people have let into their accounts, by its id at the directory."""
    TICKET = "ticket"
    """A record for people's work, by the id of the incident that it is about."""
    CHANNEL = "channel"
    """Where people are told something, by its configured name."""
    COMMAND = "command"
    """Where a command of a playbook runs: ``<scheme>://<host>[:<port>]``, or the runner's own name."""
    FILTER = "filter"
    """What a detection rule no longer reports: the text of a `watchfloor_guardrails.rule_filter.RuleFilter`."""


@dataclass(frozen=True, slots=True)
class ActionClass:
    """One kind of act."""

    name: str
    """Verb and target, e.g. ``deny ip``; what the autonomy matrix, switches and budgets name."""
    target: TargetKind
    undo: str | None
    """The class that takes it back on the same target; None where nothing does."""
    is_containment: bool
    """It holds something back, so it ends: a lease is opened."""
    max_lease_s: int | None = None
    """The longest that it may last without being decided on anew, in seconds."""
    standard_lease_s: int = 4 * _HOUR_S
    """How long it lasts where nobody asks for another time limit, in seconds."""
    function: Function = Function.INCIDENT_RESPONSE
    """Whose autonomy it takes."""
    leaves_nothing: bool = False
    """Nothing remains of it that would have to be taken back: a look, a message, the end of a session."""

    @property
    def is_reversible(self) -> bool:
        return self.undo is not None or self.leaves_nothing


CREATE_FILTER: Final = "create filter"

_ALL: Final = (
    ActionClass("deny ip", TargetKind.IP, "allow ip", is_containment=True, max_lease_s=30 * _DAY_S),
    ActionClass("allow ip", TargetKind.IP, "deny ip", is_containment=False),
    ActionClass("disable user", TargetKind.USER, "enable user", is_containment=True, max_lease_s=7 * _DAY_S),
    ActionClass("enable user", TargetKind.USER, "disable user", is_containment=False),
    ActionClass("contain file", TargetKind.FILE, "restore file", is_containment=True, max_lease_s=90 * _DAY_S),
    ActionClass("restore file", TargetKind.FILE, "contain file", is_containment=False),
    # Less is seen while it lasts, so it ends like a containment; and the level of those who detect decides on it.
    ActionClass(
        CREATE_FILTER,
        TargetKind.FILTER,
        "delete filter",
        is_containment=True,
        max_lease_s=90 * _DAY_S,
        standard_lease_s=30 * _DAY_S,
        function=Function.THREAT_DETECTION,
    ),
    ActionClass(
        "delete filter",
        TargetKind.FILTER,
        CREATE_FILTER,
        is_containment=False,
        function=Function.THREAT_DETECTION,
    ),
    ActionClass("contain host", TargetKind.HOST, "restore host", is_containment=True, max_lease_s=30 * _DAY_S),
    ActionClass("restore host", TargetKind.HOST, "contain host", is_containment=False),
    ActionClass(
        "contain instance", TargetKind.INSTANCE, "restore instance", is_containment=True, max_lease_s=30 * _DAY_S
    ),
    ActionClass("restore instance", TargetKind.INSTANCE, "contain instance", is_containment=False),
    ActionClass("stop session", TargetKind.SESSION, None, is_containment=False, leaves_nothing=True),
    ActionClass("disable key", TargetKind.KEY, "enable key", is_containment=True, max_lease_s=90 * _DAY_S),
    ActionClass("enable key", TargetKind.KEY, "disable key", is_containment=False),
    # What was assumed before is worth nothing while it lasts; the role can be assumed anew.
    ActionClass("deny role", TargetKind.ROLE, "allow role", is_containment=True, max_lease_s=30 * _DAY_S),
    ActionClass("allow role", TargetKind.ROLE, "deny role", is_containment=False),
    ActionClass("disable app", TargetKind.APP, "enable app", is_containment=True, max_lease_s=90 * _DAY_S),
    ActionClass("enable app", TargetKind.APP, "disable app", is_containment=False),
    ActionClass("scan host", TargetKind.HOST, None, is_containment=False, leaves_nothing=True),
    ActionClass(
        "investigate host",
        TargetKind.HOST,
        None,
        is_containment=False,
        function=Function.EVIDENCE_ACQUISITION,
        leaves_nothing=True,
    ),
    ActionClass("create ticket", TargetKind.TICKET, "cancel ticket", is_containment=False),
    ActionClass("cancel ticket", TargetKind.TICKET, "create ticket", is_containment=False),
    ActionClass("notify channel", TargetKind.CHANNEL, None, is_containment=False, leaves_nothing=True),
    # Whatever it does, nobody here can say how to take it back: a person decides on each.
    ActionClass("start command", TargetKind.COMMAND, None, is_containment=False),
    # A process that has ended does not come back with what it held.
    ActionClass("stop process", TargetKind.PROCESS, None, is_containment=False),
)

CATALOGUE: Final[Mapping[str, ActionClass]] = {one.name: one for one in _ALL}


def function_of(action_class: str) -> Function:
    """The function whose autonomy an action takes; that of response for a class that is not known here."""
    known = CATALOGUE.get(action_class)
    return Function.INCIDENT_RESPONSE if known is None else known.function
