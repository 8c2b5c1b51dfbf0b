"""Two firewalls in memory that speak their vendors' APIs.

PAN-OS: *PAN-OS XML API* of https://docs.paloaltonetworks.com/pan-os (User-ID messages, operational commands, error
codes) and https://github.com/PaloAltoNetworks/pan-os-python (``panos/userid.py``). pfSense: https://pfrest.org (control
parameters, object ids) and the models FirewallAlias, FirewallApply and Table of the package.
"""

from __future__ import annotations

from abc import abstractmethod
from ipaddress import ip_address
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from tests.connectors.vendor_server import LEAK, SECRET, Reply, Request, Vendor


class FirewallServer(Vendor):
    @abstractmethod
    def deny_by_hand(self, address: str) -> None: ...

    @abstractmethod
    def is_denied(self, address: str) -> bool:
        """Whether traffic of the address is dropped."""


class PanosServer(FirewallServer):
    group_tag = "watchfloor-block"

    def __init__(self) -> None:
        super().__init__()
        self.registered: dict[str, set[str]] = {}
        self.rights = {"op", "user-id"}
        self.takes_only: set[str] | None = None
        """Tags that it registers; the rest is answered with an error, as for duplicates."""

    def is_effect(self, request: Request) -> bool:
        return request.query.get("type") == ["user-id"]

    def deny_by_hand(self, address: str) -> None:
        self.registered.setdefault(address, set()).add(self.group_tag)

    def is_denied(self, address: str) -> bool:
        return self.group_tag in self.registered.get(address, set())

    def answer(self, request: Request) -> Reply:
        assert request.path == "/api/"
        kind, command = request.query["type"][0], fromstring(request.query["cmd"][0])  # noqa: S314 - of our own tool
        if request.headers.get("x-pan-key") != SECRET:
            return Reply(403, _error("403", "Invalid Credential"))
        if kind not in self.rights:
            return Reply(200, _error("16", "Unauthorized request"))
        if request.query["vsys"] != ["vsys1"]:
            return Reply(200, _error("17", "vsys is invalid"))
        return self._shown(command) if kind == "op" else self._updated(command)

    def _shown(self, command: Element) -> Reply:
        wanted = command.find("./object/registered-ip/ip")
        if command.tag != "show" or wanted is None or not wanted.text:
            return Reply(200, _error("17", "show is unexpected"))
        response = Element("response", {"status": "success"})
        result = SubElement(response, "result")
        tags = self.registered.get(wanted.text, set())
        if tags:
            entry = SubElement(result, "entry", {"ip": wanted.text, "from_agent": "0", "persistent": "1"})
            listed = SubElement(entry, "tag")
            for tag in sorted(tags):
                SubElement(listed, "member").text = tag
        SubElement(result, "count").text = str(int(bool(tags)))
        return Reply(200, tostring(response))

    def _updated(self, command: Element) -> Reply:
        assert (command.tag, command.findtext("type")) == ("uid-message", "update")
        (part,) = list(command.find("payload") or ())
        problems = []
        for entry in part:
            address = str(ip_address(entry.attrib["ip"]))
            tags = self.registered.setdefault(address, set())
            for member in entry.iterfind("./tag/member"):
                tag = member.text or ""
                assert 0 < len(tag) <= 127
                if part.tag == "register" and (
                    tag in tags or (self.takes_only is not None and tag not in self.takes_only)
                ):
                    problems.append(f"tag {tag} already exists, ignore")
                elif part.tag == "register":
                    assert member.get("timeout") == "0"
                    tags.add(tag)
                elif tag not in tags:
                    problems.append(f"tag {tag} does not exist, ignore unreg")
                else:
                    tags.discard(tag)
        if not problems:
            return Reply(200, b'<response status="success"><result><![CDATA[<uid-response/>]]></result></response>')
        lines = "".join(f'<entry message="{one} {LEAK}"/>' for one in problems)
        told = f'<response status="error"><msg><line><uid-response>{lines}</uid-response></line></msg></response>'
        return Reply(200, told.encode())


def _error(code: str, text: str) -> bytes:
    told = f'<response status="error" code="{code}"><result><msg>{text} {LEAK}</msg></result></response>'
    return told.encode()


class PfsenseServer(FirewallServer):
    alias = "watchfloor_blocked"

    def __init__(self) -> None:
        super().__init__()
        self.aliases: list[dict[str, Any]] = [
            _alias("admins", "10.0.0.5"),
            _alias(self.alias, "198.51.100.7", "bad.example"),
        ]
        self.tables = {self.alias: ["198.51.100.7", "198.51.100.8"]}
        self.rights = {
            "firewall-aliases-get",
            "firewall-alias-patch",
            "firewall-apply-get",
            "firewall-apply-post",
            "diagnostics-table-get",
        }
        self.applies_after = 0
        """Looks at the pending changes until they are applied."""
        self.is_stuck = False
        self._pending: int | None = None

    def is_effect(self, request: Request) -> bool:
        return request.method == "PATCH"

    def deny_by_hand(self, address: str) -> None:
        entry = self._named(self.alias)
        entry["address"].append(address)
        entry["detail"].append("by hand")
        self.tables[self.alias].append(address)

    def is_denied(self, address: str) -> bool:
        return address in self.tables.get(self.alias, [])

    def answer(self, request: Request) -> Reply:
        if request.headers.get("x-api-key") != SECRET:
            return _told(401, "AUTH_AUTHENTICATION_FAILED")
        right = f"{'-'.join(request.segments[2:])}-{request.method.lower()}"
        if right not in self.rights:
            return _told(403, "ENDPOINT_CLIENT_NOT_ALLOWED_BY_ACL")
        match right:
            case "firewall-aliases-get":
                (name,) = request.query["name"]
                found = [{"id": place, **one} for place, one in enumerate(self.aliases) if one["name"] == name]
                return _told(200, "SUCCESS", found)
            case "firewall-alias-patch":
                return self._patched(request.json)
            case "firewall-apply-post":
                assert request.json == {}
                self._pending = self.applies_after
                self._look()
                return _told(200, "SUCCESS", self._status())
            case "firewall-apply-get":
                self._look()
                return _told(200, "SUCCESS", self._status())
            case _:
                (table,) = request.query["id"]
                if table not in self.tables:
                    return _told(404, "MODEL_OBJECT_NOT_FOUND")
                return _told(200, "SUCCESS", {"id": table, "entries": self.tables[table]})

    def _look(self) -> None:
        if self._pending is None or self.is_stuck:
            return
        if self._pending > 0:
            self._pending -= 1
            return
        self._pending = None
        for name in self.tables:
            entries = [one for one in self._named(name)["address"] if one != "bad.example"]
            # A name stands in the table by its address.
            self.tables[name] = [*entries, "198.51.100.8"]

    def _status(self) -> dict[str, Any]:
        pending = self._pending is not None
        return {"applied": not pending, "pending_subsystems": ["aliases"] if pending else []}

    def _patched(self, asked: dict[str, Any]) -> Reply:
        entry = self.aliases[asked["id"]]
        if entry["type"] == "host" and not all(_is_address(one) for one in asked["address"]):
            return _told(400, "INVALID_HOST_ALIAS_ADDRESS")
        for name in ("address", "detail"):
            if asked.get("append"):
                entry[name] = [*entry[name], *asked[name]]
            elif asked.get("remove"):
                entry[name] = [one for one in entry[name] if one not in asked[name]]
            else:
                entry[name] = list(asked[name])
        return _told(200, "SUCCESS", {"id": asked["id"], **entry})

    def _named(self, name: str) -> dict[str, Any]:
        return next(one for one in self.aliases if one["name"] == name)


def _alias(name: str, *addresses: str) -> dict[str, Any]:
    detail = [f"Entry added {number}" for number in range(len(addresses))]
    return {"name": name, "type": "host", "descr": LEAK, "address": list(addresses), "detail": detail}


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _told(code: int, response_id: str, data: object = None) -> Reply:
    status = "ok" if code == 200 else "error"
    told = {
        "code": code,
        "status": status,
        "response_id": response_id,
        "message": LEAK,
        "data": data or [],
        "_links": {},
    }
    return Reply(code, told)
