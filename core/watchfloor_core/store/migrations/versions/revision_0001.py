"""The whole schema.

Revision 0001, after an empty database.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "alert",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=16), nullable=False),
        sa.Column("shape_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("event_us", sa.BigInteger(), nullable=False),
        sa.Column("precision", sa.String(length=2), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("tick", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "fingerprint", name=op.f("pk_alert")),
    )
    op.create_index("ix_alert_observation", "alert", ["tenant", "tick", "shape_id"], unique=False)
    op.create_index(
        "ix_alert_waiting",
        "alert",
        ["tenant", "event_us"],
        unique=False,
        sqlite_where=sa.text("tick IS NULL"),
        postgresql_where=sa.text("tick IS NULL"),
    )
    op.create_table(
        "api_token",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("principal", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
    )
    op.create_table(
        "asset",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("entity_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "entity_id", name=op.f("pk_asset")),
    )
    op.create_table(
        "baseline",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("last_tick", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "kind", "key", name=op.f("pk_baseline")),
    )
    op.create_table(
        "batch",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("source_id", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("connector", sa.String(length=64), nullable=False),
        sa.Column("connector_version", sa.String(length=64), nullable=False),
        sa.Column("received_us", sa.BigInteger(), nullable=False),
        sa.Column("first_position", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("alerts", sa.Integer(), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.Column("ignored", sa.Integer(), nullable=False),
        sa.Column("dead", sa.Integer(), nullable=False),
        sa.Column("raw_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
        sa.UniqueConstraint("tenant", "source_id", "key", name=op.f("uq_batch_tenant_source_id_key")),
    )
    op.create_table(
        "batch_raw",
        sa.Column("batch_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("lengths", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_batch_raw")),
    )
    op.create_table(
        "cursor",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("tick", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("watermark_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_cursor")),
    )
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("source_id", sa.String(length=80), nullable=False),
        sa.Column("connector", sa.String(length=64), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("retried_us", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("resolved_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter")),
    )
    op.create_index("ix_dead_letter_open", "dead_letter", ["tenant", "resolved_us"], unique=False)
    op.create_table(
        "dedup_rule",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("shape_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("window_s", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "shape_id", name=op.f("pk_dedup_rule")),
    )
    op.create_table(
        "detector",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("product", sa.String(length=128), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("tactics", sa.JSON(), nullable=False),
        sa.Column("techniques", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_detector")),
    )
    op.create_table(
        "entity",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_entity")),
    )
    op.create_index("ix_entity_value", "entity", ["tenant", "kind", "value"], unique=False)
    op.create_table(
        "human_verdict",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("incident_id", sa.String(length=24), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("principal", sa.String(length=128), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("decided_us", sa.BigInteger(), nullable=False),
        sa.Column("saw_agent_answer", sa.Boolean(), nullable=False),
        sa.Column("update_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_human_verdict")),
        sa.UniqueConstraint(
            "tenant", "incident_id", "update_id", name=op.f("uq_human_verdict_tenant_incident_id_update_id")
        ),
    )
    op.create_index("ix_human_verdict_incident", "human_verdict", ["tenant", "incident_id"], unique=False)
    op.create_table(
        "incident",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.Column("alert_count", sa.Integer(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=True),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("closed_by", sa.String(length=8), nullable=True),
        sa.Column("closed_us", sa.BigInteger(), nullable=True),
        sa.Column("level", sa.Integer(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("triaged_revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_sealed", sa.Boolean(), nullable=False),
        sa.Column("features", sa.JSON(), nullable=False),
        sa.Column("assessment", sa.JSON(), nullable=True),
        sa.Column("ruling", sa.JSON(), nullable=True),
        sa.Column("merged_into", sa.String(length=24), nullable=True),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_incident")),
    )
    op.create_index("ix_incident_status", "incident", ["tenant", "status", "last_us"], unique=False)
    op.create_index(
        "ix_incident_merged",
        "incident",
        ["tenant", "merged_into"],
        unique=False,
        sqlite_where=sa.text("merged_into IS NOT NULL"),
        postgresql_where=sa.text("merged_into IS NOT NULL"),
    )
    op.create_table(
        "incident_entity",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("incident_id", sa.String(length=24), nullable=False),
        sa.Column("entity_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("alerts", sa.Integer(), nullable=False),
        sa.Column("is_asset", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "incident_id", "entity_id", name=op.f("pk_incident_entity")),
    )
    op.create_index("ix_incident_entity_entity", "incident_entity", ["tenant", "entity_id"], unique=False)
    op.create_table(
        "interning_epoch",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_interning_epoch")),
    )
    op.create_table(
        "ledger_entry",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("chain", sa.String(length=48), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "chain", "seq", name=op.f("pk_ledger_entry")),
        sa.UniqueConstraint("tenant", "id", name=op.f("uq_ledger_entry_tenant_id")),
    )
    op.create_table(
        "ledger_head",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("chain", sa.String(length=48), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "chain", name=op.f("pk_ledger_head")),
    )
    op.create_table(
        "observation",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("tick", sa.BigInteger(), nullable=False),
        sa.Column("shape_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("incident_id", sa.String(length=24), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("alerts", sa.Integer(), nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.Column("is_late", sa.Boolean(), nullable=False),
        sa.Column("surprise", sa.Float(), nullable=False),
        sa.Column("reason", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "tick", "shape_id", name=op.f("pk_observation")),
    )
    op.create_index("ix_observation_incident", "observation", ["tenant", "incident_id"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("incident_id", sa.String(length=24), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("delivered_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("tenant", "incident_id", "revision", name=op.f("uq_outbox_tenant_incident_id_revision")),
    )
    op.create_index(
        "ix_outbox_waiting",
        "outbox",
        ["id"],
        unique=False,
        sqlite_where=sa.text("delivered_us IS NULL"),
        postgresql_where=sa.text("delivered_us IS NULL"),
    )
    op.create_table(
        "record",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=16), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "position", name=op.f("pk_record")),
    )
    op.create_index("ix_record_fingerprint", "record", ["tenant", "fingerprint"], unique=False)
    op.create_table(
        "shadow_answer",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("incident_id", sa.String(length=24), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("commitment", sa.String(length=64), nullable=False),
        sa.Column("nonce", sa.LargeBinary(length=16), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("revealed_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "incident_id", "revision", name=op.f("pk_shadow_answer")),
    )
    op.create_table(
        "shape",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("detector_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("asset_id", sa.LargeBinary(length=16), nullable=True),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_shape")),
    )
    op.create_table(
        "shape_entity",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("shape_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("entity_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("integrity", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "shape_id", "entity_id", "role", name=op.f("pk_shape_entity")),
    )
    op.create_index("ix_shape_entity_entity", "shape_entity", ["tenant", "entity_id"], unique=False)
    op.create_table(
        "source",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_us", sa.BigInteger(), nullable=True),
        sa.Column("is_bounded", sa.Boolean(), nullable=False),
        sa.Column("max_event_us", sa.BigInteger(), nullable=True),
        sa.Column("last_received_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_source")),
    )
    op.create_table(
        "span",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("span_id", sa.String(length=16), nullable=False),
        sa.Column("parent_id", sa.String(length=16), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.String(length=48), nullable=True),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "span_id", name=op.f("pk_span")),
    )
    op.create_index("ix_span_incident", "span", ["tenant", "incident_id"], unique=False)
    op.create_table(
        "webhook_nonce",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("webhook", sa.String(length=64), nullable=False),
        sa.Column("signature", sa.LargeBinary(length=32), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "webhook", "signature", name=op.f("pk_webhook_nonce")),
    )
