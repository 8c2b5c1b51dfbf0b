"""Scopes of kill switches: what covers what, who may touch which, and that text and parts are the same thing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.incident import Function
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.switches import (
    ACTION_CLASSES,
    KillScope,
    covering_scopes,
    may_touch,
    parse_scope,
    refusals_to_release,
    refusals_to_stop,
    tenant_of,
)

TENANTS = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,63}", fullmatch=True)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,95}", fullmatch=True)
FUNCTIONS = st.sampled_from([function.value for function in Function])
ACTIONS = st.sampled_from(ACTION_CLASSES)
COVERED = st.builds(covering_scopes, TENANTS, FUNCTIONS, ACTIONS, NAMES, NAMES)
WIDTH = 200
"""Characters that the store keeps of a scope."""


def test_an_act_is_covered_by_ten_scopes_from_everything_to_one_agent_of_one_tenant() -> None:
    assert covering_scopes("acme", "incident_response", "deny ip", "edge-firewall", "generative:qwen") == (
        "all",
        "tenant:acme",
        "function:incident_response",
        "action:deny ip",
        "tool:edge-firewall",
        "agent:generative:qwen",
        "tenant:acme/function:incident_response",
        "tenant:acme/action:deny ip",
        "tenant:acme/tool:edge-firewall",
        "tenant:acme/agent:generative:qwen",
    )


def test_what_does_not_apply_to_an_act_is_left_out() -> None:
    assert covering_scopes("acme", "alert_triage") == (
        "all",
        "tenant:acme",
        "function:alert_triage",
        "tenant:acme/function:alert_triage",
    )


@given(COVERED)
def test_every_scope_that_covers_an_act_can_be_thrown_and_kept(scopes: tuple[str, ...]) -> None:
    assert len(set(scopes)) == len(scopes)
    for scope in scopes:
        assert str(parse_scope(scope)) == scope
        assert len(scope) <= WIDTH


@given(st.one_of(st.text(max_size=60), st.from_regex(r"(tenant|tool|action|all|agent):?.{0,20}(/.*)?", fullmatch=True)))
def test_a_text_is_a_scope_that_gives_the_same_text_back_or_it_is_refused(text: str) -> None:
    try:
        scope = parse_scope(text)
    except ConfigurationError:
        return
    assert str(scope) == text
    assert text in covering_scopes(
        scope.tenant or "any",
        scope.name if scope.kind == "function" else None,
        scope.name if scope.kind == "action" else None,
        scope.name if scope.kind == "tool" else None,
        scope.name if scope.kind == "agent" else None,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "All",
        "all ",
        "*",
        "tenant:",
        "tenant:Acme",
        "tenant:acme/",
        "tenant:acme/all",
        "tenant:acme/tenant:acme",
        "tenant:acme/tool:a/tool:b",
        "tool:a/tenant:acme",
        "function:cooking",
        "action:deny  ip",
        "action:deny-ip",
        "action:*",
        "tool:edge firewall",
        "tool:edge\n",
        "agent:ana/ben",
        "person:ana",
    ],
)
def test_what_names_nothing_is_refused_and_not_thrown_in_vain(text: str) -> None:
    with pytest.raises(ConfigurationError, match="there are all, tenant:NAME"):
        parse_scope(text)


def test_a_misspelt_action_class_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_scope("action:block ip")
    assert all(name in str(caught.value) for name in CATALOGUE)


@pytest.mark.parametrize("tool", ["", "a/b", "a b", "a\x00", "é"])
def test_what_no_switch_could_stop_does_not_begin(tool: str) -> None:
    with pytest.raises(ValueError, match="cannot be named in a kill switch"):
        covering_scopes("acme", "incident_response", "deny ip", tool, None)


@pytest.mark.parametrize(
    ("scope", "of_home", "of_acme", "of_other"),
    [
        ("all", True, False, False),
        ("tool:edge-firewall", True, False, False),
        ("function:incident_response", True, False, False),
        ("action:deny ip", True, False, False),
        ("agent:specialist", True, False, False),
        ("tenant:acme", False, True, False),
        ("tenant:acme/action:deny ip", False, True, False),
        ("tenant:home/tool:edge-firewall", True, False, False),
        ("no scope", False, False, False),
    ],
)
def test_a_tenant_touches_its_own_and_home_what_reaches_over_tenants(
    scope: str, of_home: bool, of_acme: bool, of_other: bool
) -> None:
    assert [may_touch(scope, caller, "home") for caller in ("home", "acme", "other")] == [of_home, of_acme, of_other]


@given(COVERED, TENANTS, TENANTS)
def test_nobody_touches_a_scope_that_covers_another_tenants_acts_but_home(
    scopes: tuple[str, ...], caller: str, home: str
) -> None:
    for scope in scopes:
        covers_others = parse_scope(scope).tenant != caller
        assert not (may_touch(scope, caller, home) and covers_others and caller != home)


@pytest.mark.parametrize(
    ("kind", "may_stop", "may_release"),
    [(PrincipalKind.PERSON, True, True), (PrincipalKind.SERVICE, True, False), (PrincipalKind.AGENT, False, False)],
)
def test_people_and_services_stop_and_only_people_let_go(
    kind: PrincipalKind, may_stop: bool, may_release: bool
) -> None:
    principal = Principal("ana", kind)
    assert (not refusals_to_stop(principal, "drill")) is may_stop
    assert (not refusals_to_release(principal, "drill")) is may_release


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 4001, "nul \0", "half \ud800"])
def test_a_reason_is_needed_that_can_be_kept(reason: str) -> None:
    person = Principal("ana", PrincipalKind.PERSON)
    assert refusals_to_stop(person, reason)
    assert refusals_to_release(person, reason)


@given(COVERED)
def test_whose_a_scope_is_can_be_told_without_knowing_what_it_names(scopes: tuple[str, ...]) -> None:
    assert [tenant_of(scope) for scope in scopes] == [parse_scope(scope).tenant for scope in scopes]
    assert tenant_of("tenant:acme/action:of a later version") == "acme"
    assert tenant_of("action:of a later version") is None


def test_a_scope_in_parts_reads_as_it_is_written() -> None:
    assert parse_scope("tenant:acme/action:deny ip") == KillScope("acme", "action", "deny ip")
    assert parse_scope("tenant:acme") == KillScope("acme", None, None)
    assert parse_scope("agent:local:root") == KillScope(None, "agent", "local:root")
