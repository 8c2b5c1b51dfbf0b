"""CrowdStrike Falcon as far as tools use it.

Paths, methods, query, bodies and status codes: https://github.com/CrowdStrike/gofalcon, ``falcon/client/oauth2``,
``hosts`` (QueryDevicesByFilter, GetDeviceDetailsV2, PerformActionV2, UpdateDeviceTags) and ``real_time_response``
(RTR_InitSession, RTR_ExecuteCommand, RTR_CheckCommandStatus); the envelope: its ``models/msa_*``. Scopes:
https://github.com/CrowdStrike/falconpy, ``docs/service-collections``. Tags: letters, digits, ``-``, ``_`` and ``/``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.connectors.vendor_server import LEAK, SECRET, Reply, Request, Vendor

CLIENT = "0123456789abcdef0123456789abcdef"
ALL_SCOPES = frozenset({"hosts:read", "hosts:write", "real-time-response:read"})
READ_ONLY = ("cat", "cd", "clear", "env", "eventlog", "filehash", "getsid", "help", "history", "ipconfig", "ls",
             "mount", "netstat", "ps", "reg query")  # fmt: skip


@dataclass
class Device:
    id: str
    hostname: str
    status: str = "normal"
    tags: list[str] = field(default_factory=list)
    pending: int = 0
    """Looks until a pending status is settled."""


class Falcon(Vendor):
    def __init__(self) -> None:
        super().__init__()
        self.devices = [
            Device("a" * 32, "WS-17"),
            Device("b" * 32, "WS-17B"),
            Device("c" * 32, "twin"),
            Device("d" * 32, "twin"),
            Device("e" * 32, "dc1"),
        ]
        self.scopes = ALL_SCOPES
        self.delay = 1
        """Looks that a status is pending for."""
        self.tokens = 0
        self.expired = False
        self.outputs: dict[str, list[str]] = {"ps": ["PID NAME\n", "4 System\n"], "netstat": ["tcp 0.0.0.0:445\n"]}
        self.answers_after = 1
        self.sessions: list[str] = []
        self._looks = 0

    def device(self, name: str) -> Device:
        return next(one for one in self.devices if one.hostname == name)

    def is_effect(self, request: Request) -> bool:
        return request.path == "/devices/entities/devices-actions/v2"

    def answer(self, request: Request) -> Reply:
        if request.path == "/oauth2/token":
            return self._token(request)
        if request.headers.get("authorization") != f"Bearer token-{self.tokens}" or self.expired:
            self.expired = False
            return _error(401, "access denied, invalid bearer token")
        match request.method, request.path:
            case "GET", "/devices/queries/devices/v1":
                return self._scoped("hosts:read") or self._query(request)
            case "GET", "/devices/entities/devices/v2":
                return self._scoped("hosts:read") or self._details(request)
            case "PATCH", "/devices/entities/devices/tags/v1":
                return self._scoped("hosts:write") or self._tagged(request)
            case "POST", "/devices/entities/devices-actions/v2":
                return self._scoped("hosts:write") or self._acted(request)
            case _, path if path.startswith("/real-time-response/entities/"):
                return self._scoped("real-time-response:read") or self._responded(request)
            case _:
                return _error(404, "404: Page Not Found")

    def _token(self, request: Request) -> Reply:
        assert request.method == "POST"
        if request.form != {"client_id": CLIENT, "client_secret": SECRET}:
            return _error(403, "access denied, invalid client")
        self.tokens += 1
        return Reply(201, {"access_token": f"token-{self.tokens}", "expires_in": 1799, "token_type": "bearer"})

    def _scoped(self, scope: str) -> Reply | None:
        return None if scope in self.scopes else _error(403, "access denied, authorization failed")

    def _query(self, request: Request) -> Reply:
        match = re.fullmatch(r"hostname:'([A-Za-z0-9._-]+)'", request.query["filter"][0])
        if match is None:
            return _error(400, "invalid filter")
        # A string without brackets is compared in any case, and by its beginning.
        wanted = match[1].lower()
        found = [one.id for one in self.devices if one.hostname.lower().startswith(wanted)]
        return _envelope(200, found[: int(request.query["limit"][0])])

    def _details(self, request: Request) -> Reply:
        found = []
        for one in self.devices:
            if one.id in request.query["ids"]:
                told = {"device_id": one.id, "cid": CLIENT, "hostname": one.hostname, "status": one.status}
                found.append({**told, "tags": one.tags, "platform_name": "Windows"})
                if one.status.endswith("_pending"):
                    one.pending -= 1
                    if one.pending <= 0:
                        one.status = "contained" if one.status == "containment_pending" else "normal"
        return _envelope(200, found)

    def _tagged(self, request: Request) -> Reply:
        asked = request.json
        assert set(asked) == {"action", "device_ids", "tags"}
        for tag in asked["tags"]:
            if not re.fullmatch(r"FalconGroupingTags/[A-Za-z0-9_/-]{1,237}", tag):
                return _error(400, "invalid tag")
        for one in self.devices:
            if one.id in asked["device_ids"]:
                kept = [tag for tag in one.tags if tag not in asked["tags"]]
                one.tags = [*kept, *asked["tags"]] if asked["action"] == "add" else kept
        done = [{"device_id": one, "updated": True} for one in asked["device_ids"]]
        return _envelope(202, done)

    def _acted(self, request: Request) -> Reply:
        name, ids = request.query["action_name"][0], request.json["ids"]
        found = [one for one in self.devices if one.id in ids]
        if not found or name not in ("contain", "lift_containment"):
            return _error(400, "no such action or host")
        for one in found:
            if one.status not in (("normal",) if name == "contain" else ("contained", "containment_pending")):
                return _error(409, "the host is in another state")
            one.status = "containment_pending" if name == "contain" else "lift_containment_pending"
            one.pending = self.delay
        return _envelope(202, [{"id": one.id, "path": f"/devices/entities/devices/v1?ids={one.id}"} for one in found])

    def _responded(self, request: Request) -> Reply:
        what = request.path.removeprefix("/real-time-response/entities/")
        match request.method, what:
            case "POST", "sessions/v1":
                asked = request.json
                assert asked["queue_offline"] is False
                if asked["device_id"] not in [one.id for one in self.devices]:
                    return _error(400, "could not find host")
                self.sessions.append(asked["origin"])
                made = {"session_id": f"session-{len(self.sessions)}", "scripts": [], "existing_aid_sessions": 1,
                        "created_at": "2026-02-25T06:13:21Z", "pwd": "C:\\", "offline_queued": False}  # fmt: skip
                return _envelope(201, [made])
            case "POST", "command/v1":
                asked = request.json
                if asked["base_command"] not in READ_ONLY or asked["session_id"] != f"session-{len(self.sessions)}":
                    return _error(403, "the command is not allowed for this role")
                made = {"session_id": asked["session_id"], "cloud_request_id": f"request-{asked['base_command']}",
                        "queued_command_offline": False}  # fmt: skip
                return _envelope(201, [made])
            case "GET", "command/v1":
                command = request.query["cloud_request_id"][0].removeprefix("request-")
                self._looks += 1
                parts, part = self.outputs[command], int(request.query["sequence_id"][0])
                is_there = self._looks > self.answers_after and part < len(parts)
                told: dict[str, Any] = {"session_id": f"session-{len(self.sessions)}", "task_id": "t", "stderr": "",
                        "stdout": parts[part] if is_there else "", "sequence_id": part, "base_command": command,
                        "complete": is_there and part == len(parts) - 1}  # fmt: skip
                return _envelope(200, [told])
            case _:
                return _error(404, "404: Page Not Found")


def _envelope(status: int, resources: list[Any]) -> Reply:
    meta = {"query_time": 0.01, "powered_by": "device-api", "trace_id": "5d6d4c1e-0000-4000-8000-000000000000"}
    return Reply(status, {"meta": meta, "resources": resources, "errors": []})


def _error(status: int, message: str) -> Reply:
    meta = {"query_time": 0.01, "trace_id": "5d6d4c1e-0000-4000-8000-000000000000"}
    error = {"code": status, "message": f"{message} {LEAK}"}
    return Reply(status, {"meta": meta, "resources": None, "errors": [error]})
