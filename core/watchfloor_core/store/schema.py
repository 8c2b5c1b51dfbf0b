"""Every table of the store.

Conventions: each row carries its tenant; times are microseconds since the Unix epoch, UTC, in columns that end in
``_us``; ids of large tables are 16-byte content digests (`watchfloor_core.identity`), so that no insert needs to
read an id back and a replay writes the same rows.

How an alert finds its incident::

    record ──▶ alert ──(tick, shape)──▶ observation ──▶ incident
    (source     (one per                (one per tick      (merged and split by moving
     position)   fingerprint)            and shape)         observations, never alerts)

A *shape* is everything about an alert but its time: detector, severity, entities, attributes. A flood repeats few
shapes, so cost after ingest follows shapes and ticks, not alerts.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

TENANT = String(64)
ID = LargeBinary(16)
AUTO = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up only ``INTEGER`` primary keys."""

source = Table(
    "source",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("id", String(80), nullable=False),
    # "file:<digest>", "http:<principal>", "webhook:<name>", "folder:<name>"
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("closed_us", BigInteger),
    # A bounded source (a file) was read to its end; it holds the watermark back no more.
    Column("is_bounded", Boolean, nullable=False),
    Column("max_event_us", BigInteger),
    Column("last_received_us", BigInteger),
    PrimaryKeyConstraint("tenant", "id"),
)

batch = Table(
    "batch",
    metadata,
    Column("id", AUTO, primary_key=True, autoincrement=True),
    Column("tenant", TENANT, nullable=False),
    Column("source_id", String(80), nullable=False),
    Column("key", String(128), nullable=False),
    # Idempotency: a file's chunk number, or the digest of an HTTP body. The same key again changes nothing.
    Column("connector", String(64), nullable=False),
    Column("connector_version", String(64), nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("first_position", BigInteger, nullable=False),
    # 1-based number of the batch's first record within its source.
    Column("records", Integer, nullable=False),
    Column("alerts", Integer, nullable=False),
    Column("duplicates", Integer, nullable=False),
    Column("ignored", Integer, nullable=False),
    Column("dead", Integer, nullable=False),
    Column("raw_sha256", LargeBinary(32), nullable=False),
    UniqueConstraint("tenant", "source_id", "key"),
)

batch_raw = Table(
    "batch_raw",
    metadata,
    # The original bytes, apart from `batch` so that listing batches never reads them.
    Column("batch_id", BigInteger, primary_key=True, autoincrement=False),
    Column("tenant", TENANT, nullable=False),
    Column("data", LargeBinary, nullable=False),
    # zstd of the concatenated original records.
    Column("lengths", LargeBinary, nullable=False),
    # zstd of little-endian uint32 lengths, one a record.
)

detector = Table(
    "detector",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("id", ID, nullable=False),
    # digest16("detector", product, uid)
    Column("product", String(128), nullable=False),
    Column("uid", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("category", Text),
    Column("tactics", JSON, nullable=False),
    Column("techniques", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
)

entity = Table(
    "entity",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("id", ID, nullable=False),
    # digest16("entity", kind, value)
    Column("kind", String(16), nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_entity_value", "tenant", "kind", "value"),
)

shape = Table(
    "shape",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("id", ID, nullable=False),
    Column("detector_id", ID, nullable=False),
    Column("asset_id", ID),
    # The entity on which it happened; null where the alert names none.
    Column("severity", Integer, nullable=False),
    Column("attributes", JSON, nullable=False),
    # [[name, value, integrity], …]
    PrimaryKeyConstraint("tenant", "id"),
)

shape_entity = Table(
    "shape_entity",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("shape_id", ID, nullable=False),
    Column("entity_id", ID, nullable=False),
    Column("role", String(16), nullable=False),
    Column("integrity", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "shape_id", "entity_id", "role"),
    Index("ix_shape_entity_entity", "tenant", "entity_id"),
)

alert = Table(
    "alert",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("fingerprint", ID, nullable=False),
    Column("shape_id", ID, nullable=False),
    Column("event_us", BigInteger, nullable=False),
    Column("precision", String(2), nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("batch_id", BigInteger, nullable=False),
    Column("tick", BigInteger),
    # The slice of event time in which correlation took it up; null until then.
    PrimaryKeyConstraint("tenant", "fingerprint"),
    Index(
        "ix_alert_waiting",
        "tenant",
        "event_us",
        sqlite_where=text("tick IS NULL"),
        postgresql_where=text("tick IS NULL"),
    ),
    Index("ix_alert_observation", "tenant", "tick", "shape_id"),
)

record = Table(
    "record",
    metadata,
    # One row per source record that became an alert, duplicates included: dedup hides nothing and can be undone.
    Column("tenant", TENANT, nullable=False),
    Column("batch_id", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    # 1-based within the source.
    Column("fingerprint", ID, nullable=False),
    PrimaryKeyConstraint("batch_id", "position"),
    Index("ix_record_fingerprint", "tenant", "fingerprint"),
)

dedup_rule = Table(
    "dedup_rule",
    metadata,
    # Why records share a fingerprint: the fields and the window of each connector's declaration, once each.
    Column("tenant", TENANT, nullable=False),
    Column("shape_id", ID, nullable=False),
    Column("fields", JSON, nullable=False),
    Column("window_s", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "shape_id"),
)

interning_epoch = Table(
    "interning_epoch",
    metadata,
    # Counts the times that retention has taken unused shapes and entities away: what a writer remembers of them
    # holds only while the count stands.
    Column("tenant", TENANT, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", AUTO, primary_key=True, autoincrement=True),
    Column("tenant", TENANT, nullable=False),
    Column("batch_id", BigInteger, nullable=False),
    Column("source_id", String(80), nullable=False),
    Column("connector", String(64), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("path", Text),
    Column("reason", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    # zstd of the original bytes.
    Column("created_us", BigInteger, nullable=False),
    Column("retried_us", BigInteger),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("resolved_us", BigInteger),
    Index("ix_dead_letter_open", "tenant", "resolved_us"),
)

webhook_nonce = Table(
    "webhook_nonce",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("webhook", String(64), nullable=False),
    Column("signature", LargeBinary(32), nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "webhook", "signature"),
)

cursor = Table(
    "cursor",
    metadata,
    # How far event time has been worked off. Each tick is taken once, by whichever worker moves the cursor.
    Column("tenant", TENANT, primary_key=True),
    Column("tick", BigInteger, nullable=False),
    # The next tick to take.
    Column("version", BigInteger, nullable=False),
    Column("watermark_us", BigInteger, nullable=False),
)

observation = Table(
    "observation",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("tick", BigInteger, nullable=False),
    Column("shape_id", ID, nullable=False),
    Column("incident_id", String(24), nullable=False),
    Column("revision", Integer, nullable=False),
    # The incident's revision that first held it.
    Column("alerts", Integer, nullable=False),
    Column("first_us", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),
    Column("is_late", Boolean, nullable=False),
    Column("surprise", Float, nullable=False),
    # Log-odds of the observation by itself against the learned normal, before combination.
    Column("reason", JSON, nullable=False),
    # Why it is in this incident: {"rule", "entity", "weight", "seconds", "text"}.
    PrimaryKeyConstraint("tenant", "tick", "shape_id"),
    Index("ix_observation_incident", "tenant", "incident_id"),
)

incident = Table(
    "incident",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("id", String(24), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("title", Text, nullable=False),
    Column("opened_us", BigInteger, nullable=False),
    # Event time of the tick in which it began.
    Column("first_us", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),
    Column("alert_count", Integer, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("verdict", String(16)),
    Column("probability", Float),
    Column("closed_by", String(8)),
    Column("closed_us", BigInteger),
    Column("level", Integer),
    # The effective autonomy level of its last ruling.
    Column("revision", Integer, nullable=False),
    # Counts changes of content.
    Column("triaged_revision", Integer, nullable=False, server_default="0"),
    # The revision that the verdict and status speak of.
    Column("is_sealed", Boolean, nullable=False),
    # Nothing more comes by itself: its session is over and its second look, where it needed one, was taken.
    Column("features", JSON, nullable=False),
    # What triage weighs, as of `revision`; written by correlation, of bounded size.
    Column("assessment", JSON),
    Column("ruling", JSON),
    Column("merged_into", String(24)),
    Column("updated_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_incident_status", "tenant", "status", "last_us"),
    Index(
        "ix_incident_merged",
        "tenant",
        "merged_into",
        sqlite_where=text("merged_into IS NOT NULL"),
        postgresql_where=text("merged_into IS NOT NULL"),
    ),
    # Every ruling asks what people said of incidents that were merged into this one; few were.
)

incident_entity = Table(
    "incident_entity",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("incident_id", String(24), nullable=False),
    Column("entity_id", ID, nullable=False),
    Column("alerts", Integer, nullable=False),
    Column("is_asset", Boolean, nullable=False),
    PrimaryKeyConstraint("tenant", "incident_id", "entity_id"),
    Index("ix_incident_entity_entity", "tenant", "entity_id"),
)

baseline = Table(
    "baseline",
    metadata,
    # What is normal here, of bounded size; see watchfloor_agents.triage.baseline.
    Column("tenant", TENANT, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("key", ID, nullable=False),
    Column("last_tick", BigInteger, nullable=False),
    Column("data", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "kind", "key"),
)

human_verdict = Table(
    "human_verdict",
    metadata,
    # What people said, and what they had seen when they said it. Only these rows teach triage.
    Column("id", AUTO, primary_key=True, autoincrement=True),
    Column("tenant", TENANT, nullable=False),
    Column("incident_id", String(24), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("principal", String(128), nullable=False),
    Column("comment", Text, nullable=False),
    Column("decided_us", BigInteger, nullable=False),
    Column("saw_agent_answer", Boolean, nullable=False),
    Column("update_id", String(64), nullable=False),
    UniqueConstraint("tenant", "incident_id", "update_id"),
    Index("ix_human_verdict_incident", "tenant", "incident_id"),
)

shadow_answer = Table(
    "shadow_answer",
    metadata,
    # L0: the agent's answer, sealed before the person's and shown to no one until then.
    Column("tenant", TENANT, nullable=False),
    Column("incident_id", String(24), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("commitment", String(64), nullable=False),
    # SHA-256 over nonce and canonical answer; stands in the ledger from the start.
    Column("nonce", LargeBinary(16), nullable=False),
    Column("answer", JSON, nullable=False),
    Column("revealed_us", BigInteger),
    PrimaryKeyConstraint("tenant", "incident_id", "revision"),
)

asset = Table(
    "asset",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("entity_id", ID, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("value", Text, nullable=False),
    Column("tier", Integer, nullable=False),
    # 0 crown jewel … 3
    Column("groups", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "entity_id"),
)

outbox = Table(
    "outbox",
    metadata,
    # Written in the transaction that changes the incident; delivered to Temporal at least once, applied once
    # (the workflow ignores a revision it has).
    Column("id", AUTO, primary_key=True, autoincrement=True),
    Column("tenant", TENANT, nullable=False),
    Column("incident_id", String(24), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("delivered_us", BigInteger),
    UniqueConstraint("tenant", "incident_id", "revision"),
    Index(
        "ix_outbox_waiting",
        "id",
        sqlite_where=text("delivered_us IS NULL"),
        postgresql_where=text("delivered_us IS NULL"),
    ),
)

ledger_entry = Table(
    "ledger_entry",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("chain", String(48), nullable=False),
    # An incident's id, or "ingest", or "policy".
    Column("seq", Integer, nullable=False),
    Column("id", String(16), nullable=False),
    # Equals the OpenTelemetry span id of the same decision.
    Column("kind", String(32), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    # RFC 8785 canonical JSON of the whole entry but its hash.
    Column("hash", String(64), nullable=False),
    PrimaryKeyConstraint("tenant", "chain", "seq"),
    UniqueConstraint("tenant", "id"),
)

ledger_head = Table(
    "ledger_head",
    metadata,
    # The end of each chain: where an append continues, what it locks, and a second witness of the chain's length.
    Column("tenant", TENANT, nullable=False),
    Column("chain", String(48), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    PrimaryKeyConstraint("tenant", "chain"),
)

span = Table(
    "span",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("span_id", String(16), nullable=False),
    Column("parent_id", String(16)),
    Column("name", Text, nullable=False),
    Column("incident_id", String(48)),
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("status", String(8), nullable=False),
    Column("attributes", JSON, nullable=False),
    PrimaryKeyConstraint("trace_id", "span_id"),
    Index("ix_span_incident", "tenant", "incident_id"),
)

api_token = Table(
    "api_token",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("tenant", TENANT, nullable=False),
    Column("principal", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    # "person" or "service"; only a person decides on an incident.
    Column("scopes", JSON, nullable=False),
    Column("secret_sha256", LargeBinary(32), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
)
