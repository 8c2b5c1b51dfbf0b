"""Names and fields that stand in histories of workflows under way: a change here breaks them."""

from __future__ import annotations

import dataclasses
import inspect

from watchfloor_workflows import messages, search_attributes, wire

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


def test_wire_names_are_the_ones_that_running_workflows_know() -> None:
    found = {name: value for name, value in vars(wire).items() if name.isupper()}

    assert found == NAMES
    assert wire.incident_workflow_id("acme", "inc-1") == "incident:acme:inc-1"


def test_messages_have_the_fields_that_histories_hold() -> None:
    found = {
        name: [field.name for field in dataclasses.fields(kind)]
        for name, kind in inspect.getmembers(messages, dataclasses.is_dataclass)
    }

    assert found == FIELDS


def test_every_message_is_frozen() -> None:
    for _, kind in inspect.getmembers(messages, inspect.isclass):
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
