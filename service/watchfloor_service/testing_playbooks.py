"""Runs of playbooks for tests: begun by the real parts, with no Temporal behind."""

from __future__ import annotations

from watchfloor_core.ledger.record import record_decisions
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_playbooks.playbook import Playbook
from watchfloor_workflows.playbook_messages import RunRef, TurnResult
from watchfloor_workflows.playbooks.shelf import FOLDER, FolderShelf
from watchfloor_workflows.playbooks.starting import Shelved, proposer_of, start_run
from watchfloor_workflows.playbooks.turning import take_turn
from watchfloor_workflows.testing.playbooks import Sketch, uuid_of

ASKING_ID = f"playbook--{uuid_of('Ask somebody')}"


def asking(text: str = "How many are there?") -> Playbook:
    """A playbook that asks a person one thing."""
    sketch = Sketch("Ask somebody").variable("__count__", "integer", "0")
    done = sketch.end("done")
    return sketch.playbook(sketch.manual("ask", text, out_args=["__count__"], on_completion=done))


def keep(settings: Settings, playbook: Playbook) -> None:
    """Put it where the operator's are."""
    folder = settings.data_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{playbook.id}.json").write_bytes(playbook.canonical())


def plant_run(store: Store, settings: Settings, tenant: str, incident_id: str, playbook: Playbook | None = None) -> str:
    """A run that waits for what its first step asks for; returns its id."""
    wanted = playbook or asking()
    with store.write() as connection:
        run_id, told = start_run(
            connection,
            tenant,
            incident_id,
            Shelved(wanted),
            given={},
            proposer=proposer_of(wanted, PrincipalKind.SERVICE, "rita"),
            reason="a test wants it",
        )
        record_decisions(connection, tenant, [told])
    turn(store, settings, tenant, run_id)
    return run_id


def turn(store: Store, settings: Settings, tenant: str, run_id: str) -> TurnResult:
    """One turn, as the worker takes it."""
    return take_turn(store, FolderShelf(settings, store), RunRef(tenant, run_id), -1)
