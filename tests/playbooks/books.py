"""A playbook with one step of every type, and ways to change it."""

from __future__ import annotations

import copy
import json
from typing import Any

Book = dict[str, Any]


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def step(kind: str, number: int) -> str:
    return f"{kind}--{uuid(number)}"


START, ACT, DONE, FAILED = step("start", 1), step("action", 2), step("end", 3), step("end", 4)
IF, YES, YES_END, NO_END = step("if-condition", 5), step("action", 6), step("end", 7), step("end", 8)
WHILE, AGAIN, AGAIN_END = step("while-condition", 9), step("action", 10), step("end", 11)
BOTH, LEFT, LEFT_END, RIGHT, RIGHT_END = (
    step("parallel", 12),
    step("action", 13),
    step("end", 14),
    step("playbook-action", 15),
    step("end", 16),
)
SWITCH, HIGH_END, OTHER_END = step("switch-condition", 17), step("end", 18), step("end", 19)
AGENT, TARGET, AUTH = step("individual", 30), step("ssh", 31), step("user-auth", 32)
MARKING, EXTENSION = step("marking-tlp", 33), step("extension-definition", 34)
IDENTITY = step("identity", 35)


def _action(follows: str, **others: Any) -> Book:
    command = {"type": "manual", "command": "Look at __address__:value"}
    return {"type": "action", "agent": AGENT, "commands": [command], "on_completion": follows, **others}


_BOOK: Book = {
    "type": "playbook",
    "spec_version": "cacao-2.0",
    "id": step("playbook", 0),
    "name": "Every step",
    "created_by": IDENTITY,
    "created": "2026-11-28T08:30:00.000Z",
    "modified": "2026-11-28T08:30:00.000Z",
    "markings": [MARKING],
    "playbook_variables": {
        "__address__": {"type": "ipv4-addr", "value": "192.0.2.7", "external": True},
        "__count__": {"type": "integer", "value": "0"},
        "__fixed__": {"type": "string", "value": "x", "constant": True},
        "__risk__": {"type": "string", "value": None},
    },
    "workflow_start": START,
    "workflow_exception": FAILED,
    "workflow": {
        START: {"type": "start", "on_completion": ACT},
        ACT: _action(IF, targets=[TARGET], out_args=["__count__"], in_args=["__address__"]),
        IF: {
            "type": "if-condition",
            "condition": "__count__:value > 0",
            "on_true": YES,
            "on_false": NO_END,
            "on_completion": WHILE,
        },
        YES: _action(YES_END),
        YES_END: {"type": "end"},
        NO_END: {"type": "end"},
        WHILE: {"type": "while-condition", "condition": "__count__:value < 9", "on_true": AGAIN, "on_completion": BOTH},
        AGAIN: _action(AGAIN_END, out_args=["__count__"]),
        AGAIN_END: {"type": "end"},
        BOTH: {"type": "parallel", "next_steps": [LEFT, RIGHT], "on_success": SWITCH, "on_failure": FAILED},
        LEFT: _action(LEFT_END),
        LEFT_END: {"type": "end"},
        RIGHT: {"type": "playbook-action", "playbook_id": step("playbook", 20), "on_completion": RIGHT_END},
        RIGHT_END: {"type": "end"},
        SWITCH: {
            "type": "switch-condition",
            "switch": "__risk__:value",
            "cases": {"high": HIGH_END, "default": OTHER_END},
            "on_completion": DONE,
        },
        HIGH_END: {"type": "end"},
        OTHER_END: {"type": "end"},
        DONE: {"type": "end"},
        FAILED: {"type": "end"},
    },
    "agent_definitions": {
        AGENT: {"type": "individual", "name": "Analyst", "contact": {"email": {"work": "a@b.example"}}}
    },
    "target_definitions": {
        TARGET: {
            "type": "ssh",
            "name": "Host",
            "address": {"ipv4": ["__address__:value"]},
            "port": "22",
            "authentication_info": AUTH,
        }
    },
    "authentication_info_definitions": {
        AUTH: {"type": "user-auth", "username": "ops", "kms": True, "password": "key-7"}
    },
    "data_marking_definitions": {
        MARKING: {
            "type": "marking-tlp",
            "id": MARKING,
            "created_by": IDENTITY,
            "created": "2026-11-28T08:30:00.000Z",
            "tlpv2_level": "TLP:GREEN",
        }
    },
    "extension_definitions": {
        EXTENSION: {
            "type": "extension-definition",
            "name": "ours",
            "created_by": IDENTITY,
            "schema": "https://example.org/s.json",
            "version": "1",
        }
    },
    "playbook_extensions": {EXTENSION: {"anything": [1, {"deep": None}]}},
}


def book() -> Book:
    """A fresh copy."""
    return copy.deepcopy(_BOOK)


def changed(*path: str | int, to: Any) -> Book:
    """A copy in which one thing is another."""
    content = book()
    inner: Any = content
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return content


def without(*path: str | int) -> Book:
    content = book()
    inner: Any = content
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return content


def data_of(content: Any) -> bytes:
    return json.dumps(content, indent=2).encode()
