"""Amazon's EC2 and IAM: moto's, behind a door that verifies who asks and what they may.

Signatures are verified with the SDK's own code (Signature Version 4), permissions are those of actions, and errors are
those of https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html and of IAM's API reference. What
requests do is moto's word (https://docs.getmoto.org), with one correction: there an attached interface keeps the groups
that its instance was started with, where Amazon's replaces them (ModifyNetworkInterfaceAttribute).
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qs

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from werkzeug.test import Client

from tests.connectors.vendor_server import LEAK, SECRET, Reply, Request, Vendor

# Hundreds of images of machines, which no test starts.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

ACCESS_KEY, REGION = "AKIAIOSFODNN7EXAMPLE", "eu-west-1"
CHANGES = frozenset({"ModifyNetworkInterfaceAttribute", "UpdateAccessKey", "PutRolePolicy", "DeleteRolePolicy"})


class Amazon(Vendor):
    def __init__(self) -> None:
        super().__init__()
        self.denied: frozenset[str] = frozenset()
        """Actions that no policy allows, such as ``ec2:CreateTags``."""
        self._clients: dict[str, Any] = {}
        self._vpc = ""
        self._moto = Client(DomainDispatcherApplication(create_backend_app))
        self.reset()

    def reset(self) -> None:
        """As new, at the same place."""
        self.asked.clear()
        self.fault, self.is_lossy, self.denied, self._vpc = None, False, frozenset(), ""
        for service in ("ec2", "iam"):
            get_backend(service).reset()

    # Any: the SDK makes its clients from data.
    def client(self, service: str) -> Any:
        if service not in self._clients:
            keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET}
            self._clients[service] = boto3.client(service, region_name=REGION, endpoint_url=self.url, **keys)
        return self._clients[service]

    def start(self, *group_names: str, interfaces: int = 1) -> str:
        """An instance in the default VPC, each of its interfaces in all the groups."""
        ec2 = self.client("ec2")
        groups = [self.group(name) for name in group_names]
        subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        asked = [{"DeviceIndex": n, "SubnetId": subnet, "Groups": groups} for n in range(interfaces)]
        started = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, NetworkInterfaces=asked)
        instance: str = started["Instances"][0]["InstanceId"]
        # The correction: from here on the interfaces' own groups are all that there are.
        backend = get_backend("ec2")[DEFAULT_ACCOUNT_ID][REGION]
        backend.get_instance(instance).security_groups = []
        for one in self.interfaces(instance):
            ec2.modify_network_interface_attribute(NetworkInterfaceId=one["NetworkInterfaceId"], Groups=groups)
        return instance

    def group(self, name: str) -> str:
        ec2 = self.client("ec2")
        found = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}])["SecurityGroups"]
        if found:
            id_: str = found[0]["GroupId"]
        else:
            id_ = ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)["GroupId"]
        return id_

    @property
    def vpc(self) -> str:
        if not self._vpc:
            self._vpc = self.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
        return self._vpc

    def interfaces(self, instance: str) -> list[dict[str, Any]]:
        asked = [{"Name": "attachment.instance-id", "Values": [instance]}]
        found: list[dict[str, Any]] = self.client("ec2").describe_network_interfaces(Filters=asked)["NetworkInterfaces"]
        return found

    def groups(self, instance: str) -> list[list[str]]:
        return [sorted(one["GroupName"] for one in each["Groups"]) for each in self.interfaces(instance)]

    def is_effect(self, request: Request) -> bool:
        return _action(request) in CHANGES

    def refusal(self, status: int) -> Reply:
        code = {401: "AuthFailure", 403: "UnauthorizedOperation", 400: "InvalidParameterValue", 429: "Throttling"}
        return _error("ec2" if status != 429 else "iam", status, code.get(status, "InternalError"))

    def answer(self, request: Request) -> Reply:
        method, _, told = request.headers["authorization"].partition(" ")
        given = dict(part.strip().split("=", 1) for part in told.split(","))
        key, _, region, service, _ = given["Credential"].split("/")
        assert method == "AWS4-HMAC-SHA256"
        if key != ACCESS_KEY:
            return _error(
                service, 403 if service == "iam" else 401, "InvalidClientTokenId" if service == "iam" else "AuthFailure"
            )
        if given["Signature"] != self._signature(request, given["SignedHeaders"].split(";"), service, region):
            return _error(service, 403, "SignatureDoesNotMatch")
        if f"{service}:{_action(request)}" in self.denied:
            return _error(service, 403, "UnauthorizedOperation" if service == "ec2" else "AccessDenied")
        done = self._moto.open(
            request.path, base_url=self.url, method=request.method, headers=dict(request.headers), data=request.body
        )
        return Reply(done.status_code, done.data, {"Content-Type": "text/xml"})

    def _signature(self, request: Request, signed: list[str], service: str, region: str) -> str:
        auth = SigV4Auth(Credentials(ACCESS_KEY, SECRET), service, region)
        headers = {name: request.headers[name] for name in signed}
        asked = AWSRequest(request.method, f"{self.url}{request.path}", headers=headers, data=request.body)
        asked.context["timestamp"] = request.headers["x-amz-date"]
        signature: str = auth.signature(auth.string_to_sign(asked, auth.canonical_request(asked)), asked)
        return signature


def _action(request: Request) -> str:
    return parse_qs(request.body.decode())["Action"][0]


def _error(service: str, status: int, code: str) -> Reply:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{LEAK}</Message></Error>"
    body = f"<Response><Errors>{error}</Errors><RequestID>0</RequestID></Response>"
    if service == "iam":
        space = "https://iam.amazonaws.com/doc/2010-05-08/"
        body = f'<ErrorResponse xmlns="{space}">{error}<RequestId>0</RequestId></ErrorResponse>'
    return Reply(status, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode(), {"Content-Type": "text/xml"})
