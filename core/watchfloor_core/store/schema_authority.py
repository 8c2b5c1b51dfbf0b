"""The tables of the authority plane: proposals, approvals, grants, executions, leases, and what holds them back.

They follow the conventions of `watchfloor_core.store.schema` and share its metadata.
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
    UniqueConstraint,
    text,
)

from watchfloor_core.store.schema import AUTO, TENANT, metadata

PROPOSAL_ID = String(24)
"""``act-`` and 16 hex digits."""
PRINCIPAL = String(128)
DIGEST = String(64)

action_proposal = Table(
    "action_proposal",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("id", PROPOSAL_ID, nullable=False),
    Column("incident_id", String(24), nullable=False),
    Column("incident_revision", Integer, nullable=False),
    Column("draft", JSON, nullable=False),
    # What was asked for, before the target was looked at.
    Column("status", String(16), nullable=False),
    # See watchfloor_guardrails.proposal.ProposalStatus.
    Column("digest", DIGEST),
    # Null until sealed.
    Column("preimage", Text),
    # RFC 8785 JSON; the digest is its SHA-256.
    Column("view", Text),
    # What a person signs, as rendered from the preimage.
    Column("ruling", JSON),
    Column("undo_of", PROPOSAL_ID),
    Column("decoy_answer", String(8)),
    # Present on a decoy: what a careful person says to it. A decoy is never granted.
    Column("reason", Text),
    # Why it ended as it did.
    Column("decision_id", String(16)),
    # The latest ledger entry about it: the parent of the next.
    Column("created_us", BigInteger, nullable=False),
    Column("deadline_us", BigInteger),
    Column("updated_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    UniqueConstraint("tenant", "digest"),
    Index("ix_action_proposal_status", "tenant", "status", "created_us"),
    Index("ix_action_proposal_incident", "tenant", "incident_id"),
)

action_outbox = Table(
    "action_outbox",
    metadata,
    # Written with what it announces; delivered to Temporal at least once.
    Column("id", AUTO, primary_key=True, autoincrement=True),
    Column("tenant", TENANT, nullable=False),
    Column("proposal_id", PROPOSAL_ID, nullable=False),
    Column("kind", String(8), nullable=False),
    # "start" or "void"
    Column("reason", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("delivered_us", BigInteger),
    Index(
        "ix_action_outbox_waiting",
        "id",
        sqlite_where=text("delivered_us IS NULL"),
        postgresql_where=text("delivered_us IS NULL"),
    ),
)

approval_vote = Table(
    "approval_vote",
    metadata,
    # One row for each person and proposal: nobody counts twice.
    Column("tenant", TENANT, nullable=False),
    Column("proposal_id", PROPOSAL_ID, nullable=False),
    Column("principal", PRINCIPAL, nullable=False),
    Column("decision", String(8), nullable=False),
    Column("roles", JSON, nullable=False),
    # Which the person held when they decided.
    Column("statement", Text, nullable=False),
    # The canonical bytes that were signed.
    Column("assertion", JSON),
    # How they were signed; null for a denial, which needs no signature.
    Column("key_id", String(64)),
    Column("comment", Text, nullable=False),
    Column("channel", String(16), nullable=False),
    Column("shown_us", BigInteger),
    # When the person was first shown the view.
    Column("decided_us", BigInteger, nullable=False),
    Column("update_id", String(64), nullable=False),
    PrimaryKeyConstraint("tenant", "proposal_id", "principal"),
    Index("ix_approval_vote_principal", "principal", "decided_us"),
)

approval_shown = Table(
    "approval_shown",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("proposal_id", PROPOSAL_ID, nullable=False),
    Column("principal", PRINCIPAL, nullable=False),
    Column("first_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "proposal_id", "principal"),
)

approver_key = Table(
    "approver_key",
    metadata,
    # Public halves of what people sign with. A revoked key stays: what it signed before must stay verifiable.
    Column("id", String(64), primary_key=True),
    # Ed25519: first 32 hex digits of SHA-256 of the raw key. WebAuthn: the same of the credential id.
    Column("principal", PRINCIPAL, nullable=False),
    Column("kind", String(16), nullable=False),
    # "ed25519" or "webauthn"
    Column("public_key", LargeBinary, nullable=False),
    # 32 raw bytes, or COSE.
    Column("credential_id", LargeBinary),
    Column("sign_count", BigInteger, nullable=False),
    Column("label", String(128), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Index("ix_approver_key_principal", "principal"),
)

webauthn_challenge = Table(
    "webauthn_challenge",
    metadata,
    # What a browser is asked to sign when a person adds a passkey: once, and within minutes.
    Column("id", String(32), primary_key=True),
    Column("principal", PRINCIPAL, nullable=False),
    Column("challenge", LargeBinary, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("used_us", BigInteger),
    Index("ix_webauthn_challenge_principal", "principal"),
)

action_grant = Table(
    "action_grant",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("id", String(32), nullable=False),
    Column("proposal_id", PROPOSAL_ID, nullable=False),
    Column("envelope", Text, nullable=False),
    # DSSE, see watchfloor_guardrails.grant.
    Column("issued_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_action_grant_proposal", "tenant", "proposal_id"),
)

execution = Table(
    "execution",
    metadata,
    # A consumed grant: both constraints make the second consumption of one grant, or of one digest, fail.
    Column("tenant", TENANT, nullable=False),
    Column("grant_id", String(32), nullable=False),
    Column("proposal_id", PROPOSAL_ID, nullable=False),
    Column("digest", DIGEST, nullable=False),
    Column("action_class", String(64), nullable=False),
    Column("tool", String(64), nullable=False),
    Column("executor", String(128), nullable=False),
    Column("authority", String(16), nullable=False),
    # What it was done on: see watchfloor_guardrails.grant.AuthorityKind.
    Column("kill_scopes", JSON, nullable=False),
    # What switches stop it, so that a stop can wait for it.
    Column("state_before", JSON, nullable=False),
    Column("phase", String(8), nullable=False),
    # "acting", then "done"
    Column("outcome", String(16)),
    # succeeded, failed, unknown
    Column("receipt", JSON),
    Column("consumed_us", BigInteger, nullable=False),
    Column("beat_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
    PrimaryKeyConstraint("tenant", "grant_id"),
    UniqueConstraint("tenant", "digest"),
    Index("ix_execution_phase", "phase"),
    Index("ix_execution_recent", "tenant", "action_class", "consumed_us"),
    Index("ix_execution_proposal", "tenant", "proposal_id"),
    # What has begun and not ended is looked for in each ruling, and must not cost with what was done in all years.
    Index(
        "ix_execution_acting",
        "tenant",
        "action_class",
        sqlite_where=text("phase = 'acting'"),
        postgresql_where=text("phase = 'acting'"),
    ),
)

lease = Table(
    "lease",
    metadata,
    # A containment that is in force, and when it ends.
    Column("tenant", TENANT, nullable=False),
    Column("proposal_id", PROPOSAL_ID, nullable=False),
    Column("action_class", String(64), nullable=False),
    Column("tool", String(64), nullable=False),
    Column("target_kind", String(16), nullable=False),
    Column("target_value", Text, nullable=False),
    Column("opened_us", BigInteger, nullable=False),
    Column("ends_us", BigInteger),
    # Null: until a person ends it.
    Column("state", String(8), nullable=False),
    # open, ending, ended
    Column("undo_proposal_id", PROPOSAL_ID),
    Column("ended_us", BigInteger),
    PrimaryKeyConstraint("tenant", "proposal_id"),
    Index("ix_lease_open", "tenant", "state"),
)

kill_switch = Table(
    "kill_switch",
    metadata,
    # One row for each scope that was ever thrown. The row "all" is there from the start: executions lock it shared,
    # a stop locks it alone, so that the two have an order.
    Column("scope", String(200), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    # Counts the times it was thrown; never goes down.
    Column("is_engaged", Boolean, nullable=False),
    Column("changed_by", PRINCIPAL, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_us", BigInteger, nullable=False),
)

budget_head = Table(
    "budget_head",
    metadata,
    # What a charge locks, so that concurrent charges of one budget are counted one after the other.
    Column("tenant", TENANT, nullable=False),
    Column("budget", String(64), nullable=False),
    Column("subject", String(200), nullable=False),
    PrimaryKeyConstraint("tenant", "budget", "subject"),
)

budget_charge = Table(
    "budget_charge",
    metadata,
    Column("tenant", TENANT, nullable=False),
    Column("budget", String(64), nullable=False),
    Column("subject", String(200), nullable=False),
    # What the budget is of: an incident, an action class, a person.
    Column("reference", String(64), nullable=False),
    # What was charged for; the same again is not charged again.
    Column("amount", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "budget", "subject", "reference"),
    Index("ix_budget_charge_window", "tenant", "budget", "subject", "at_us"),
)

freeze = Table(
    "freeze",
    metadata,
    # After an unknown outcome nothing of the class runs until a person has looked.
    Column("tenant", TENANT, nullable=False),
    Column("action_class", String(64), nullable=False),
    Column("proposal_id", PROPOSAL_ID, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("lifted_us", BigInteger),
    Column("lifted_by", PRINCIPAL),
    PrimaryKeyConstraint("tenant", "action_class", "proposal_id"),
)

run_fact = Table(
    "run_fact",
    metadata,
    # What one incident's run has touched, for the rules about what must not come together.
    Column("tenant", TENANT, nullable=False),
    Column("incident_id", String(24), nullable=False),
    Column("fact", String(32), nullable=False),
    # untrusted_input, sensitive_data, outward_effect
    Column("reference", String(64), nullable=False),
    Column("at_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "incident_id", "fact"),
)

certificate = Table(
    "certificate",
    metadata,
    # Up to which level measured outcomes bear out autonomy of a task; without one an action is certified for L2.
    Column("tenant", TENANT, nullable=False),
    Column("function", String(32), nullable=False),
    Column("action_class", String(64), nullable=False),
    Column("version_digest", DIGEST, nullable=False),
    # Of proposer and tool; a change of either is no longer certified.
    Column("level", Integer, nullable=False),
    Column("issued_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    PrimaryKeyConstraint("tenant", "function", "action_class", "version_digest"),
)

policy_version = Table(
    "policy_version",
    metadata,
    # Every signed policy that was ever in force here: its version only goes up.
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", DIGEST, nullable=False),
    Column("author", PRINCIPAL, nullable=False),
    Column("envelope", Text, nullable=False),
    Column("files", JSON, nullable=False),
    # {name: text}
    Column("activated_by", PRINCIPAL, nullable=False),
    Column("activated_us", BigInteger, nullable=False),
)

ledger_checkpoint = Table(
    "ledger_checkpoint",
    metadata,
    # Signed statements of what the ledger was at a moment.
    Column("tenant", TENANT, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("root", String(64), nullable=False),
    Column("envelope", Text, nullable=False),
    # DSSE, see watchfloor_core.ledger.checkpoint.
    Column("public_key", String(64), nullable=False),
    # Of the key that signed it, raw, as hex.
    PrimaryKeyConstraint("tenant", "number"),
)

ledger_checkpoint_chain = Table(
    "ledger_checkpoint_chain",
    metadata,
    # How far each chain had come at the checkpoints that found it longer than the one before: which entries a
    # checkpoint added. Nothing here is signed or needs to be; the entries themselves give what is.
    Column("tenant", TENANT, nullable=False),
    Column("chain", String(48), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "chain", "seq"),
    Index("ix_ledger_checkpoint_chain_number", "tenant", "number"),
)
