"""Velociraptor's API server, as far as a tool uses it: a real gRPC server with certificates on both sides.

Messages: ``api.proto`` of https://github.com/Velocidex/pyvelociraptor. What each plug-in and function does without a
permission, and which columns it gives, follows https://docs.velociraptor.app/vql_reference/ and the server's own
sources (``vql/server/clients``, ``vql/server/flows``). It does not run VQL: it knows the queries by the functions in
them, and takes values from the environment alone. What clients report is that of Windows.Remediation.Quarantine and of
Linux.Remediation.Quarantine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml
from cryptography import x509

from tests.connectors.directory_server import make_certificates
from watchfloor_connectors.targets import velociraptor_api

LEAK = "attacker-wrote-this"
_READS = ("clients", "flows", "source")


@dataclass
class Host:
    """A computer with a client."""

    client_id: str
    hostname: str
    system: str = "windows"
    is_online: bool = True
    is_cut_off: bool = False
    loses_server: bool = False
    """Its quarantine would cut the server off too, and is taken back."""
    labels: list[str] = field(default_factory=list)
    flows: list[dict[str, Any]] = field(default_factory=list)


class VelociraptorServer:
    def __init__(self) -> None:
        self.rights = {"ANY_QUERY", "READ_RESULTS", "COLLECT_CLIENT", "LABEL_CLIENT"}
        self.hosts = [Host("C.0123456789abcdef", "ws-17"), Host("C.1111111111111111", "web-1", "linux"),
                      Host("C.2222222222222222", "mac-1", "darwin"), Host("C.3333333333333333", "ws-170"),
                      Host("C.4444444444444444", "twin"), Host("C.5555555555555555", "twin")]  # fmt: skip
        self.asked: list[str] = []
        self.collected: list[tuple[str, str, dict[str, str]]] = []
        self.fault: Callable[[str], None] | None = None
        self.says: str | None = None
        """Every answer, instead."""
        self.orgs: list[str] = []

    def host(self, name: str) -> Host:
        return next(one for one in self.hosts if name in (one.client_id, one.hostname))

    def come_online(self, name: str) -> None:
        host = self.host(name)
        host.is_online = True
        for flow in host.flows:
            if flow["state"] == "RUNNING":
                self._run(host, flow)

    def query(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        (asked,) = request.Query
        env = {one.key: one.value for one in request.env}
        vql = " ".join(asked.VQL.split())
        assert not any(value and value in vql for value in env.values()), "a value stands in the query"
        self.asked.append(vql)
        self.orgs.append(request.org_id)
        if "ANY_QUERY" not in self.rights:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, LEAK)
        rows = self._rows(vql, env)
        if self.fault is not None:
            self.fault(vql)
        yield velociraptor_api._RESPONSE(log=LEAK)
        yield velociraptor_api._RESPONSE(Response=json.dumps(rows) if self.says is None else self.says)

    def _rows(self, vql: str, env: dict[str, str]) -> list[dict[str, Any]]:
        if any(f"FROM {name}(" in vql for name in _READS) and "READ_RESULTS" not in self.rights:
            return []
        if "collect_client(" in vql:
            return [{"flow": self._collect(vql, env)}]
        if "label(" in vql:
            return [{"done": self._label(vql, env)}]
        if "FROM clients(" in vql:
            return [_client(one) for one in self._found(vql, env)]
        host = self.host(env["WfClient"])
        if "FROM flows(" in vql and "flow_id=WfFlow" in vql:
            return [_flow(one) for one in host.flows if one["id"] == env["WfFlow"]]
        if "FROM flows(" in vql:
            assert "ORDER BY create_time DESC LIMIT 1" in vql
            return [_flow(one) for one in reversed(host.flows) if one["artifact"] == env["WfArtifact"]][:1]
        if "FROM source(" in vql:
            (flow,) = [one for one in host.flows if one["id"] == env["WfFlow"] and one["artifact"] == env["WfArtifact"]]
            rows: list[dict[str, Any]] = flow["rows"]
            return rows
        raise AssertionError(vql)

    def _found(self, vql: str, env: dict[str, str]) -> list[Host]:
        if "client_id=WfClient" in vql:
            return [one for one in self.hosts if one.client_id == env["WfClient"]]
        kind, _, name = env["WfSearch"].partition(":")
        assert kind == "host"
        return [one for one in self.hosts if f"{one.hostname}.corp.example".startswith(name)]

    def _label(self, vql: str, env: dict[str, str]) -> bool | None:
        if "LABEL_CLIENT" not in self.rights:
            return None
        labels = self.host(env["WfClient"]).labels
        if "op='set'" in vql and env["WfLabel"] not in labels:
            labels.append(env["WfLabel"])
        elif "op='remove'" in vql and env["WfLabel"] in labels:
            labels.remove(env["WfLabel"])
        return True

    def _collect(self, vql: str, env: dict[str, str]) -> dict[str, Any] | None:
        if "COLLECT_CLIENT" not in self.rights:
            return None
        host = self.host(env["WfClient"])
        given = (
            dict(re.findall(r"(\w+)='(\w+)'", match[1])) if (match := re.search(r"env=dict\(([^)]*)\)", vql)) else {}
        )
        self.collected.append((host.hostname, env["WfArtifact"], given))
        flow: dict[str, Any] = {"id": f"F.{len(self.collected):013d}", "artifact": env["WfArtifact"], "env": given,
                                "state": "RUNNING", "rows": [], "at": len(self.collected)}  # fmt: skip
        host.flows.append(flow)
        if host.is_online:
            self._run(host, flow)
        return {"flow_id": flow["id"], "request": {"client_id": host.client_id, "artifacts": [env["WfArtifact"]]}}

    def _run(self, host: Host, flow: dict[str, Any]) -> None:
        flow["state"] = "FINISHED"
        if "Quarantine" not in flow["artifact"]:
            flow["rows"] = [
                {"Pid": 7, "Name": "evil.exe", "CommandLine": LEAK},
                {"Pid": 8, "Name": "x", "Mem": {"a": 1}},
            ]
            return
        name = "VelociraptorQuarantine" if host.system == "windows" else "vrr_quarantine_table"
        if flow["env"].get("RemovePolicy") == "Y":
            host.is_cut_off = False
            said = [f"{name} IPSec policy removed." if host.system == "windows" else f"{name} table removed."]
        else:
            host.is_cut_off = not host.loses_server
            end = (
                "failed connection test. Removing IPSec policy." if host.loses_server else "connection test successful."
            )
            said = [f"{name} IPSec policy removed.", f"{name} created.", f"{name} {end}"]
        flow["rows"] = [{"Time": "2026-11-28T00:00:00Z", "Result": one} for one in said]


def _client(host: Host) -> dict[str, Any]:
    return {
        "client_id": host.client_id, "hostname": host.hostname, "fqdn": f"{host.hostname}.corp.example",
        "system": host.system, "labels": list(host.labels),
    }  # fmt: skip


def _flow(flow: dict[str, Any]) -> dict[str, Any]:
    return {"session_id": flow["id"], "state": flow["state"], "create_time": flow["at"]}


@contextmanager
def served(server: VelociraptorServer, folder: Path) -> Iterator[dict[str, str]]:
    """What ``velociraptor config api_client`` would write."""
    ours = make_certificates(folder / "server", x509.DNSName("VelociraptorServer"))
    theirs = make_certificates(folder / "client", x509.DNSName("watchfloor"))
    handlers = {
        "Query": grpc.unary_stream_rpc_method_handler(
            server.query, velociraptor_api._REQUEST.FromString, velociraptor_api._RESPONSE.SerializeToString
        )
    }
    running = grpc.server(ThreadPoolExecutor(max_workers=4))
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("proto.API", handlers),))
    credentials = grpc.ssl_server_credentials(
        [(ours.key.read_bytes(), ours.certificate.read_bytes())], theirs.ca.read_bytes(), require_client_auth=True
    )
    port = running.add_secure_port("127.0.0.1:0", credentials)
    running.start()
    try:
        yield {
            "name": "watchfloor",
            "ca_certificate": ours.ca.read_text(),
            "client_cert": theirs.certificate.read_text(),
            "client_private_key": theirs.key.read_text(),
            "api_connection_string": f"127.0.0.1:{port}",
        }
    finally:
        running.stop(None).wait()


def write_config(folder: Path, config: dict[str, str]) -> str:
    """A reference to the file, as ``targets.yaml`` has it."""
    file = folder / "api.config.yaml"
    file.write_text(yaml.safe_dump(config))
    file.chmod(0o600)
    return f"file:{file}"
