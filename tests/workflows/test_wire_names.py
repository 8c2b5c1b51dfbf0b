"""Names and fields that stand in histories of workflows under way: a change here breaks them."""

from __future__ import annotations

import dataclasses
import inspect
from enum import StrEnum
from types import ModuleType

import pytest

from watchfloor_core.notice import NoticeKind
from watchfloor_guardrails.approval import ApprovalOutcome, VoteDecision
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_playbooks.running.work import RunStatus
from watchfloor_workflows import (
    action_messages,
    investigation_messages,
    messages,
    playbook_messages,
    search_attributes,
    wire,
)
from watchfloor_workflows.investigation.graph import InvestigationState
from watchfloor_workflows.investigation.stages import Stage

NAMES = {
    "INCIDENT_WORKFLOW": "watchfloor.incident",
    "INCIDENT_CHANGED": "incident_changed",
    "DECIDE": "decide",
    "REOPEN": "reopen",
    "STATE": "state",
    "TRIAGE_INCIDENT": "triage_incident",
    "SETTLE_INCIDENT": "settle_incident",
    "RECORD_HUMAN_VERDICT": "record_human_verdict",
    "REOPEN_INCIDENT": "reopen_incident",
    "NEEDS_OWN_ACTIVITY": "NeedsOwnActivity",
    "FINAL_ERRORS": ("NotFoundError", "RefusedError", "LedgerError"),
    "FINAL_FOR_ACTIONS": ("NotFoundError", "RefusedError", "LedgerError", "RecordError", "ConfigurationError"),
    "ACTION_WORKFLOW": "watchfloor.action",
    "APPROVAL_WORKFLOW": "watchfloor.approval",
    "VOTE": "vote",
    "VOID": "void",
    "APPROVAL_STATE": "approval_state",
    "OBSERVE_TARGET": "observe_target",
    "EXECUTE_ACTION": "execute_action",
    "SEAL_PROPOSAL": "seal_proposal",
    "RECORD_VOTE": "record_vote",
    "END_PROPOSAL": "end_proposal",
    "ISSUE_GRANT": "issue_grant",
    "END_LEASE": "end_lease",
    "ANNOUNCE": "announce",
    "INVESTIGATION_WORKFLOW": "watchfloor.investigation",
    "INVESTIGATION_GRAPH": "watchfloor.investigate",
    "FAIL_INVESTIGATION": "fail_investigation",
    "PLAYBOOK_WORKFLOW": "watchfloor.playbook",
    "WAKE": "wake",
    "TAKE_TURN": "take_turn",
    "TELL_TASK": "tell_task",
}

INVESTIGATION_FIELDS = {
    "FailInvestigationInput": ["investigation", "problem"],
    "RunInvestigationInput": ["tenant", "incident_id", "revision"],
    "RunInvestigationResult": ["is_done", "rounds"],
}

PLAYBOOK_FIELDS = {
    "RunPlaybookInput": ["tenant", "run_id", "executor_queue", "after"],
    "RunPlaybookResult": ["status"],
    "RunRef": ["tenant", "run_id"],
    "TakeTurnInput": ["ref", "after"],
    "TellTaskInput": ["ref", "key"],
    "TurnResult": ["status", "is_ready", "wakes_us", "proposals", "runs", "tasks", "last"],
}

FIELDS = {
    "ChangeIncidentInput": ["revision"],
    "ChangedIncidentResult": ["standing"],
    "DecideIncidentInput": [
        "principal",
        "principal_kind",
        "verdict",
        "close",
        "comment",
        "revision",
        "update_id",
        "acknowledges_newer",
    ],
    "IncidentMemory": ["signalled_revision", "standing", "passes", "since_us"],
    "IncidentStanding": ["status", "revision", "settled_revision", "severity", "verdict", "level", "ledger_seq"],
    "RecordHumanVerdictInput": ["tenant", "incident_id", "decision"],
    "ReopenIncidentInput": ["principal", "principal_kind", "comment", "update_id"],
    "ReopenIncidentOrder": ["tenant", "incident_id", "request"],
    "RunIncidentInput": ["tenant", "incident_id", "debounce_s", "memory"],
    "RunIncidentResult": ["standing", "passes"],
    "SettleIncidentInput": ["tenant", "incident_id", "revision"],
    "SettleIncidentResult": ["standing"],
    "TriageIncidentInput": ["tenant", "incident_id"],
    "TriageIncidentResult": ["revision"],
    "WorkflowState": ["status", "verdict", "level", "revision", "waiting_for", "passes", "since_us"],
}

ACTION_FIELDS = {
    "AnnounceInput": ["ref", "kind", "step"],
    "ApprovalState": ["outcome", "voters", "deadline_us", "reminders", "escalations"],
    "ApprovalTerms": [
        "digest",
        "requirement_json",
        "is_veto",
        "deadline_us",
        "remind_after_s",
        "escalate_after_s",
        "wait_s",
    ],
    "EndLeaseResult": ["undo_proposal_id"],
    "EndProposalInput": ["ref", "outcome", "reason"],
    "ExecuteActionInput": ["ref", "grant_id"],
    "ExecuteActionResult": ["status", "reason", "lease_ends_us"],
    "IssueGrantResult": ["grant_id", "reason"],
    "ObserveTargetResult": ["tool", "tool_pin", "state_digest", "problem"],
    "ProposalRef": ["tenant", "proposal_id"],
    "RecordVoteInput": ["ref", "vote"],
    "RunActionInput": ["tenant", "proposal_id", "executor_queue", "lease_ends_us"],
    "RunActionResult": ["status", "reason"],
    "RunApprovalInput": ["tenant", "proposal_id", "terms"],
    "RunApprovalResult": ["outcome", "reason"],
    "SealProposalInput": ["ref", "observed"],
    "SealProposalResult": ["status", "terms", "reason", "lease_ends_us", "run_id"],
    "VoidApprovalInput": ["reason"],
    "VoteInput": [
        "principal",
        "principal_kind",
        "roles",
        "tenant",
        "decision",
        "digest",
        "comment",
        "channel",
        "key_id",
        "assertion_json",
        "update_id",
    ],
    "VoteResult": ["outcome", "approvals", "quorum"],
}

WORDS = {
    "ProposalStatus": [
        "drafted",
        "waiting",
        "approved",
        "executing",
        "denied",
        "expired",
        "voided",
        "refused",
        "succeeded",
        "failed",
        "unknown",
    ],
    "ApprovalOutcome": ["pending", "approved", "denied", "expired", "voided"],
    "VoteDecision": ["approve", "deny"],
    "PrincipalKind": ["person", "service", "agent"],
    "NoticeKind": [
        "request",
        "remind",
        "escalate",
        "veto_window",
        "ended",
        "receipt",
        "unknown",
        "task",
        "task_remind",
    ],
    "RunStatus": ["running", "succeeded", "failed", "stopped", "picked"],
}


def test_wire_names_are_the_ones_that_running_workflows_know() -> None:
    found = {name: value for name, value in vars(wire).items() if name.isupper()}

    assert found == NAMES
    assert wire.incident_workflow_id("acme", "inc-1") == "incident:acme:inc-1"
    assert wire.action_workflow_id("acme", "act-1") == "action:acme:act-1"
    assert wire.approval_workflow_id("acme", "act-1") == "approval:acme:act-1"
    assert wire.playbook_workflow_id("acme", "pbr-1") == "playbook:acme:pbr-1"
    assert wire.investigation_workflow_id("acme", "inc-1", 3) == "investigation:acme:inc-1:3"


def test_the_nodes_of_the_graph_are_the_ones_that_histories_hold() -> None:
    assert [stage.value for stage in Stage] == [
        "scope",
        "plan",
        "collect",
        "correlate",
        "hypothesise",
        "verify",
        "conclude",
    ]
    assert sorted(InvestigationState.__annotations__) == [
        "goes_on",
        "incident_id",
        "revision",
        "round",
        "tenant",
        "waiting",
    ]


@pytest.mark.parametrize(
    ("module", "fields"),
    [
        (messages, FIELDS),
        (action_messages, ACTION_FIELDS),
        (investigation_messages, INVESTIGATION_FIELDS),
        (playbook_messages, PLAYBOOK_FIELDS),
    ],
)
def test_messages_have_the_fields_that_histories_hold(module: ModuleType, fields: dict[str, list[str]]) -> None:
    found = {
        name: [field.name for field in dataclasses.fields(kind)]
        for name, kind in inspect.getmembers(module, dataclasses.is_dataclass)
    }

    assert found == fields


@pytest.mark.parametrize("kind", [ProposalStatus, ApprovalOutcome, VoteDecision, PrincipalKind, NoticeKind, RunStatus])
def test_the_words_in_messages_of_actions_are_the_ones_that_histories_hold(kind: type[StrEnum]) -> None:
    assert [member.value for member in kind] == WORDS[kind.__name__]


@pytest.mark.parametrize("module", [messages, action_messages, investigation_messages, playbook_messages])
def test_every_message_is_frozen(module: ModuleType) -> None:
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if dataclasses.is_dataclass(kind):
            assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # set by @dataclass


def test_the_embedded_server_is_told_of_every_search_attribute() -> None:
    assert search_attributes.server_arguments() == [
        "--search-attribute",
        "WatchfloorTenant=Keyword",
        "--search-attribute",
        "WatchfloorStatus=Keyword",
        "--search-attribute",
        "WatchfloorSeverity=Int",
        "--search-attribute",
        "WatchfloorVerdict=Keyword",
        "--search-attribute",
        "WatchfloorLevel=Int",
    ]
