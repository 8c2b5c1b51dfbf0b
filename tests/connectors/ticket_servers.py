"""Three vendors of tickets in memory, each with the paths, bodies, refusals and rights that it documents.

Jira Cloud: https://developer.atlassian.com/cloud/jira/platform/rest/v3/ (create issue, get issue, transitions, search
by JQL) and https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/. ServiceNow: *Table API* of
https://www.servicenow.com/docs. TheHive 5: https://docs.strangebee.com/thehive/api-docs/ and TheHive4py.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from base64 import b64encode
from typing import Any

from tests.connectors.vendor_server import LEAK, SECRET, Reply, Request, Vendor


class TicketServer(Vendor):
    """What the three have in common; ``tickets`` is as each has them."""

    def __init__(self) -> None:
        super().__init__()
        self.tickets: dict[str, dict[str, Any]] = {}
        self.may_write = True
        self.is_behind = False
        """Its search does not find what was just made."""

    @abstractmethod
    def close_by_hand(self) -> None:
        """People have done what the newest ticket asks for."""

    @abstractmethod
    def texts(self) -> tuple[str, str]:
        """Title and description of the newest ticket, as a person reads them."""

    @property
    def newest(self) -> dict[str, Any]:
        return list(self.tickets.values())[-1]


def basic(user: str) -> str:
    return f"Basic {b64encode(f'{user}:{SECRET}'.encode()).decode()}"


class JiraServer(TicketServer):
    user = "bot@corp.example"

    def __init__(self) -> None:
        super().__init__()
        self.transitions = [("11", "In Progress", "indeterminate"), ("41", "Cancelled", "done")]

    def is_effect(self, request: Request) -> bool:
        return request.method == "POST" and not request.path.endswith("/search/jql")

    def close_by_hand(self) -> None:
        self.newest["fields"]["status"] = _status("Done", "done")

    def texts(self) -> tuple[str, str]:
        fields = self.newest["fields"]
        lines = [node["text"] for paragraph in fields["description"]["content"] for node in paragraph["content"]]
        return fields["summary"], "\n".join(lines)

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != basic(self.user):
            return Reply(401, {"errorMessages": [LEAK]})
        match request.method, request.segments[3:]:
            case "POST", ["search", "jql"]:
                return self._search(request.json)
            case "POST", ["issue"]:
                return self._create(request.json["fields"])
            case "GET", ["issue", number] if number in self.tickets:
                assert request.query["fields"] == ["labels,status"]
                return Reply(200, self.tickets[number])
            case "GET", ["issue", number, "transitions"] if number in self.tickets:
                ways = [{"id": way, "name": LEAK, "to": _status(name, kind)} for way, name, kind in self.transitions]
                return Reply(200, {"expand": "transitions", "transitions": ways})
            case "POST", ["issue", number, "transitions"] if number in self.tickets:
                way = request.json["transition"]["id"]
                found = [one for one in self.transitions if one[0] == way]
                if not found or not self.may_write:
                    return Reply(400, {"errorMessages": [LEAK]})
                self.tickets[number]["fields"]["status"] = _status(*found[0][1:])
                return Reply(204)
        return Reply(404, {"errorMessages": ["Issue does not exist or you do not have permission to see it."]})

    def _search(self, asked: dict[str, Any]) -> Reply:
        form = r'project = "SOC" AND labels = "(wf-inc-[0-9a-f]{16})" AND creator = currentUser\(\)'
        match = re.fullmatch(form, asked["jql"])
        if match is None or not asked["fields"]:
            return Reply(400, {"errorMessages": [f"Error in the JQL Query: {LEAK}"]})
        found = [
            {"id": one["id"]}
            for one in self.tickets.values()
            if match[1] in one["fields"]["labels"] and one["creator"] == self.user and not self.is_behind
        ]
        return Reply(200, {"issues": found[: asked["maxResults"]], "isLast": True})

    def _create(self, fields: dict[str, Any]) -> Reply:
        if not self.may_write:
            return Reply(403, {"errorMessages": [LEAK]})
        document = fields["description"]
        is_right = (
            fields["project"] == {"key": "SOC"}
            and set(fields["issuetype"]) == {"name"}
            and 0 < len(fields["summary"]) <= 255
            and "\n" not in fields["summary"]
            and all(0 < len(label) <= 255 and " " not in label for label in fields["labels"])
            and (document["type"], document["version"]) == ("doc", 1)
            and all(
                paragraph["type"] == "paragraph"
                and all(
                    set(node) == {"type", "text"} and node["type"] == "text" and node["text"]
                    for node in paragraph["content"]
                )
                for paragraph in document["content"]
            )
        )
        if not is_right:
            return Reply(400, {"errorMessages": [], "errors": {"description": LEAK}})
        number = str(10_000 + len(self.tickets))
        key = f"SOC-{len(self.tickets) + 1}"
        told = {**fields, "status": _status("To Do", "new")}
        self.tickets[number] = {"id": number, "key": key, "creator": self.user, "fields": told}
        return Reply(201, {"id": number, "key": key, "self": f"{self.url}/rest/api/3/issue/{number}"})


def _status(name: str, category: str) -> dict[str, Any]:
    return {"name": name, "statusCategory": {"id": 3, "key": category, "name": LEAK}}


class ServicenowServer(TicketServer):
    user = "svc.watchfloor"
    columns = frozenset(
        {"short_description", "description", "correlation_id", "correlation_display", "impact", "urgency",
         "assignment_group", "state", "close_code", "close_notes"}
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.protected: set[str] = set()
        """Columns that the account may not write: dropped without a word, as an access control rule does."""
        self.ignores_state = False

    def is_effect(self, request: Request) -> bool:
        return request.method in ("POST", "PATCH")

    def close_by_hand(self) -> None:
        self.newest["state"] = "6"

    def texts(self) -> tuple[str, str]:
        return self.newest["short_description"], self.newest["description"]

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != basic(self.user):
            return _failure(401, "User is not authenticated")
        if request.segments[:4] != ["api", "now", "table", "incident"]:
            return _failure(400, "Invalid table")
        wanted = request.query["sysparm_fields"][0].split(",")
        match request.method, request.segments[4:]:
            case "GET", []:
                return Reply(200, {"result": [_of(one, wanted) for one in self._found(request)]})
            case "GET", [number] if number in self.tickets:
                return Reply(200, {"result": _of(self.tickets[number], wanted)})
            case "POST", []:
                if not self.may_write:
                    return _failure(403, "Operation Failed")
                number = f"{len(self.tickets) + 1:032x}"
                row = {"sys_id": number, "number": f"INC{len(self.tickets) + 10_001:07}", "state": "1"}
                self.tickets[number] = {**row, "sys_created_by": self.user, "correlation_id": ""}
                self._write(number, request.json)
                return Reply(201, {"result": _of(self.tickets[number], wanted)})
            case "PATCH", [number] if number in self.tickets:
                if not self.may_write:
                    return _failure(403, "Operation Failed")
                self._write(number, request.json)
                return Reply(200, {"result": _of(self.tickets[number], wanted)})
        return _failure(404, "No Record found")

    def _write(self, number: str, fields: dict[str, str]) -> None:
        assert fields.keys() <= self.columns
        assert len(fields.get("short_description", "")) <= 160
        assert len(fields.get("description", "")) <= 4_000
        assert all(isinstance(value, str) for value in fields.values())
        if fields.get("state") == "8":
            assert fields["close_code"]
            assert fields["close_notes"]
        dropped = self.protected | ({"state"} if self.ignores_state else set())
        self.tickets[number] |= {name: value for name, value in fields.items() if name not in dropped}

    def _found(self, request: Request) -> list[dict[str, Any]]:
        conditions = [one.split("=", 1) for one in request.query["sysparm_query"][0].split("^")]
        rows = [one for one in self.tickets.values() if all(one.get(name) == value for name, value in conditions)]
        return [] if self.is_behind else rows[: int(request.query["sysparm_limit"][0])]


def _of(row: dict[str, Any], columns: list[str]) -> dict[str, Any]:
    return {name: row[name] for name in columns if name in row}


def _failure(status: int, message: str) -> Reply:
    return Reply(status, {"error": {"message": message, "detail": LEAK}, "status": "failure"})


class TheHiveServer(TicketServer):
    organisation: str | None = None

    def is_effect(self, request: Request) -> bool:
        return request.path.startswith("/api/v1/case") and request.method in ("POST", "PATCH")

    def close_by_hand(self) -> None:
        self.newest.update(status="TruePositive", stage="Closed")

    def texts(self) -> tuple[str, str]:
        return self.newest["title"], self.newest["description"]

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {SECRET}":
            return Reply(401, {"type": "AuthenticationError", "message": LEAK})
        if request.headers.get("x-organisation") != self.organisation:
            return Reply(403, {"type": "AuthorizationError", "message": LEAK})
        match request.method, request.segments[2:]:
            case "POST", ["query"]:
                listed, chosen, page = request.json["query"]
                assert listed == {"_name": "listCase"}
                assert (chosen["_name"], chosen["_field"], page["_name"]) == ("filter", "tags", "page")
                found = [one for one in self.tickets.values() if chosen["_value"] in one["tags"] and not self.is_behind]
                return Reply(200, found[page["from"] : page["to"]])
            case "POST", ["case"]:
                return self._create(request.json)
            case "GET", ["case", number] if number in self.tickets:
                return Reply(200, self.tickets[number])
            case "PATCH", ["case", number] if number in self.tickets:
                if not self.may_write:
                    return Reply(403, {"type": "AuthorizationError", "message": LEAK})
                assert set(request.json) == {"status", "impactStatus", "summary"}
                stages = {"New": "New", "InProgress": "InProgress"}
                status = request.json["status"]
                self.tickets[number].update(request.json, stage=stages.get(status, "Closed"))
                return Reply(204)
        return Reply(404, {"type": "NotFoundError", "message": LEAK})

    def _create(self, asked: dict[str, Any]) -> Reply:
        if not self.may_write:
            return Reply(403, {"type": "AuthorizationError", "message": LEAK})
        is_right = 0 < len(asked["title"]) <= 512 and asked["description"] and asked["severity"] in (1, 2, 3, 4)
        if not is_right:
            return Reply(400, {"type": "BadRequest", "message": LEAK})
        number = f"~{4_096 * (len(self.tickets) + 1)}"
        self.tickets[number] = {
            **asked, "_id": number, "_type": "Case", "_createdBy": "wf@corp", "number": len(self.tickets) + 1,
            "status": "New", "stage": "New",
        }  # fmt: skip
        return Reply(201, self.tickets[number])
