"""The authority plane: proposals, approvals, grants, executions, leases, switches, budgets, policies, checkpoints.

Revision 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "action_grant",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("proposal_id", sa.String(length=24), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("issued_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_action_grant")),
    )
    op.create_index("ix_action_grant_proposal", "action_grant", ["tenant", "proposal_id"], unique=False)
    op.create_table(
        "action_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("proposal_id", sa.String(length=24), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("delivered_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_action_outbox")),
    )
    op.create_index(
        "ix_action_outbox_waiting",
        "action_outbox",
        ["id"],
        unique=False,
        sqlite_where=sa.text("delivered_us IS NULL"),
        postgresql_where=sa.text("delivered_us IS NULL"),
    )
    op.create_table(
        "action_proposal",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("incident_id", sa.String(length=24), nullable=False),
        sa.Column("incident_revision", sa.Integer(), nullable=False),
        sa.Column("draft", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("preimage", sa.Text(), nullable=True),
        sa.Column("view", sa.Text(), nullable=True),
        sa.Column("ruling", sa.JSON(), nullable=True),
        sa.Column("undo_of", sa.String(length=24), nullable=True),
        sa.Column("decoy_answer", sa.String(length=8), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("decision_id", sa.String(length=16), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("deadline_us", sa.BigInteger(), nullable=True),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_action_proposal")),
        sa.UniqueConstraint("tenant", "digest", name=op.f("uq_action_proposal_tenant_digest")),
    )
    op.create_index("ix_action_proposal_incident", "action_proposal", ["tenant", "incident_id"], unique=False)
    op.create_index("ix_action_proposal_status", "action_proposal", ["tenant", "status", "created_us"], unique=False)
    op.create_table(
        "approval_shown",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("proposal_id", sa.String(length=24), nullable=False),
        sa.Column("principal", sa.String(length=128), nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "proposal_id", "principal", name=op.f("pk_approval_shown")),
    )
    op.create_table(
        "approval_vote",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("proposal_id", sa.String(length=24), nullable=False),
        sa.Column("principal", sa.String(length=128), nullable=False),
        sa.Column("decision", sa.String(length=8), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("assertion", sa.JSON(), nullable=True),
        sa.Column("key_id", sa.String(length=64), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("shown_us", sa.BigInteger(), nullable=True),
        sa.Column("decided_us", sa.BigInteger(), nullable=False),
        sa.Column("update_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "proposal_id", "principal", name=op.f("pk_approval_vote")),
    )
    op.create_index("ix_approval_vote_principal", "approval_vote", ["principal", "decided_us"], unique=False)
    op.create_table(
        "approver_key",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("principal", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=True),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.String(length=128), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approver_key")),
    )
    op.create_index("ix_approver_key_principal", "approver_key", ["principal"], unique=False)
    op.create_table(
        "budget_charge",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("budget", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "budget", "subject", "reference", name=op.f("pk_budget_charge")),
    )
    op.create_index("ix_budget_charge_window", "budget_charge", ["tenant", "budget", "subject", "at_us"], unique=False)
    op.create_table(
        "budget_head",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("budget", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "budget", "subject", name=op.f("pk_budget_head")),
    )
    op.create_table(
        "certificate",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("function", sa.String(length=32), nullable=False),
        sa.Column("action_class", sa.String(length=64), nullable=False),
        sa.Column("version_digest", sa.String(length=64), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("issued_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "function", "action_class", "version_digest", name=op.f("pk_certificate")),
    )
    op.create_table(
        "execution",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("grant_id", sa.String(length=32), nullable=False),
        sa.Column("proposal_id", sa.String(length=24), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("action_class", sa.String(length=64), nullable=False),
        sa.Column("tool", sa.String(length=64), nullable=False),
        sa.Column("executor", sa.String(length=128), nullable=False),
        sa.Column("authority", sa.String(length=16), nullable=False),
        sa.Column("kill_scopes", sa.JSON(), nullable=False),
        sa.Column("state_before", sa.JSON(), nullable=False),
        sa.Column("phase", sa.String(length=8), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("receipt", sa.JSON(), nullable=True),
        sa.Column("consumed_us", sa.BigInteger(), nullable=False),
        sa.Column("beat_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "grant_id", name=op.f("pk_execution")),
        sa.UniqueConstraint("tenant", "digest", name=op.f("uq_execution_tenant_digest")),
    )
    op.create_index("ix_execution_phase", "execution", ["phase"], unique=False)
    op.create_index("ix_execution_recent", "execution", ["tenant", "action_class", "consumed_us"], unique=False)
    op.create_table(
        "freeze",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("action_class", sa.String(length=64), nullable=False),
        sa.Column("proposal_id", sa.String(length=24), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("lifted_us", sa.BigInteger(), nullable=True),
        sa.Column("lifted_by", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "action_class", "proposal_id", name=op.f("pk_freeze")),
    )
    op.create_table(
        "kill_switch",
        sa.Column("scope", sa.String(length=200), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("is_engaged", sa.Boolean(), nullable=False),
        sa.Column("changed_by", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_kill_switch")),
    )
    op.create_table(
        "lease",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("proposal_id", sa.String(length=24), nullable=False),
        sa.Column("action_class", sa.String(length=64), nullable=False),
        sa.Column("tool", sa.String(length=64), nullable=False),
        sa.Column("target_kind", sa.String(length=16), nullable=False),
        sa.Column("target_value", sa.Text(), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("ends_us", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("undo_proposal_id", sa.String(length=24), nullable=True),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "proposal_id", name=op.f("pk_lease")),
    )
    op.create_index("ix_lease_open", "lease", ["tenant", "state"], unique=False)
    op.create_table(
        "ledger_checkpoint",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("public_key", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "number", name=op.f("pk_ledger_checkpoint")),
    )
    op.create_table(
        "ledger_checkpoint_chain",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("chain", sa.String(length=48), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "chain", "seq", name=op.f("pk_ledger_checkpoint_chain")),
    )
    op.create_index("ix_ledger_checkpoint_chain_number", "ledger_checkpoint_chain", ["tenant", "number"], unique=False)
    op.create_table(
        "policy_version",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("activated_by", sa.String(length=128), nullable=False),
        sa.Column("activated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_policy_version")),
    )
    op.create_table(
        "run_fact",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("incident_id", sa.String(length=24), nullable=False),
        sa.Column("fact", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "incident_id", "fact", name=op.f("pk_run_fact")),
    )
    op.create_table(
        "webauthn_challenge",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("principal", sa.String(length=128), nullable=False),
        sa.Column("challenge", sa.LargeBinary(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("used_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webauthn_challenge")),
    )
    op.create_index("ix_webauthn_challenge_principal", "webauthn_challenge", ["principal"], unique=False)
    op.execute(
        "INSERT INTO kill_switch (scope, epoch, is_engaged, changed_by, reason, changed_us) "
        "VALUES ('all', 0, false, 'watchfloor', 'made with the schema', 0)"
    )
