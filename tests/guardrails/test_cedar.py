"""The operator's Cedar policies: what may be written, when one applies, and that none ever loosens an answer."""

from __future__ import annotations

import json
from dataclasses import replace

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchfloor_core.errors import ConfigurationError
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.cedar import (
    NO_POLICIES,
    OPERATOR_POLICY_ERROR,
    CedarEffect,
    CedarHit,
    CedarPolicies,
    CedarRequest,
)
from watchfloor_guardrails.cedar_schema import SCHEMA
from watchfloor_guardrails.cedar_source import MAX_FILE, MAX_NESTING, MAX_POLICY

QUIET = CedarRequest(
    proposer="response",
    proposer_kind="agent",
    action_class="deny ip",
    target_kind="ip",
    target_value="203.0.113.7",
    groups=(),
    tenant="acme",
    function="incident_response",
    tool="nft",
    level=3,
    asset_tier=2,
    in_inventory=False,
    blast_assets=1,
    blast_users=0,
    is_reversible=True,
    is_tainted=False,
    is_undo=False,
    lease_s=3600,
    alert_family="suricata",
    severity=3,
    # Monday 2027-03-01, 12:00 UTC.
    now_us=1_803_902_400_000_000,
)
ANYTHING = "forbid (principal, action, resource)"


def policies(text: str) -> CedarPolicies:
    return CedarPolicies.load({"own.cedar": text})


def when(condition: str) -> CedarPolicies:
    return policies(f'@id("one") {ANYTHING} when {{ {condition} }};')


def problems_in(files: dict[str, str] | str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        CedarPolicies.load({"own.cedar": files} if isinstance(files, str) else files)
    return [str(problem) for problem in raised.value.problems]


def test_without_policies_nothing_applies() -> None:
    assert NO_POLICIES.evaluate(QUIET) == ()
    assert policies("// only a comment; with a semicolon\n").evaluate(QUIET) == ()


def test_a_policy_that_applies_says_so_with_its_demand_and_reason() -> None:
    found = policies(
        f"""
        @id("no-resolvers") @reason("Nothing works without them.")
        {ANYTHING} when {{ resource in Group::"resolvers" }};

        @id("leads") @effect("ask") @quorum("3") @roles("lead, responder,lead")
        {ANYTHING} when {{ context.level >= 3 }};

        @id("other") {ANYTHING} when {{ context.level > 3 }};
        """
    )

    assert found.evaluate(QUIET) == (
        CedarHit(
            "leads", CedarEffect.ASK, "the operator's policy 'leads' (own.cedar:5) applies", 3, ("lead", "responder")
        ),
    )
    assert found.evaluate(replace(QUIET, groups=("dns", "resolvers")))[0] == CedarHit(
        "no-resolvers", CedarEffect.DENY, "Nothing works without them."
    )


@pytest.mark.parametrize(
    ("condition", "request_"),
    [
        ('principal == Proposer::"response" && principal.kind == "agent" && principal.name == "response"', QUIET),
        ('action == Action::"deny ip"', QUIET),
        ('resource == Target::"ip 203.0.113.7" && resource.kind == "ip" && resource.value like "203.0.*"', QUIET),
        ("resource.tier == 2 && context.asset_tier == 2", QUIET),
        ('resource has address && resource.address.isInRange(ip("203.0.113.0/24"))', QUIET),
        (
            'resource has address && resource.address.isInRange(ip("10.0.0.0/8"))',
            replace(QUIET, target_value="::ffff:10.1.1.1"),
        ),
        (
            'resource has address && resource.address.isInRange(ip("fe80::/10"))',
            replace(QUIET, target_value="FE80:0::1"),
        ),
        ("!(resource has address)", replace(QUIET, target_kind="user", target_value="ana")),
        ('context.tenant == "acme" && context.function == "incident_response" && context.tool == "nft"', QUIET),
        ("context.level == 3 && context.blast_assets == 1 && context.blast_users == 0", QUIET),
        ("context.is_reversible && !context.is_tainted && !context.is_undo && !context.in_inventory", QUIET),
        ("context has lease_s && context.lease_s == 3600", QUIET),
        ("!(context has lease_s)", replace(QUIET, lease_s=None)),
        ('context.alert_family == "suricata" && context.severity == 3', QUIET),
        ("context.severity == 3", replace(QUIET, severity=0)),
        ("context.severity > 6", replace(QUIET, severity=99)),
        ("context.hour_utc == 12 && context.weekday_utc == 1", QUIET),
        ("context.hour_utc == 0 && context.weekday_utc == 4", replace(QUIET, now_us=0)),
        (
            "context.hour_utc == 23 && context.weekday_utc == 7",
            replace(QUIET, now_us=QUIET.now_us - 13 * 3_600_000_000),
        ),
    ],
)
def test_a_policy_sees_what_the_ruling_knows(condition: str, request_: CedarRequest) -> None:
    assert [hit.rule for hit in when(condition).evaluate(request_)] == ["one"]
    assert when(f"!({condition})").evaluate(request_) == ()


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_the_schema_has_every_action_class(name: str) -> None:
    found = policies(f'@id("one") forbid (principal, action == Action::"{name}", resource);')
    request = replace(QUIET, action_class=name, target_kind="user", target_value="ana")

    assert [hit.rule for hit in found.evaluate(request)] == ["one"]


def test_what_is_evaluated_is_what_the_schema_declares() -> None:
    """Cedar itself checks each request against the schema here, which the ruling spares itself."""
    from watchfloor_guardrails.cedar import _entities, _parc

    schema = cedarpy.Schema.from_str(SCHEMA)
    for request in (QUIET, replace(QUIET, lease_s=None, groups=("a",)), replace(QUIET, target_kind="user")):
        entities = cedarpy.Entities.from_json_str(_entities(request), schema)
        answer = cedarpy.is_authorized(_parc(request), "permit(principal, action, resource);", entities, schema)
        assert (answer.decision, answer.diagnostics.errors) == (cedarpy.Decision.Allow, [])


def test_every_mistake_is_named_at_once_with_file_and_line() -> None:
    first = """\
// A comment; with "quotes
permit (principal, action, resource);
@id("x") @efect("ask") @effect("maybe")
forbid (principal,
  action == Action::"deny ipp", resource) when { context.blast > 3 };

@id("x")
forbid (principal, action, resource) when { ( };
@id("y") @quorum("3") forbid (principal == ?principal, action, resource);
@id("z") @quorum("0") @effect("ask") @roles("boss") forbid (principal, action, resource);
@id("w") @quorum("2") forbid (principal, action, resource) when { context.lease_s > 3 };
@id("a b") forbid (principal, action, resource) when { context.level == "1" };
@id("v") forbid (principal, action, resource)"""
    found = problems_in({"b.cedar": '@id("q")\n@reason("', "a.cedar": first})

    assert found == [
        "a.cedar:2: an operator's policy can only forbid; what is allowed is for autonomy.yaml and the invariants to "
        "say",
        'a.cedar:2: without a name; begin the policy with @id("…")',
        'a.cedar:3: unrecognized action `Action::"deny ipp"`',
        "a.cedar:3: unable to find an applicable action given the policy scope constraints",
        "a.cedar:3: @effect: 'maybe' is not one of ask, deny",
        "a.cedar:3: annotation: unknown key 'efect'; did you mean 'effect'?",
        "a.cedar:7: not a Cedar policy: unexpected token `}`",
        "a.cedar:9: a template; write the principal and the resource instead of ?principal and ?resource",
        "a.cedar:10: @quorum: '0' is not a number of people from 1 to 9",
        "a.cedar:10: @roles: 'boss' is not one of responder, lead",
        "a.cedar:11: unable to guarantee safety of access to optional attribute `lease_s`; ask for it first with `has` "
        "and `&&`",
        'a.cedar:11: @quorum belongs to a policy with @effect("ask"); nobody is asked about what is denied',
        "a.cedar:12: the types Long and String are not compatible",
        "a.cedar:12: 'a b' is not a policy id: up to 64 letters, digits and _ . : - are expected",
        "a.cedar:13: not a Cedar policy: unexpected end of input",
        'b.cedar:2: a text begins with " and does not end',
    ]


def test_an_id_is_taken_once_across_files() -> None:
    one = f'@id("one") {ANYTHING};'

    assert problems_in({"a.cedar": one, "b.cedar": f"\n{one}"}) == [
        "b.cedar:2: policy id 'one' is taken by the policy at a.cedar:1"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "permit (principal, action, resource);",
        '@id("one") permit (principal, action, resource) when { false };',
        f'@id("one") {ANYTHING}; @id("two") permit (principal, action, resource);',
        f'@id("one") {ANYTHING};\n// "\npermit (principal, action, resource);',
        f'@id("one") @reason("\\"; // ") {ANYTHING};\npermit (principal, action, resource);',
        f'@id("one") {ANYTHING}; // \rpermit (principal, action, resource);',
    ],
)
def test_no_text_brings_a_permit_in(text: str) -> None:
    assert any("can only forbid" in problem for problem in problems_in(text))


@pytest.mark.parametrize(
    "text",
    [
        f'@id("one") {ANYTHING} when {{ {"(" * 5000}true{")" * 5000} }};',
        f'@id("one") {ANYTHING} when {{ {"[" * (MAX_NESTING + 1)}{"]" * (MAX_NESTING + 1)} == [] }};',
        f'@id("one") {ANYTHING} when {{ {"true && " * MAX_POLICY}true }};',
        f'@id("one") {ANYTHING} when {{ {"if true then " * 300}true{" else true" * 300} }};',
        "//" + "x" * MAX_FILE,
    ],
)
def test_what_cedar_would_not_survive_is_refused_before_it_reads_it(text: str) -> None:
    assert problems_in(text)


def test_the_deepest_policy_that_is_read_is_evaluated() -> None:
    depth = MAX_NESTING - 1

    assert [hit.rule for hit in when("(" * depth + "true" + ")" * depth).evaluate(QUIET)] == ["one"]


@pytest.mark.parametrize(
    ("condition", "request_"),
    [
        ("context.level + 9223372036854775807 > 0", QUIET),
        ("context.level == 3", replace(QUIET, target_value="not an address")),
        ("context.level == 3", replace(QUIET, target_value="10.0.0.0/8")),
        ("context.level == 3", replace(QUIET, severity=42)),
        ("context.level == 3", replace(QUIET, blast_assets=2**70)),
        ("context.level == 3", replace(QUIET, tenant="\ud800")),
        ("context.level == 3", replace(QUIET, level=0.5)),  # type: ignore[arg-type]  # a broken caller
        ("context.level == 3", replace(QUIET, now_us=None)),  # type: ignore[arg-type]  # a broken caller
    ],
)
def test_what_cannot_be_evaluated_is_denied(condition: str, request_: CedarRequest) -> None:
    (hit,) = when(condition).evaluate(request_)

    assert (hit.rule, hit.effect) == (OPERATOR_POLICY_ERROR, CedarEffect.DENY)


def test_a_policy_that_ends_in_an_error_takes_no_other_with_it() -> None:
    found = policies(
        f'@id("sound") @effect("ask") {ANYTHING};\n'
        f'@id("overflows") {ANYTHING} when {{ context.level + 9223372036854775807 > 0 }};'
    )

    assert [(hit.rule, hit.effect) for hit in found.evaluate(QUIET)] == [
        ("sound", CedarEffect.ASK),
        (OPERATOR_POLICY_ERROR, CedarEffect.DENY),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {"decision": "Allow", "diagnostics": {"reason": [], "errors": []}},
        {"decision": "Deny", "diagnostics": {"reason": [], "errors": []}},
        {"decision": "Deny", "diagnostics": {"reason": ["one", "unheard of"], "errors": []}},
        {"decision": "Allow", "diagnostics": {"reason": ["one"], "errors": []}},
        {"decision": "NoDecision", "diagnostics": {}},
        {"decision": "Perhaps", "diagnostics": {"reason": ["everything that no policy forbids"], "errors": []}},
        {},
    ],
)
def test_an_answer_of_another_form_is_denied(answer: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    found = when("false")
    monkeypatch.setattr(cedarpy, "is_authorized", lambda *_: cedarpy.AuthzResult(answer))

    assert (OPERATOR_POLICY_ERROR, CedarEffect.DENY) in [(hit.rule, hit.effect) for hit in found.evaluate(QUIET)]


def test_the_digest_is_of_what_the_policies_say() -> None:
    one, two = f'@id("one") {ANYTHING};', f'@id("two") @effect("ask") {ANYTHING} when {{ context.level == 1 }};'
    digest = CedarPolicies.load({"a.cedar": one, "b.cedar": two}).digest

    assert CedarPolicies.load({"c.cedar": f"// said in one file\n{two}\n\n{one}"}).digest == digest
    assert CedarPolicies.load({"a.cedar": one}).digest != digest
    assert CedarPolicies.load({"a.cedar": one, "b.cedar": two.replace("ask", "deny")}).digest != digest
    assert CedarPolicies.load({"a.cedar": one, "b.cedar": two.replace("== 1", "== 2")}).digest != digest
    assert NO_POLICIES.digest == policies("").digest


_NUMBERS = st.sampled_from(
    ["level", "asset_tier", "blast_assets", "blast_users", "severity", "hour_utc", "weekday_utc"]
)
_FLAGS = st.sampled_from(["is_reversible", "is_tainted", "is_undo", "in_inventory"])
_ATOMS = st.one_of(
    st.builds("context.{} {} {}".format, _NUMBERS, st.sampled_from(["<", ">=", "=="]), st.integers(0, 24)),
    # Overflows where the number is not 0: an error while it is evaluated.
    st.builds("context.{} + 9223372036854775807 > 0".format, _NUMBERS),
    st.builds("context.{}".format, _FLAGS),
    st.builds('resource in Group::"{}"'.format, st.sampled_from("abc")),
    st.builds('context.tenant == "{}"'.format, st.sampled_from(["acme", "other"])),
    st.just('resource has address && resource.address.isInRange(ip("10.0.0.0/8"))'),
    st.just("context has lease_s && context.lease_s > 600"),
)
_CONDITIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("(if {} then {} else {})".format, inner, inner, inner),
    ),
    max_leaves=6,
)
_SCOPES = st.sampled_from(
    ["action", 'action == Action::"deny ip"', 'action in [Action::"deny ip", Action::"allow ip"]']
)
_BODIES = st.builds(
    "{} forbid (principal, {}, resource) {} {{ {} }};".format,
    st.sampled_from(["", '@effect("ask")', '@effect("ask") @quorum("2")', '@effect("deny")']),
    _SCOPES,
    st.sampled_from(["when", "unless"]),
    _CONDITIONS,
)
_REQUESTS = st.builds(
    replace,
    st.just(QUIET),
    action_class=st.sampled_from(["deny ip", "allow ip"]),
    target_value=st.sampled_from(["10.1.2.3", "203.0.113.7", "no address", "::1"]),
    groups=st.lists(st.sampled_from("abc"), unique=True).map(tuple),
    tenant=st.sampled_from(["acme", "other"]),
    level=st.integers(0, 4),
    asset_tier=st.integers(0, 3),
    blast_assets=st.integers(0, 30),
    is_tainted=st.booleans(),
    is_undo=st.booleans(),
    lease_s=st.none() | st.integers(1, 3600),
    severity=st.sampled_from([0, 3, 6, 7, 99]),
    now_us=st.integers(0, 2**51),
)


def _numbered(bodies: list[str]) -> CedarPolicies:
    return policies("\n".join(f'@id("p{number}") {body}' for number, body in enumerate(bodies)))


def _demands(hits: tuple[CedarHit, ...]) -> set[tuple[str, CedarEffect, int | None]]:
    return {(hit.rule, hit.effect, hit.quorum) for hit in hits}


@settings(max_examples=150, deadline=None)
@given(st.lists(_BODIES, max_size=5), _BODIES, _REQUESTS)
def test_adding_a_policy_never_removes_a_demand(bodies: list[str], more: str, request_: CedarRequest) -> None:
    before = _demands(_numbered(bodies).evaluate(request_))
    after = _demands(_numbered([*bodies, more]).evaluate(request_))

    assert before <= after


@settings(max_examples=100, deadline=None)
@given(st.lists(_BODIES, min_size=1, max_size=5), _REQUESTS)
def test_policies_together_say_what_each_says_alone(bodies: list[str], request_: CedarRequest) -> None:
    together = {hit.rule for hit in _numbered(bodies).evaluate(request_)}
    alone = set()
    for number, body in enumerate(bodies):
        alone |= {hit.rule for hit in policies(f'@id("p{number}") {body}').evaluate(request_)}

    assert together == alone


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(codec="utf-8"), max_size=200)
    | st.text('@id("a")forbidpermit(principal,action,resource);{}//\n\r\\', max_size=120)
)
def test_any_text_is_policies_that_forbid_or_a_stated_mistake(text: str) -> None:
    try:
        found = policies(text)
    except ConfigurationError:
        return
    assert all(rule.cedar["effect"] == "forbid" for rule in found.rules)
    assert len(json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]) == len(found.rules)
