"""Playbooks: their runs, what these wait for, and the steps that have ended.

Revision 0006, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "playbook_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=24), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("delivered_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_playbook_outbox")),
    )
    op.create_index(
        "ix_playbook_outbox_waiting",
        "playbook_outbox",
        ["id"],
        unique=False,
        sqlite_where=sa.text("delivered_us IS NULL"),
        postgresql_where=sa.text("delivered_us IS NULL"),
    )
    op.create_table(
        "playbook_run",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("incident_id", sa.String(length=24), nullable=False),
        sa.Column("playbook_id", sa.String(length=256), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("signers", sa.JSON(), nullable=False),
        sa.Column("proposer", sa.String(length=96), nullable=False),
        sa.Column("proposer_kind", sa.String(length=8), nullable=False),
        sa.Column("requester", sa.String(length=128), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("given", sa.JSON(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=True),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("stop_reason", sa.Text(), nullable=True),
        sa.Column("parent_run", sa.String(length=24), nullable=True),
        sa.Column("parent_work", sa.String(length=16), nullable=True),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("undoes_run", sa.String(length=24), nullable=True),
        sa.Column("decision_id", sa.String(length=16), nullable=True),
        sa.Column("wakes_us", sa.BigInteger(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_playbook_run")),
    )
    op.create_index("ix_playbook_run_created", "playbook_run", ["tenant", "created_us"], unique=False)
    op.create_index("ix_playbook_run_incident", "playbook_run", ["tenant", "incident_id"], unique=False)
    op.create_index(
        "ix_playbook_run_running",
        "playbook_run",
        ["updated_us"],
        unique=False,
        sqlite_where=sa.text("status = 'running'"),
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_table(
        "playbook_step",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=24), nullable=False),
        sa.Column("step", sa.String(length=256), nullable=False),
        sa.Column("branch", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_playbook_step")),
    )
    op.create_index("ix_playbook_step_run", "playbook_step", ["tenant", "run_id", "id"], unique=False)
    op.create_table(
        "playbook_work",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=24), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("step", sa.String(length=256), nullable=False),
        sa.Column("proposal_id", sa.String(length=24), nullable=True),
        sa.Column("child_run", sa.String(length=24), nullable=True),
        sa.Column("task", sa.JSON(), nullable=True),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("is_done", sa.Boolean(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("filled", sa.JSON(), nullable=True),
        sa.Column("answered_by", sa.String(length=128), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("deadline_us", sa.BigInteger(), nullable=True),
        sa.Column("reminded_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "run_id", "number", name=op.f("pk_playbook_work")),
    )
    op.create_index(
        "ix_playbook_work_open",
        "playbook_work",
        ["tenant", "kind", "created_us"],
        unique=False,
        sqlite_where=sa.text("status = 'open'"),
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index("ix_playbook_work_proposal", "playbook_work", ["tenant", "proposal_id"], unique=False)
    op.create_index("ix_execution_proposal", "execution", ["tenant", "proposal_id"], unique=False)
    op.create_index(
        "ix_execution_acting",
        "execution",
        ["tenant", "action_class"],
        unique=False,
        sqlite_where=sa.text("phase = 'acting'"),
        postgresql_where=sa.text("phase = 'acting'"),
    )
