"""Amazon Web Services as a tool: the real SDK over HTTP, against moto's EC2 and IAM."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.connectors.aws_server import ACCESS_KEY, REGION, Amazon
from tests.connectors.vendor_server import (
    FAST,
    FAULTS,
    LEAK,
    SECRET,
    Reply,
    TestClock,
    check_fault,
    patient,
    secret_file,
    served,
)
from watchfloor_connectors.targets.aws import AmazonWebServices, AwsOptions
from watchfloor_connectors.targets.base import BadTargetError, NeverError, Slot
from watchfloor_connectors.targets.registry import load_targets
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import ConfigurationError, NotFoundError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import CATALOGUE, TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError

Key = Callable[[str], str]
Make = Callable[..., AmazonWebServices]
WEAKER = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@pytest.fixture(scope="module")
def running() -> Iterator[Amazon]:
    vendor = Amazon()
    with served(vendor):
        yield vendor


@pytest.fixture
def amazon(running: Amazon) -> Amazon:
    running.reset()
    return running


@pytest.fixture
def make(amazon: Amazon, slot: Slot, tmp_path: Path) -> Make:
    def made(**options: object) -> AmazonWebServices:
        given: dict[str, object] = {
            "region": REGION,
            "endpoint_url": amazon.url,
            "access_key_id": ACCESS_KEY,
            "secret_access_key": secret_file(tmp_path),
            "isolation_groups": {amazon.vpc: amazon.group("isolation")},
        }
        made_ = AmazonWebServices(slot, patient(AwsOptions.model_validate({**given, **options})), TestClock(FAST))
        amazon.asked.clear()
        return made_

    return made


@pytest.fixture
def tool(make: Make) -> AmazonWebServices:
    return make()


@pytest.fixture
def instance(amazon: Amazon) -> str:
    return amazon.start("web", "admin", interfaces=2)


@pytest.fixture
def access_key(amazon: Amazon) -> str:
    iam = amazon.client("iam")
    iam.create_user(UserName="ann")
    made: str = iam.create_access_key(UserName="ann")["AccessKey"]["AccessKeyId"]
    return made


@pytest.fixture
def role(amazon: Amazon) -> str:
    policy = {"Version": "2012-10-17", "Statement": []}
    amazon.client("iam").create_role(RoleName="Deploy", AssumeRolePolicyDocument=json.dumps(policy))
    return "Deploy"


def action(action_class: str, value: str) -> Action:
    return Action(action_class, "tool", Target(CATALOGUE[action_class].target, value), {})


def status_of(amazon: Amazon, access_key: str) -> str:
    keys = amazon.client("iam").list_access_keys(UserName="ann")["AccessKeyMetadata"]
    found: str = next(one["Status"] for one in keys if one["AccessKeyId"] == access_key)
    return found


def test_instances_keys_and_roles_keep_the_contract_of_tools(
    make: Make, amazon: Amazon, permit_for: PermitFor, instance: str, access_key: str, role: str
) -> None:
    single, other = amazon.start("web"), amazon.start("web")
    amazon.client("iam").create_role(RoleName="Never", AssumeRolePolicyDocument="{}")
    tool = make(never=[other, "Never"])
    samples = [
        Sample("contain instance", Target(TargetKind.INSTANCE, instance)),
        Sample("contain instance", Target(TargetKind.INSTANCE, single)),
        Sample("disable key", Target(TargetKind.KEY, access_key)),
        Sample("deny role", Target(TargetKind.ROLE, role)),
    ]
    check_target(tool, samples, permit_for, [Target(TargetKind.INSTANCE, other), Target(TargetKind.ROLE, "Never")])
    assert amazon.groups(instance) == [["admin", "web"]] * 2
    assert [one["TagSet"] for one in amazon.interfaces(instance)] == [[], []]
    assert amazon.client("iam").list_user_tags(UserName="ann")["Tags"] == []
    assert amazon.client("iam").list_role_policies(RoleName=role)["PolicyNames"] == []


def test_each_interface_of_an_instance_is_isolated_and_remembers_its_groups(
    tool: AmazonWebServices, amazon: Amazon, permit_for: PermitFor, key: Key, instance: str
) -> None:
    tool.act(permit_for(action("contain instance", instance), key("a")))
    assert amazon.groups(instance) == [["isolation"]] * 2
    tags = {one["Key"]: one["Value"] for one in amazon.interfaces(instance)[1]["TagSet"]}
    assert tags["watchfloor:key"] == f"wf:{key('a')}"
    assert sorted(tags["watchfloor:groups"].split()) == sorted([amazon.group("web"), amazon.group("admin")])
    back = tool.read_back(action("contain instance", instance), key("a"))
    assert (back.effect, back.text.partition(",")[0]) == (
        Effect.APPLIED,
        f"2 of 2 network interfaces of {instance} are isolated",
    )
    assert tool.read_back(action("contain instance", instance), key("b")).effect is Effect.NOT_APPLIED
    with pytest.raises(NotDoneError, match=key("a")):
        tool.act(permit_for(action("contain instance", instance), key("b")))


def test_an_instance_that_is_isolated_in_part_is_neither(
    tool: AmazonWebServices, amazon: Amazon, permit_for: PermitFor, key: Key, instance: str
) -> None:
    seen: list[int] = []

    def second_fails(request: object) -> Reply | None:
        if b"Action=ModifyNetworkInterfaceAttribute" in getattr(request, "body", b""):
            seen.append(1)
            return amazon.refusal(400) if len(seen) == 2 else None
        return None

    amazon.fault = second_fails
    with pytest.raises(UnavailableError) as found:
        tool.act(permit_for(action("contain instance", instance), key("a")))
    assert not isinstance(found.value, NotDoneError)
    amazon.fault = None
    assert tool.read_back(action("contain instance", instance), key("a")).effect is Effect.UNKNOWN
    tool.act(permit_for(action("restore instance", instance), key("b")))
    assert amazon.groups(instance) == [["admin", "web"]] * 2
    assert tool.read_back(action("restore instance", instance), key("b")).effect is Effect.APPLIED


def test_groups_that_another_hand_wrote_into_the_tags_are_not_taken(
    tool: AmazonWebServices, amazon: Amazon, permit_for: PermitFor, key: Key, instance: str
) -> None:
    tool.act(permit_for(action("contain instance", instance), key("a")))
    forged = [{"Key": "watchfloor:groups", "Value": amazon.group("open-to-the-world")}]
    interface = amazon.interfaces(instance)[0]["NetworkInterfaceId"]
    amazon.client("ec2").create_tags(Resources=[interface], Tags=forged)
    with pytest.raises(NotDoneError, match="do not name the groups"):
        tool.act(permit_for(action("restore instance", instance), key("b")))
    assert amazon.groups(instance) == [["isolation"]] * 2


def test_a_mark_that_another_hand_set_keeps_nobody_from_isolating(
    tool: AmazonWebServices, amazon: Amazon, permit_for: PermitFor, key: Key, instance: str
) -> None:
    forged = [{"Key": "watchfloor:key", "Value": f"wf:{key('forged')}"}]
    interface = amazon.interfaces(instance)[0]["NetworkInterfaceId"]
    amazon.client("ec2").create_tags(Resources=[interface], Tags=forged)
    with pytest.raises(NotDoneError, match="is isolated with a mark"):
        tool.act(permit_for(action("restore instance", instance), key("a")))
    tool.act(permit_for(action("contain instance", instance), key("a")))
    assert tool.read_back(action("contain instance", instance), key("a")).effect is Effect.APPLIED


def test_on_another_machine_the_tags_suffice(
    tool: AmazonWebServices, amazon: Amazon, permit_for: PermitFor, key: Key, instance: str, slot: Slot, tmp_path: Path
) -> None:
    tool.act(permit_for(action("contain instance", instance), key("a")))
    elsewhere = AmazonWebServices(replace(slot, data_dir=tmp_path / "other"), tool.options, TestClock(FAST))
    elsewhere.act(permit_for(action("restore instance", instance), key("b")))
    assert amazon.groups(instance) == [["admin", "web"]] * 2


def test_what_another_hand_did_is_left_to_it(
    tool: AmazonWebServices, amazon: Amazon, permit_for: PermitFor, key: Key, access_key: str, role: str
) -> None:
    isolated = amazon.start("isolation")
    iam = amazon.client("iam")
    iam.update_access_key(UserName="ann", AccessKeyId=access_key, Status="Inactive")
    iam.put_role_policy(RoleName=role, PolicyName="AWSRevokeOlderSessions", PolicyDocument=json.dumps(WEAKER))
    for name, value, said in (
        ("contain instance", isolated, "by another hand"),
        ("restore instance", isolated, "no network interface is isolated with a mark"),
        ("disable key", access_key, "by another hand"),
        ("enable key", access_key, "by another hand"),
        ("allow role", role, "others have put there stays"),
    ):
        with pytest.raises(NotDoneError, match=said):
            tool.act(permit_for(action(name, value), key("a")))
    assert tool.read_back(action("contain instance", isolated), key("a")).effect is Effect.NOT_APPLIED
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["AWSRevokeOlderSessions"]


def test_without_an_isolation_group_of_its_vpc_an_instance_is_left_alone(
    make: Make, amazon: Amazon, permit_for: PermitFor, key: Key, instance: str
) -> None:
    tool = make(isolation_groups={})
    with pytest.raises(NotDoneError, match="isolation_groups"):
        tool.act(permit_for(action("contain instance", instance), key("a")))
    assert [one["TagSet"] for one in amazon.interfaces(instance)] == [[], []]


def test_an_access_key_bears_the_mark_in_a_tag_of_its_user(
    tool: AmazonWebServices, amazon: Amazon, permit_for: PermitFor, key: Key, access_key: str
) -> None:
    tool.act(permit_for(action("disable key", access_key), key("a")))
    tags = amazon.client("iam").list_user_tags(UserName="ann")["Tags"]
    assert tags == [{"Key": f"watchfloor:{access_key}", "Value": f"wf:{key('a')}"}]
    back = tool.read_back(action("disable key", access_key), key("a"))
    assert (back.effect, status_of(amazon, access_key)) == (Effect.APPLIED, "Inactive")
    tool.act(permit_for(action("enable key", access_key), key("b")))
    assert status_of(amazon, access_key) == "Active"
    with pytest.raises(NotDoneError, match="is active"):
        tool.act(permit_for(action("enable key", access_key), key("c")))


def test_a_role_is_denied_what_was_assumed_before_and_nothing_after(
    tool: AmazonWebServices, amazon: Amazon, permit_for: PermitFor, key: Key, role: str
) -> None:
    tool.act(permit_for(action("deny role", role), key("a")))
    iam = amazon.client("iam")
    (statement,) = iam.get_role_policy(RoleName=role, PolicyName=f"wf-{key('a')}")["PolicyDocument"]["Statement"]
    assert set(statement.pop("Condition")["DateLessThan"]) == {"aws:TokenIssueTime"}
    assert statement == {"Effect": "Deny", "Action": "*", "Resource": "*"}
    assert tool.read_back(action("deny role", role), key("a")).effect is Effect.APPLIED
    with pytest.raises(NotDoneError, match=key("a")):
        tool.act(permit_for(action("deny role", role), key("b")))
    iam.put_role_policy(RoleName=role, PolicyName=f"wf-{key('a')}", PolicyDocument=json.dumps(WEAKER))
    assert tool.read_back(action("deny role", role), key("a")).effect is Effect.NOT_APPLIED
    tool.act(permit_for(action("allow role", role), key("b")))
    assert tool.read_back(action("allow role", role), key("b")).effect is Effect.APPLIED


def test_what_is_never_touched_can_be_given_back_where_we_hold_it(
    tool: AmazonWebServices, make: Make, amazon: Amazon, permit_for: PermitFor, key: Key, instance: str, role: str,
    access_key: str,
) -> None:  # fmt: skip
    held = {"instance": instance, "key": access_key, "role": role}
    classes = {"instance": ("contain", "restore"), "key": ("disable", "enable"), "role": ("deny", "allow")}
    for kind, value in held.items():
        tool.act(permit_for(action(f"{classes[kind][0]} {kind}", value), key("a")))
    later = make(never=list(held.values()))
    for kind, value in held.items():
        undo = action(f"{classes[kind][1]} {kind}", value)
        later.act(permit_for(undo, key("b")))
        assert later.read_back(undo, key("b")).effect is Effect.APPLIED
        with pytest.raises(NeverError):
            later.act(permit_for(action(f"{classes[kind][0]} {kind}", value), key("c")))
    assert (amazon.groups(instance)[0], status_of(amazon, access_key)) == (["admin", "web"], "Active")


def test_its_own_access_key_is_never_touched(tool: AmazonWebServices, amazon: Amazon, make: Make) -> None:
    own = make(access_key_id=ACCESS_KEY)
    iam = amazon.client("iam")
    iam.create_user(UserName="ann")
    given: str = iam.create_access_key(UserName="ann")["AccessKey"]["AccessKeyId"]
    protected = AmazonWebServices(own.slot, own.options.model_copy(update={"never": (given,)}), TestClock(FAST))
    with pytest.raises(NeverError):
        protected.read_state(Target(TargetKind.KEY, given))
    assert ACCESS_KEY in vars(tool)["_never"]


@pytest.mark.parametrize("fault", [one for one in FAULTS if one not in ("no connection", "too often")])
@pytest.mark.parametrize("kind", ["instance", "key", "role"])
def test_what_goes_wrong_is_told_for_what_it_is(
    tool: AmazonWebServices, amazon: Amazon, permit_for: PermitFor, key: Key, kind: str, fault: str,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    if kind == "instance":
        # With several, a loss leaves it isolated in part, which is a test of its own.
        value = amazon.start("web")
    else:
        value = request.getfixturevalue({"key": "access_key", "role": "role"}[kind])
    name = {"instance": "contain instance", "key": "disable key", "role": "deny role"}[kind]
    amazon.asked.clear()
    check_fault(fault, amazon, tool, action(name, value), permit_for, key("a"))


def test_without_a_connection_nothing_is_done(make: Make, permit_for: PermitFor, key: Key) -> None:
    tool = make(endpoint_url="http://127.0.0.1:1")
    with pytest.raises(NotDoneError, match="EndpointConnectionError"):
        tool.act(permit_for(action("deny role", "Deploy"), key("a")))


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "Throttling"])
def test_a_request_that_is_one_too_many_was_not_carried_out(
    tool: AmazonWebServices, amazon: Amazon, permit_for: PermitFor, key: Key, instance: str, code: str
) -> None:
    body = f"<Response><Errors><Error><Code>{code}</Code><Message>{LEAK}</Message></Error></Errors></Response>"
    amazon.fault = lambda request: Reply(503, body.encode()) if amazon.is_effect(request) else None
    with pytest.raises(NotDoneError, match=code):
        tool.act(permit_for(action("contain instance", instance), key("a")))
    assert [one["TagSet"] for one in amazon.interfaces(instance)] == [[], []]


@pytest.mark.parametrize(
    ("permission", "name"),
    [
        ("ec2:DescribeNetworkInterfaces", "contain instance"),
        ("ec2:CreateTags", "contain instance"),
        ("ec2:ModifyNetworkInterfaceAttribute", "contain instance"),
        ("iam:GetAccessKeyLastUsed", "disable key"),
        ("iam:ListAccessKeys", "disable key"),
        ("iam:ListUserTags", "disable key"),
        ("iam:TagUser", "disable key"),
        ("iam:UpdateAccessKey", "disable key"),
        ("iam:GetRole", "deny role"),
        ("iam:ListRolePolicies", "deny role"),
        ("iam:PutRolePolicy", "deny role"),
    ],
)
def test_each_permission_is_needed(
    tool: AmazonWebServices, amazon: Amazon, permit_for: PermitFor, key: Key, permission: str, name: str,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    fixture = {"contain instance": "instance", "disable key": "access_key", "deny role": "role"}[name]
    value: str = request.getfixturevalue(fixture)
    amazon.denied = frozenset({permission})
    with pytest.raises(NotDoneError, match=f"status 403.*{permission}"):
        tool.act(permit_for(action(name, value), key("a")))
    amazon.denied = frozenset()
    match fixture:
        case "instance":
            assert amazon.groups(value) == [["admin", "web"]] * 2
        case "access_key":
            assert status_of(amazon, value) == "Active"
        case _:
            assert amazon.client("iam").list_role_policies(RoleName=value)["PolicyNames"] == []


def test_the_permissions_are_those_of_the_classes_that_it_may_do(tool: AmazonWebServices, slot: Slot) -> None:
    keys = AmazonWebServices(replace(slot, action_classes=frozenset({"disable key", "enable key"})), tool.options)
    assert all(one.startswith("iam:") and "Role" not in one for one in keys.least_privilege)
    assert len(tool.least_privilege) == 15


def test_a_secret_that_was_renewed_is_read_anew(
    make: Make, amazon: Amazon, permit_for: PermitFor, key: Key, role: str, tmp_path: Path
) -> None:
    tool = make()
    (tmp_path / "secret").write_text("an older one")
    with pytest.raises(NotDoneError, match="SignatureDoesNotMatch") as found:
        tool.act(permit_for(action("deny role", role), key("a")))
    assert "an older one" not in str(found.value)
    (tmp_path / "secret").write_text(SECRET)
    tool.act(permit_for(action("deny role", role), key("a")))


def test_keys_and_the_sdk_have_to_be_there_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"tool": "aws", "kind": "aws", "tenants": ["a"], "region": REGION, "access_key_id": ACCESS_KEY}
    (tmp_path / "targets.yaml").write_text(json.dumps({"targets": [entry]}))
    monkeypatch.setattr("watchfloor_connectors.targets.aws.is_installed", lambda: False)
    with pytest.raises(ConfigurationError) as found:
        load_targets(tmp_path / "targets.yaml", tmp_path)
    assert "go together" in str(found.value)
    assert "pip install 'watchfloor[aws]'" in str(found.value)


@pytest.mark.parametrize(
    "target",
    [Target(TargetKind.INSTANCE, "i-0123456789abcdef0"), Target(TargetKind.KEY, "AKIA0000000000000000"),
     Target(TargetKind.ROLE, "nobody")], ids=lambda one: one.kind.value,
)  # fmt: skip
def test_what_is_not_there_is_not_found(
    tool: AmazonWebServices, permit_for: PermitFor, key: Key, target: Target
) -> None:
    with pytest.raises(NotFoundError):
        tool.read_state(target)
    name = next(one for one, told in CATALOGUE.items() if told.target is target.kind)
    with pytest.raises(NotDoneError):
        tool.act(permit_for(Action(name, "tool", target, {}), key("a")))


@pytest.mark.parametrize("value", ["i-1", "i-0123456789ABCDEF0", "ASIAIOSFODNN7EXAMPLE", "AKIA"])
def test_what_is_no_id_is_never_asked_for(tool: AmazonWebServices, amazon: Amazon, value: str) -> None:
    for kind in (TargetKind.INSTANCE, TargetKind.KEY):
        with pytest.raises(BadTargetError):
            tool.read_state(Target(kind, value))
    assert amazon.asked == []


@pytest.mark.parametrize("value", ["a/b", "a%2Fb", "arn:aws:iam::123456789012:role/x", "-x", "a b", "x" * 65])
def test_what_is_no_name_of_a_role_is_never_asked_for(tool: AmazonWebServices, amazon: Amazon, value: str) -> None:
    with pytest.raises(BadTargetError):
        tool.read_state(Target(TargetKind.ROLE, value))
    assert amazon.asked == []
