"""Microsoft Defender for Endpoint as far as tools use it.

Source: https://learn.microsoft.com/defender-endpoint/api/ and there ``get-machines``, ``get-machine-by-id``,
``isolate-machine``, ``unisolate-machine``, ``run-av-scan``, ``get-machineactions-collection`` and ``machineaction``,
each with its permissions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.connectors.microsoft_server import Microsoft, error
from tests.connectors.vendor_server import Reply, Request

PERMISSIONS = frozenset({"Machine.Read.All", "Machine.Isolate", "Machine.Scan"})
ORDERS = {"isolate": "Isolate", "unisolate": "Unisolate", "runAntiVirusScan": "RunAntiVirusScan"}


@dataclass
class Order:
    """A machine action."""

    number: int
    machine: str
    type: str
    comment: str
    status: str = "Pending"
    looks: int = 0

    def told(self) -> dict[str, Any]:
        return {
            "id": f"5382f7ea-7557-4ab7-9782-{self.number:012}",
            "type": self.type,
            "scope": "Full",
            "requestor": "00000000-0000-4000-8000-000000000002",
            "requestorComment": self.comment,
            "status": self.status,
            "machineId": self.machine,
            "computerDnsName": "ws-17.example.org",
            # Seven digits, as Microsoft has them.
            "creationDateTimeUtc": f"2026-02-25T06:{self.number // 60:02}:{self.number % 60:02}.2262283Z",
            "lastUpdateDateTimeUtc": "2026-02-25T07:00:00.6596267Z",
            "relatedFileInfo": None,
        }


class Defender(Microsoft):
    resource = "https://api.securitycenter.microsoft.com"

    def __init__(self) -> None:
        super().__init__(PERMISSIONS)
        self.machines = {
            "a" * 40: "ws-17.example.org",
            "b" * 40: "ws-170.example.org",
            "c" * 40: "twin.example.org",
            "d" * 40: "twin.example.com",
            "e" * 40: "dc1.example.org",
            "f" * 40: None,
        }
        self.orders: list[Order] = []
        self.steps: tuple[str, ...] = ("Pending", "InProgress", "Succeeded")
        """What an order's status is at each look; it stays at the last."""

    def is_effect(self, request: Request) -> bool:
        return request.method == "POST" and request.path.startswith("/api/machines/")

    def authorised(self, request: Request) -> Reply:
        match request.method, request.segments:
            case "GET", ["api", "machines"]:
                return self.allowed("Machine.Read.All", "Machine.ReadWrite.All") or self._found(request)
            case "GET", ["api", "machines", id_]:
                refusal = self.allowed("Machine.Read.All", "Machine.ReadWrite.All")
                return refusal or (Reply(200, self._machine(id_)) if id_ in self.machines else error(404, "NotFound"))
            case "GET", ["api", "machineactions"]:
                return self.allowed("Machine.Read.All", "Machine.ReadWrite.All") or self._listed(request)
            case "POST", ["api", "machines", id_, verb] if verb in ORDERS:
                needed = "Machine.Scan" if verb == "runAntiVirusScan" else "Machine.Isolate"
                return self.allowed(needed) or self._ordered(request, id_, verb)
            case _:
                return error(404, "NotFound")

    def _machine(self, id_: str) -> dict[str, Any]:
        return {"id": id_, "computerDnsName": self.machines[id_], "osPlatform": "Windows11", "healthStatus": "Active"}

    def _found(self, request: Request) -> Reply:
        match = re.fullmatch(r"startswith\(computerDnsName,'([a-z0-9._-]+)'\)", request.query["$filter"][0])
        if match is None:
            return error(400, "BadRequest")
        ids = [one for one, name in self.machines.items() if (name or "").startswith(match[1])]
        return Reply(200, {"value": [self._machine(one) for one in ids[: int(request.query["$top"][0])]]})

    def _listed(self, request: Request) -> Reply:
        match = re.fullmatch(r"machineId eq '([0-9a-f]{40})'", request.query["$filter"][0])
        if match is None:
            return error(400, "BadRequest")
        mine = [one for one in self.orders if one.machine == match[1]]
        told = [one.told() for one in mine]
        for one in mine:
            if one.status in self.steps[:-1]:
                one.looks += 1
                one.status = self.steps[min(one.looks, len(self.steps) - 1)]
        return Reply(200, {"value": told})

    def _ordered(self, request: Request, id_: str, verb: str) -> Reply:
        body = request.json
        needed = {"isolate": {"Comment", "IsolationType"}, "unisolate": {"Comment"}}.get(verb, {"Comment", "ScanType"})
        if id_ not in self.machines:
            return error(404, "ResourceNotFound")
        if set(body) != needed or body.get("IsolationType", "Full") not in ("Full", "Selective"):
            return error(400, "InvalidInput")
        if any(one.machine == id_ and one.status in ("Pending", "InProgress") for one in self.orders):
            return error(400, "ActiveRequestAlreadyExists")
        order = Order(len(self.orders), id_, ORDERS[verb], body["Comment"], self.steps[0])
        self.orders.append(order)
        return Reply(201, order.told())
