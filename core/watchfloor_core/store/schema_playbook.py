"""The tables of playbook runs: what is run, where it stands, what it waits for, and what it has done.

They follow the conventions of `watchfloor_core.store.schema` and share its metadata::

    playbook_run ──▶ playbook_work            (one a task for people, action, playbook inside, or undo)
         │      └──▶ playbook_step            (one a step that has ended)
         └────────── playbook_outbox          (wakes the run's workflow)
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from watchfloor_core.store.schema import AUTO, TENANT, metadata
from watchfloor_core.store.schema_authority import PRINCIPAL, PROPOSAL_ID

RUN_ID = String(24)
"""``pbr-`` and 16 hex digits."""
STEP_ID = String(256)

playbook_run = Table(
    "playbook_run",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("id", RUN_ID, nullable=False),
    Column("incident_id", String(24), nullable=False),
    Column("playbook_id", String(256), nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    # SHA-256 of the canonical playbook without its signatures.
    Column("content", Text, nullable=False),
    # The playbook as it was run, canonical JSON.
    Column("signers", JSON, nullable=False),
    # Who had signed it, as far as their keys were trusted then.
    Column("proposer", String(96), nullable=False),
    Column("proposer_kind", String(8), nullable=False),
    Column("requester", PRINCIPAL),
    # The person who started it, if one did; never approves what it proposes.
    Column("reason", Text, nullable=False),
    # Why it was started, or picked.
    Column("given", JSON, nullable=False),
    # Variables as they were filled, each with its label.
    Column("state", JSON),
    # See watchfloor_playbooks.running.state; null before the first step.
    Column("status", String(12), nullable=False),
    # See watchfloor_playbooks.running.work.RunStatus.
    Column("outcome", Text, nullable=False),
    # Why it ended so.
    Column("stop_reason", Text),
    # Set where it is to be stopped.
    Column("parent_run", RUN_ID),
    Column("parent_work", String(16)),
    # The run and the work of it that this one is inside of.
    Column("depth", Integer, nullable=False),
    Column("undoes_run", RUN_ID),
    # Set where it takes another run back.
    Column("decision_id", String(16)),
    Column("wakes_us", BigInteger),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_playbook_run_incident", "tenant", "incident_id"),
    Index("ix_playbook_run_created", "tenant", "created_us"),
    Index(
        "ix_playbook_run_running",
        "updated_us",
        sqlite_where=text("status = 'running'"),
        postgresql_where=text("status = 'running'"),
    ),
)

playbook_work = Table(
    "playbook_work",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("run_id", RUN_ID, nullable=False),
    Column("number", Integer, nullable=False),
    Column("key", String(16), nullable=False),
    # As the machine knows it.
    Column("kind", String(8), nullable=False),
    # manual, action, playbook, undo
    Column("step", STEP_ID, nullable=False),
    Column("proposal_id", PROPOSAL_ID),
    # Of an action or undo.
    Column("child_run", RUN_ID),
    # Of a playbook inside.
    Column("task", JSON),
    # Of a task for people: what is asked, of whom, and which variables the answer fills.
    Column("answers", JSON, nullable=False),
    # Names of the variables that its end fills.
    Column("status", String(8), nullable=False),
    # open, answered, ended, dropped
    Column("is_done", Boolean),
    Column("outcome", Text, nullable=False),
    Column("filled", JSON),
    # What people answered, each with its label.
    Column("answered_by", PRINCIPAL),
    Column("created_us", BigInteger, nullable=False),
    Column("deadline_us", BigInteger),
    Column("reminded_us", BigInteger),
    Column("ended_us", BigInteger),
    PrimaryKeyConstraint("tenant", "run_id", "number"),
    Index("ix_playbook_work_proposal", "tenant", "proposal_id"),
    Index(
        "ix_playbook_work_open",
        "tenant",
        "kind",
        "created_us",
        sqlite_where=text("status = 'open'"),
        postgresql_where=text("status = 'open'"),
    ),
)

playbook_step = Table(
    "playbook_step",
    metadata,
    Column("id", AUTO, primary_key=True, autoincrement=True),
    Column("tenant", TENANT, nullable=False),
    Column("run_id", RUN_ID, nullable=False),
    Column("step", STEP_ID, nullable=False),
    Column("branch", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("outcome", String(12), nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger, nullable=False),
    Index("ix_playbook_step_run", "tenant", "run_id", "id"),
)

playbook_outbox = Table(
    "playbook_outbox",
    metadata,
    # Written with what the run's workflow is to notice; delivered to Temporal at least once.
    Column("id", AUTO, primary_key=True, autoincrement=True),
    Column("tenant", TENANT, nullable=False),
    Column("run_id", RUN_ID, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("delivered_us", BigInteger),
    Index(
        "ix_playbook_outbox_waiting",
        "id",
        sqlite_where=text("delivered_us IS NULL"),
        postgresql_where=text("delivered_us IS NULL"),
    ),
)
