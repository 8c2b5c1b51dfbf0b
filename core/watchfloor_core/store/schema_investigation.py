"""The tables of investigations: what was asked, what was found, the report that cites it, and people's corrections.

They follow the conventions of `watchfloor_core.store.schema` and share its metadata::

    investigation ──▶ investigation_query ──▶ evidence_use ──▶ evidence
    (one a revision)  (one a question,        (which answer    (each fact once,
           ▲           with its answer)        holds it)        under its digest)
           │
    finding_correction (one for each word of a person on a finding)
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from watchfloor_core.store.schema import AUTO, TENANT, metadata

DIGEST = String(64)
"""SHA-256 in hex."""
INCIDENT = String(24)

evidence = Table(
    "evidence",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("id", DIGEST, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("source", Text, nullable=False),
    Column("time_us", BigInteger),
    Column("content", LargeBinary, nullable=False),
    # zstd of the canonical JSON whose SHA-256 is the id.
    Column("kept_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
)

investigation = Table(
    "investigation",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("incident_id", INCIDENT, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("status", String(12), nullable=False),
    # due, running, done, superseded, failed
    Column("due_us", BigInteger, nullable=False),
    Column("engine", String(128)),
    Column("engine_version", String(64)),
    Column("started_us", BigInteger),
    Column("ended_us", BigInteger),
    Column("round", Integer, nullable=False),
    # How often the loop of questions has run.
    Column("content", LargeBinary),
    # zstd of the case's JSON, fixed when the investigation begins.
    Column("report", Text),
    # Canonical JSON; null until it is concluded.
    Column("report_sha256", DIGEST),
    Column("problem", Text),
    # Why it failed.
    PrimaryKeyConstraint("tenant", "incident_id", "revision"),
    Index(
        "ix_investigation_due",
        "due_us",
        sqlite_where=text("status = 'due'"),
        postgresql_where=text("status = 'due'"),
    ),
)

investigation_query = Table(
    "investigation_query",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("incident_id", INCIDENT, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("digest", DIGEST, nullable=False),
    # Of the question: equal questions are asked once in an investigation.
    Column("seq", Integer, nullable=False),
    # The order in which they were put.
    Column("stage", String(16), nullable=False),
    # The stage of the investigation that put it.
    Column("tool", String(64), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("query", JSON, nullable=False),
    Column("coverage", JSON),
    # One object for each source; null until the question is answered.
    Column("is_cut", Boolean),
    Column("answered_us", BigInteger),
    PrimaryKeyConstraint("tenant", "incident_id", "revision", "digest"),
)

evidence_use = Table(
    "evidence_use",
    metadata,
    # Provenance: how a piece of evidence came into an investigation.
    Column("tenant", TENANT, nullable=False),
    Column("incident_id", INCIDENT, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("digest", DIGEST, nullable=False),
    # Of the question whose answer holds it; empty for the case's own alerts.
    Column("position", Integer, nullable=False),
    # In the answer.
    Column("evidence_id", DIGEST, nullable=False),
    Column("agent", String(128), nullable=False),
    Column("collected_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "incident_id", "revision", "digest", "position"),
    Index("ix_evidence_use_evidence", "tenant", "evidence_id"),
)

finding_correction = Table(
    "finding_correction",
    metadata,
    # What people say of single findings of a report. Rows are added and never changed; the last one of a person on a
    # finding counts. Whoever corrects a finding has seen it, so no column says whether they did.
    Column("id", AUTO, primary_key=True, autoincrement=True),
    Column("tenant", TENANT, nullable=False),
    Column("incident_id", INCIDENT, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("report_sha256", DIGEST, nullable=False),
    Column("finding_id", String(16)),
    # Null: a technique that the report misses.
    Column("says", String(12), nullable=False),
    # wrong, right, incomplete, missed, withdrawn
    Column("technique", String(16)),
    Column("comment", Text, nullable=False),
    Column("principal", String(128), nullable=False),
    Column("decided_us", BigInteger, nullable=False),
    Index("ix_finding_correction_report", "tenant", "incident_id", "revision"),
)
