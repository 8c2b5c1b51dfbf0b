"""Every span, event and attribute name that Watchfloor writes. They are wire format: a golden list guards them.

``gen_ai.*`` are OpenTelemetry's semantic conventions for generative AI, ``http.*`` and ``error.type`` its general ones;
ours begin with ``watchfloor.``.

The attributes are an allow-list as well. A name is listed only where its values are written by Watchfloor, its
configuration or an authenticated person: ids, digests, counts, levels, verdicts. Text that an attacker can author
(command lines, URLs, file names, prompts, completions, tool arguments) has no name here and so never leaves in a span.
"""

from __future__ import annotations

from enum import StrEnum


class SpanName(StrEnum):
    """Names of spans: few, and never built from data."""

    # Decisions, each of the same id as its ledger entry.
    INGEST_BATCH = "watchfloor.ingest_batch"
    CORRELATE = "watchfloor.correlate"
    VERDICT = "watchfloor.verdict"
    RULING = "watchfloor.ruling"
    CLOSURE = "watchfloor.closure"
    ESCALATION = "watchfloor.escalation"
    QUEUE = "watchfloor.queue"
    HUMAN_VERDICT = "watchfloor.human_verdict"
    REOPEN = "watchfloor.reopen"
    SHADOW_SEAL = "watchfloor.shadow_seal"
    SHADOW_REVEAL = "watchfloor.shadow_reveal"
    MERGE = "watchfloor.merge"
    SPLIT = "watchfloor.split"
    DEDUP_UNDO = "watchfloor.dedup_undo"
    PROPOSAL = "watchfloor.proposal"
    APPROVAL_REQUEST = "watchfloor.approval_request"
    APPROVAL_VOTE = "watchfloor.approval_vote"
    APPROVAL_OUTCOME = "watchfloor.approval_outcome"
    GRANT = "watchfloor.grant"
    EXECUTION = "watchfloor.execution"
    RECEIPT = "watchfloor.receipt"
    LEASE = "watchfloor.lease"
    KILL_SWITCH = "watchfloor.kill_switch"
    FREEZE = "watchfloor.freeze"
    POLICY = "watchfloor.policy"
    PRINCIPAL = "watchfloor.principal"
    APPROVER_KEY = "watchfloor.approver_key"
    REFUSAL = "watchfloor.refusal"
    INVESTIGATION = "watchfloor.investigation"
    CORRECTION = "watchfloor.correction"
    PLAYBOOK = "watchfloor.playbook"

    # Operations.
    REQUEST = "watchfloor.request"
    """One request to the API."""
    ADVANCE = "watchfloor.advance"
    """One round of correlation."""
    ASSESS = "watchfloor.assess"
    """A triage engine at work on one incident."""
    RELAY = "watchfloor.relay"
    """A batch of the outbox on its way to Temporal."""
    RETENTION = "watchfloor.retention"
    NOTIFY = "watchfloor.notify"
    """One notice on one channel."""
    INVOKE_AGENT = "watchfloor.invoke_agent"
    """A generative agent at work on one incident."""
    CHAT = "watchfloor.chat"
    """One request to a model, answered or not."""
    EXECUTE_TOOL = "watchfloor.execute_tool"
    """One call of a tool by a model."""
    INVESTIGATE = "watchfloor.investigate"
    """One stage of an investigation."""
    QUESTION = "watchfloor.question"
    """One question of an investigation to every log source."""


class SpanEvent(StrEnum):
    """Names of events on spans."""

    EVALUATION_RESULT = "gen_ai.evaluation.result"


class SpanAttribute(StrEnum):
    """Names of attributes on spans and events."""

    TENANT = "watchfloor.tenant"
    PRINCIPAL = "watchfloor.principal"
    """Who was authenticated."""

    LEDGER_CHAIN = "watchfloor.ledger.chain"
    LEDGER_SEQ = "watchfloor.ledger.seq"
    DECISION_KIND = "watchfloor.decision.kind"

    SOURCE_ID = "watchfloor.source.id"
    CONNECTOR_NAME = "watchfloor.connector.name"
    CONNECTOR_VERSION = "watchfloor.connector.version"
    BATCH_ID = "watchfloor.batch.id"
    RECORDS = "watchfloor.records"
    ALERTS = "watchfloor.alerts"
    DUPLICATES = "watchfloor.duplicates"
    IGNORED = "watchfloor.ignored"
    DEAD_LETTERS = "watchfloor.dead_letters"

    TICK = "watchfloor.tick"
    TICKS = "watchfloor.ticks"
    JOIN_RULE = "watchfloor.join.rule"
    OBSERVATIONS = "watchfloor.observations"
    INCIDENTS = "watchfloor.incidents"
    WAITING = "watchfloor.waiting"

    INCIDENT_ID = "watchfloor.incident.id"
    INCIDENT_OTHER_ID = "watchfloor.incident.other_id"
    """The other incident of a merge or split."""
    INCIDENT_REVISION = "watchfloor.incident.revision"
    INCIDENT_KIND = "watchfloor.incident.kind"
    INCIDENT_STATUS = "watchfloor.incident.status"
    INCIDENT_SEVERITY = "watchfloor.incident.severity"
    INCIDENT_FAMILY = "watchfloor.incident.family"
    """Alert family, as the autonomy matrix names it."""
    ASSET_TIER = "watchfloor.asset.tier"

    VERDICT = "watchfloor.verdict"
    PROBABILITY = "watchfloor.probability"
    CERTAINTY = "watchfloor.certainty"
    REASON_CODES = "watchfloor.reason.codes"
    ENGINE_NAME = "watchfloor.engine.name"
    ENGINE_VERSION = "watchfloor.engine.version"

    STAGE = "watchfloor.stage"
    """Of an investigation: scope, plan, collect, correlate, hypothesise, verify, conclude."""
    QUESTIONS = "watchfloor.questions"
    QUESTION_DIGEST = "watchfloor.question.digest"
    EVIDENCE = "watchfloor.evidence"
    """Pieces of evidence found."""
    HEALTH = "watchfloor.health"
    """The worst of the sources asked: whole, partial, dark; none where there is no source."""
    FINDINGS = "watchfloor.findings"
    DROPPED = "watchfloor.dropped"
    """Claims that did not pass the check."""
    REPORT_DIGEST = "watchfloor.report.digest"
    CORRECTION_SAYS = "watchfloor.correction.says"
    """wrong, right, incomplete, missed or withdrawn."""

    PLAYBOOK_ID = "watchfloor.playbook.id"
    PLAYBOOK_RUN_ID = "watchfloor.playbook.run_id"
    PLAYBOOK_DIGEST = "watchfloor.playbook.digest"
    PLAYBOOK_STEP_ID = "watchfloor.playbook.step_id"

    PROPOSAL_ID = "watchfloor.proposal.id"
    PROPOSAL_DIGEST = "watchfloor.proposal.digest"
    PROPOSER = "watchfloor.proposer"
    TOOL_NAME = "watchfloor.tool.name"
    APPROVAL_DECISION = "watchfloor.approval.decision"
    APPROVAL_CHANNEL = "watchfloor.approval.channel"
    GRANT_ID = "watchfloor.grant.id"
    OUTCOME = "watchfloor.outcome"
    """succeeded, failed or unknown."""
    KILL_SCOPE = "watchfloor.kill.scope"
    KILL_EPOCH = "watchfloor.kill.epoch"
    REFUSAL_CODE = "watchfloor.refusal.code"

    FUNCTION = "watchfloor.function"
    ACTION_CLASS = "watchfloor.action.class"
    AUTONOMY_LEVEL = "watchfloor.autonomy.level"
    """The effective level of a ruling."""
    AUTONOMY_CONFIGURED = "watchfloor.autonomy.configured"
    RULING = "watchfloor.ruling"
    """allow, ask or deny."""
    RULING_CODES = "watchfloor.ruling.codes"
    POLICY_DIGEST = "watchfloor.policy.digest"
    CLOSED_BY = "watchfloor.closed_by"

    WORKFLOW_ID = "watchfloor.workflow.id"
    WORKFLOW_RUN_ID = "watchfloor.workflow.run_id"

    GEN_AI_OPERATION_NAME = "gen_ai.operation.name"
    GEN_AI_AGENT_NAME = "gen_ai.agent.name"
    GEN_AI_AGENT_VERSION = "gen_ai.agent.version"
    GEN_AI_PROVIDER_NAME = "gen_ai.provider.name"
    GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
    GEN_AI_RESPONSE_MODEL = "gen_ai.response.model"
    GEN_AI_USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
    GEN_AI_USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
    GEN_AI_USAGE_CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
    """Part of the input tokens."""
    GEN_AI_TOOL_NAME = "gen_ai.tool.name"
    GEN_AI_EVALUATION_NAME = "gen_ai.evaluation.name"
    GEN_AI_EVALUATION_SCORE_VALUE = "gen_ai.evaluation.score.value"
    GEN_AI_EVALUATION_SCORE_LABEL = "gen_ai.evaluation.score.label"

    COST_MICRO_USD = "watchfloor.cost.micro_usd"
    """By the operator's price list."""
    USAGE_ESTIMATED = "watchfloor.usage.estimated"
    """True where the provider gave no figures."""
    PROMPT_NAME = "watchfloor.prompt.name"
    PROMPT_VERSION = "watchfloor.prompt.version"
    PROMPT_DIGEST = "watchfloor.prompt.digest"
    MODEL_POSITION = "watchfloor.model.position"
    """In the chain of models: 0 is the first choice, more is a fallback."""
    MODEL_ATTEMPT = "watchfloor.model.attempt"
    """0, or the number of the repetition after an error."""

    ERROR_TYPE = "error.type"
    """Class of the exception; never its message, which may quote the input."""
    HTTP_REQUEST_METHOD = "http.request.method"
    HTTP_ROUTE = "http.route"
    """The route's template, never the path that was asked for."""
    HTTP_RESPONSE_STATUS_CODE = "http.response.status_code"


class Operation(StrEnum):
    """Values of ``gen_ai.operation.name``."""

    CHAT = "chat"
    INVOKE_AGENT = "invoke_agent"
    EXECUTE_TOOL = "execute_tool"
    PLAN = "plan"
