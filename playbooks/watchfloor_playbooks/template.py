"""A playbook to begin with: it is right as it stands, and does nothing but ask a person."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import JsonValue

from watchfloor_core.clock import to_iso
from watchfloor_playbooks.vocabulary import SPEC_VERSION


def new_playbook(name: str, created_by: str, new_uuid: Callable[[], str], now_us: int) -> dict[str, JsonValue]:
    """Content with a start, one manual action on an address that is given in, and ends for success and failure.

    ``created_by`` is the id of a STIX identity, ``new_uuid`` gives a fresh UUIDv4 each time.
    """
    moment = f"{to_iso(now_us)[:19]}.{now_us // 1_000 % 1_000:03d}Z"
    start, action, done, failed = (f"{kind}--{new_uuid()}" for kind in ("start", "action", "end", "end"))
    agent, target = f"individual--{new_uuid()}", f"net-address--{new_uuid()}"
    return {
        "type": "playbook",
        "spec_version": SPEC_VERSION,
        "id": f"playbook--{new_uuid()}",
        "name": name,
        "description": "Say what this playbook is for, and when it is to be used.",
        "playbook_types": ["investigation"],
        "playbook_activities": ["analyze-collected-data"],
        "created_by": created_by,
        "created": moment,
        "modified": moment,
        "revoked": False,
        "priority": 3,
        "severity": 50,
        "impact": 1,
        "playbook_variables": {
            "__address__": {
                "type": "ipv4-addr",
                "description": "The address that this is about.",
                "constant": False,
                "external": True,
            }
        },
        "workflow_start": start,
        "workflow_exception": failed,
        "workflow": {
            start: {"type": "start", "name": "Start", "on_completion": action},
            action: {
                "type": "action",
                "name": "Look at the address",
                "description": "Say what is to be done, and what it is done for.",
                "timeout": 86_400_000,
                "on_success": done,
                "on_failure": failed,
                "commands": [
                    {
                        "type": "manual",
                        "description": "A person does this.",
                        "playbook_activity": "analyze-collected-data",
                        "command": "Find out what __address__:value is, and write it into the incident.",
                    }
                ],
                "agent": agent,
                "targets": [target],
                "in_args": ["__address__"],
            },
            done: {"type": "end", "name": "Done"},
            failed: {"type": "end", "name": "Failed"},
        },
        "agent_definitions": {agent: {"type": "individual", "name": "The analyst on duty"}},
        "target_definitions": {
            target: {"type": "net-address", "name": "The address", "address": {"ipv4": ["__address__:value"]}}
        },
    }
