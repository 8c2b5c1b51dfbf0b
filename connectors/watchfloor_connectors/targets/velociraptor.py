"""Velociraptor: collects artifacts from hosts, and cuts hosts off the network by its own quarantine artifacts.

A collection is asked for and done when the client is there. What counts as the effect is what the client itself has
reported: a quarantine ends with a look whether the server is still reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import orjson
from pydantic import Field

from watchfloor_connectors.targets.base import ConfiguredTarget, NeverError, Slot, ToolOptions
from watchfloor_connectors.targets.http_api import SYSTEM_CLOCK, Clock
from watchfloor_connectors.targets.names import matched
from watchfloor_connectors.targets.notes import Note, Notes
from watchfloor_connectors.targets.secret import SecretReference, read_secret
from watchfloor_connectors.targets.velociraptor_clients import (
    HOST,
    QUARANTINE,
    ROWS,
    Client,
    Row,
    Status,
    collect,
    find_client,
    flow_of,
    remove_labels,
    row_content,
    set_label,
    status_of,
)
from watchfloor_core.errors import UnavailableError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import MAX_OUTPUT, Effect, NotDoneError, ReadBack, TargetState

if TYPE_CHECKING:
    from watchfloor_connectors.targets.velociraptor_api import VqlSession

Artifact = Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]{0,60}(\.[A-Za-z0-9_]{1,60}){1,6}$")]

_CHANGING: Final = ".Remediation."


class VelociraptorOptions(ToolOptions):
    """Options of the kind ``velociraptor``."""

    api_config: SecretReference
    """The file that ``velociraptor config api_client`` writes; it holds a private key."""
    org: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{0,20}$")] = ""
    """The organisation's id; empty for the root one."""
    artifacts: tuple[Artifact, ...] = Field(default=("Generic.System.Pstree",), max_length=50)
    """What ``investigate host`` may collect; the first where the action names none."""
    timeout_s: float = Field(default=4.0, gt=0, le=5)
    never: tuple[str, ...] = ()
    """Host names or client ids, e.g. of domain controllers."""


class Velociraptor(ConfiguredTarget[VelociraptorOptions]):
    kind = "velociraptor"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"investigate host", "contain host", "restore host"})
    options_type = VelociraptorOptions
    arguments: ClassVar[frozenset[str]] = frozenset({"artifact"})

    def __init__(self, slot: Slot, options: VelociraptorOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(slot, options)
        self._clock = clock
        self._notes = Notes(slot, None, 1.0)
        self._never = frozenset(one.lower() for one in options.never)

    @classmethod
    def faults(cls, options: VelociraptorOptions, *, is_shared: bool) -> Iterator[str]:
        yield from super().faults(options, is_shared=is_shared)
        for name in options.artifacts:
            if _CHANGING in name:
                yield f"{name} changes hosts; 'investigate host' only looks"
        if find_spec("grpc") is None:
            yield "gRPC is not installed: pip install 'watchfloor[velociraptor]'"

    def privileges(self) -> tuple[str, ...]:
        needed = ("ANY_QUERY", "READ_RESULTS", "COLLECT_CLIENT")
        return (*needed, "LABEL_CLIENT") if "contain host" in self.action_classes else needed

    def read_state(self, target: Target) -> TargetState:
        name = _name(target)
        with self._session() as session:
            client = self._client(session, name)
            return _state(client, status_of(session, client))

    def do(self, action: Action, key: str) -> None:
        name, artifact = _name(action.target), self._artifact(action)
        with self._session() as session:
            client = self._client(session, name)
            match action.action_class:
                case "contain host":
                    self._contain(session, client, key)
                case "restore host":
                    self._restore(session, client)
                case _:
                    self._investigate(session, client, artifact, key)

    def read_back(self, action: Action, key: str) -> ReadBack:
        name, artifact = _name(action.target), self._artifact(action)
        with self._session() as session:
            client = find_client(session, name)
            if action.action_class == "investigate host":
                return self._collected(session, client, artifact, key)
            status = session.until(lambda: status_of(session, client), lambda one: one is not Status.PENDING)
        wanted = Status.CONTAINED if action.action_class == "contain host" else Status.FREE
        if status in (Status.PENDING, Status.UNCLEAR):
            effect = Effect.UNKNOWN
        elif wanted is Status.CONTAINED and client.keys != (key,):
            # Cut off by somebody else, or not at all: our mark is not what did it.
            effect = Effect.NOT_APPLIED
        else:
            effect = Effect.APPLIED if status is wanted else Effect.NOT_APPLIED
        keys = ", ".join(client.keys)
        held = f"labelled by the proposal of digest {keys}" if keys else "without a label of ours"
        text = f"by the last quarantine that client {client.id} has reported it is {status.value}, {held}"
        return ReadBack(effect, _state(client, status), text)

    def _contain(self, session: VqlSession, client: Client, key: str) -> None:
        artifact = QUARANTINE.get(client.system)
        if artifact is None:
            shown = quote_untrusted(client.system, 40)
            raise NotDoneError(f"Velociraptor has no quarantine for hosts of the system {shown}")
        status = status_of(session, client)
        if status is not Status.FREE:
            if client.keys == (key,):
                return
            whose = f"by the proposal of digest {client.keys[0]}; end that first" if client.keys else "by another hand"
            raise NotDoneError(f"the host is {status.value} already, {whose}")
        remove_labels(session, client, client.keys)
        set_label(session, client, key)
        try:
            flow_id = collect(session, client, artifact)
        except NotDoneError:
            remove_labels(session, client, (key,))
            raise
        if flow_id is None:
            remove_labels(session, client, (key,))
            raise NotDoneError(f"the server began no collection of {artifact}: {self._denied}")

    def _restore(self, session: VqlSession, client: Client) -> None:
        if not client.keys:
            raise NotDoneError("the host bears no label of Watchfloor; whoever contained it may lift that")
        artifact = QUARANTINE.get(client.system)
        if (
            artifact is not None
            and status_of(session, client) is not Status.FREE
            and collect(session, client, artifact, release=True) is None
        ):
            raise NotDoneError(f"the server began no collection of {artifact}: {self._denied}")
        remove_labels(session, client, client.keys)

    def _investigate(self, session: VqlSession, client: Client, artifact: str, key: str) -> None:
        about = f"{client.id} {key}"
        with self._notes.alone(about):
            note = self._notes.read(about)
            if note is not None and note.id:
                return
            if note is not None:
                raise UnavailableError("the collection may have been begun already; it is not begun twice")
            self._notes.write(Note(target=about, id="", key=key))
            try:
                flow_id = collect(session, client, artifact)
                if flow_id is None:
                    raise NotDoneError(f"the server began no collection of {artifact}: {self._denied}")
            except NotDoneError:
                self._notes.remove(about)
                raise
            self._notes.write(Note(target=about, id=flow_id, key=key))

    def _collected(self, session: VqlSession, client: Client, artifact: str, key: str) -> ReadBack:
        note = self._notes.read(f"{client.id} {key}")
        state = _state(client, status_of(session, client))
        if note is None:
            return ReadBack(Effect.NOT_APPLIED, state, f"no collection of {artifact} was begun under this key")
        if not note.id:
            return ReadBack(Effect.UNKNOWN, state, f"a collection of {artifact} was asked for and not acknowledged")
        flow = session.until(lambda: flow_of(session, client, note.id), lambda found: found is None or found.is_settled)
        if flow is None or flow.state == "ERROR":
            said = "is not there any more" if flow is None else "ended with an error"
            return ReadBack(Effect.NOT_APPLIED, state, f"the collection {note.id} of {artifact} {said}")
        if not flow.is_settled:
            said = f"the collection {note.id} of {artifact} waits for the client, or is under way"
            return ReadBack(Effect.UNKNOWN, state, said)
        rows = session.read(Row, ROWS, WfClient=client.id, WfFlow=note.id, WfArtifact=artifact)
        lines = [orjson.dumps(row_content(row)).decode() for row in rows]
        text = f"the collection {note.id} of {artifact} has finished, with {len(rows)} rows"
        return ReadBack(Effect.APPLIED, state, text, "\n".join(lines)[:MAX_OUTPUT])

    def _client(self, session: VqlSession, name: str) -> Client:
        """Raises `NeverError` for a protected one, unless it is held by us: that can always be taken back."""
        client = find_client(session, name)
        if client.names & self._never and not client.keys:
            raise NeverError(f"the host {name!r} is never touched by {self.tool!r}")
        return client

    def _artifact(self, action: Action) -> str:
        """What to collect; of the operator's list, and of nothing else."""
        given = action.arguments.get("artifact")
        if action.action_class != "investigate host":
            if given is not None:
                raise NotDoneError(f"{action.action_class!r} takes no 'artifact'; leave it out")
            return ""
        allowed = self.options.artifacts
        wanted = allowed[:1] if given is None else tuple(one for one in allowed if one == given)
        if not wanted:
            listed = ", ".join(allowed) or "none"
            raise NotDoneError(f"'artifact' is {quote_untrusted(str(given), 80)}; {self.tool!r} collects: {listed}")
        return wanted[0]

    @property
    def _denied(self) -> str:
        return f"give the API user {', '.join(self.least_privilege)}"

    @contextmanager
    def _session(self) -> Iterator[VqlSession]:
        from watchfloor_connectors.targets.velociraptor_api import read_config, vql_session

        options = self.options
        config = read_config(read_secret(options.api_config).get_secret_value())
        with vql_session(config, options.org, options.timeout_s, self._clock, self._denied) as session:
            yield session


def _name(target: Target) -> str:
    return matched(target, TargetKind.HOST, HOST, "a computer's name (RFC 1123, and underscores) or a client id")


def _state(client: Client, status: Status) -> TargetState:
    return TargetState({"client": client.id, "status": status.value, "held_by": list(client.keys)})
