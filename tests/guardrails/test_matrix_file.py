"""Reading autonomy.yaml: what it yields, and how its mistakes are reported."""

from __future__ import annotations

import textwrap
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.alert import EntityKind, Severity
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.incident import AutonomyLevel, Function, Verdict
from watchfloor_guardrails.autonomy import (
    CLOSE_INCIDENT,
    DEFAULT_MATRIX_FILE,
    Limits,
    NameMatch,
    Row,
    Selector,
    load_matrix,
)
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.closing_rule import ClosingRule, EntityMatch, RuleMatch
from watchfloor_guardrails.yaml_source import MAX_BYTES

L0, L1, L2, L3, L4 = AutonomyLevel

DEFAULTS = "".join(f"  - {{function: {function}, level: L1}}\n" for function in Function)
"""A default row for every function: seven lines."""


def problems_in(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load_matrix(text, "autonomy.yaml")
    return [str(problem) for problem in raised.value.problems]


def with_row(row: str) -> str:
    """A whole file whose line 9 is the start of one more row."""
    return f"rows:\n{DEFAULTS}{textwrap.indent(textwrap.dedent(row).strip(), '  ')}\n"


def with_rule(rule: str) -> str:
    """A whole file whose line 10 is the start of one rule."""
    return f"rows:\n{DEFAULTS}rules:\n{textwrap.indent(textwrap.dedent(rule).strip(), '  ')}\n"


RULE = """
    - id: scanner
      verdict: BenignPositive
      reason: The scanner runs every night (CHG-1042).
      expires: 2027-06-30
      match:
        {match}
"""


def test_every_key_of_a_row_is_read() -> None:
    text = with_row("""
        - function: alert_triage
          action_class: close incident
          alert_family: {prefix: microsoft defender}
          asset_tier: 1
          tenant: acme
          level: L3
          reason: Measured since spring.
          limits: {close_below: 0, min_certainty: 0.9, max_alerts: 5, max_severity: high, sample_review: 1}
    """)
    assert load_matrix(text, "f").rows[-1] == Row(
        Function.ALERT_TRIAGE,
        Selector(CLOSE_INCIDENT, NameMatch("microsoft defender", is_prefix=True), 1, NameMatch("acme")),
        L3,
        "Measured since spring.",
        Limits(0.0, 0.9, 5, Severity.HIGH, 1.0),
    )


def test_every_key_of_a_rule_is_read() -> None:
    text = with_rule("""
        - id: scanner
          verdict: FalsePositive
          reason: CHG-1042
          expires: 2027-06-30
          match:
            tenant: {prefix: emea-}
            detector: {product: suricata, uid: "2001219", title: ET SCAN SSH}
            asset: {kind: host, value: web01}
            entity: {kind: ip, value: 192.0.2.10}
            severity_max: high
    """)
    assert load_matrix(text, "f").rules == (
        ClosingRule(
            "scanner",
            Verdict.FALSE_POSITIVE,
            "CHG-1042",
            date(2027, 6, 30),
            RuleMatch(
                NameMatch("emea-", is_prefix=True),
                "suricata",
                "2001219",
                "ET SCAN SSH",
                EntityMatch(EntityKind.HOST, "web01"),
                EntityMatch(EntityKind.IP, "192.0.2.10"),
                Severity.HIGH,
            ),
        ),
    )


def test_a_rule_closes_nothing_over_medium_unless_it_says_so() -> None:
    text = with_rule(RULE.format(match="detector: {product: suricata}"))
    assert load_matrix(text, "f").rules[0].match.severity_max is Severity.MEDIUM


def test_engine_caps_are_read() -> None:
    text = f'rows:\n{DEFAULTS}caps: {{generative: L1, "generative:qwen": L0, specialist: L3}}\n'
    assert load_matrix(text, "f").engine_caps == (("generative", L1), ("generative:qwen", L0), ("specialist", L3))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (
            "- {function: alert_triage, tenant: a, level: L5}",
            "autonomy.yaml:9: 'L5' is not one of L0, L1, L2, L3, L4 (at rows[7].level)",
        ),
        (
            "- {function: alert_triage, tenant: a, level: 2}",
            "autonomy.yaml:9: 2 is not one of L0, L1, L2, L3, L4 (at rows[7].level)",
        ),
        (
            "- function: alert_triage\n  tenant: a\n  level: l2",
            "autonomy.yaml:11: 'l2' is not one of L0, L1, L2, L3, L4 (at rows[7].level)",
        ),
        (
            "- {function: triage, level: L2}",
            "autonomy.yaml:9: 'triage' is not one of threat_detection, alert_triage, investigation, "
            "evidence_acquisition, incident_response, risk_management, reporting (at rows[7].function)",
        ),
        ("- {tenant: a, level: L2}", "autonomy.yaml:9: missing key 'function' (at rows[7].function)"),
        (
            "- function: alert_triage\n  level: L2\n  tenat: a",
            "autonomy.yaml:11: unknown key 'tenat'; did you mean 'tenant'? (at rows[7].tenat)",
        ),
        (
            "- function: alert_triage\n  level: L2\n  tenant:",
            "autonomy.yaml:11: key 'tenant' has no value; write one, or remove the key (at rows[7].tenant)",
        ),
        (
            "- function: alert_triage\n  tenant: a\n  level:",
            "autonomy.yaml:11: key 'level' has no value; write one, or remove the key (at rows[7].level)",
        ),
        (
            "- function: alert_triage\n  tenant: a\n  level: L2\n  level: L4",
            "autonomy.yaml:12: key 'level' is repeated; it stands in line 11 already (at rows[7].level)",
        ),
        (
            "- {function: alert_triage, level: L2, tenant: no}",
            "autonomy.yaml:9: False is no name of a tenant: lower-case letters, digits and _ . - are expected "
            "(at rows[7].tenant)",
        ),
        (
            '- {function: alert_triage, level: L2, tenant: "run-*"}',
            "autonomy.yaml:9: 'run-*' is no name of a tenant: lower-case letters, digits and _ . - are expected "
            "(at rows[7].tenant)",
        ),
        (
            "- {function: alert_triage, level: L2, tenant: Acme}",
            "autonomy.yaml:9: 'Acme' is no name of a tenant: lower-case letters, digits and _ . - are expected "
            "(at rows[7].tenant)",
        ),
        (
            "- {function: alert_triage, level: L2, alert_family: Suricata}",
            "autonomy.yaml:9: 'Suricata' is no alert family: a text in lower case is expected "
            "(at rows[7].alert_family)",
        ),
        (
            '- {function: alert_triage, level: L2, alert_family: "defender*"}',
            "autonomy.yaml:9: 'defender*': names match exactly; the one pattern is {prefix: …} "
            "(at rows[7].alert_family)",
        ),
        (
            "- {function: alert_triage, level: L2, tenant: {suffix: x}}",
            "autonomy.yaml:9: {'suffix': 'x'}: the one pattern is {prefix: …} (at rows[7].tenant)",
        ),
        (
            '- {function: alert_triage, level: L2, tenant: {prefix: ""}}',
            "autonomy.yaml:9: '' is no name of a tenant: lower-case letters, digits and _ . - are expected "
            "(at rows[7].tenant)",
        ),
        (
            "- {function: alert_triage, level: L2, asset_tier: 4}",
            "autonomy.yaml:9: 4 is too large; at most 3 is allowed (at rows[7].asset_tier)",
        ),
        (
            '- {function: alert_triage, level: L2, asset_tier: "1"}',
            "autonomy.yaml:9: '1' is not a plain decimal number (at rows[7].asset_tier)",
        ),
        (
            "- {function: alert_triage, level: L2, asset_tier: true}",
            "autonomy.yaml:9: True is not a plain decimal number (at rows[7].asset_tier)",
        ),
        (
            "- {function: alert_triage, level: L2, asset_tier: 0x1}",
            "autonomy.yaml:9: '0x1' is not a plain decimal number (at rows[7].asset_tier)",
        ),
        (
            "- {function: alert_triage, level: L2, action_class: deny ip}",
            "autonomy.yaml:9: 'deny ip' belongs to rows of incident_response, not of alert_triage (at rows[7])",
        ),
        (
            "- {function: alert_triage, level: L2, action_class: close incidents}",
            f"autonomy.yaml:9: 'close incidents' is not one of close incident, investigate incident, "
            f"{', '.join(CATALOGUE)} (at rows[7].action_class)",
        ),
        (
            "- function: alert_triage\n  tenant: a\n  level: L4\n  limits:\n    close_below: 0.6",
            "autonomy.yaml:13: 0.6 is too large; at most 0.5 is allowed (at rows[7].limits.close_below)",
        ),
        (
            "- {function: alert_triage, tenant: a, level: L4, limits: {close_below: .nan}}",
            "autonomy.yaml:9: '.nan' is not a plain decimal number (at rows[7].limits.close_below)",
        ),
        (
            "- {function: alert_triage, tenant: a, level: L4, limits: {sample_review: -0.1}}",
            "autonomy.yaml:9: -0.1 is too small; at least 0.0 is expected (at rows[7].limits.sample_review)",
        ),
        (
            "- {function: alert_triage, tenant: a, level: L4, limits: {max_alerts: 1.5}}",
            "autonomy.yaml:9: 1.5 is not a plain decimal number (at rows[7].limits.max_alerts)",
        ),
        (
            "- {function: alert_triage, tenant: a, level: L4, limits: {max_severity: other}}",
            "autonomy.yaml:9: 'other' is not one of informational, low, medium, high, critical, fatal "
            "(at rows[7].limits.max_severity)",
        ),
        (
            "- {function: alert_triage, tenant: a, level: L4, limits: {max_alert: 1}}",
            "autonomy.yaml:9: unknown key 'max_alert'; did you mean 'max_alerts'? (at rows[7].limits.max_alert)",
        ),
        (
            "- {function: alert_triage, tenant: a, level: L4, limits: 3}",
            "autonomy.yaml:9: expected keys and values, got 3 (at rows[7].limits)",
        ),
        (
            "- {function: reporting, tenant: a, level: L4, limits: {max_alerts: 1}}",
            "autonomy.yaml:9: limits belong to rows of alert_triage, not of reporting; remove them (at rows[7])",
        ),
        ("- L2", "autonomy.yaml:9: expected keys and values, got 'L2' (at rows[7])"),
        (
            "- {function: alert_triage, level: L4}",
            "autonomy.yaml:9: same tasks as the row in line 3 (alert_triage (default)); keep one of the two "
            "(at rows[7])",
        ),
        (
            "- {function: alert_triage, level: L4, reason: 7}",
            "autonomy.yaml:9: 7 is not text; put it in quotes (at rows[7].reason)",
        ),
    ],
)
def test_a_mistake_in_a_row_is_named_with_its_line(row: str, problem: str) -> None:
    assert problems_in(with_row(row)) == [problem]


@pytest.mark.parametrize(
    ("match", "problem"),
    [
        (
            "severity_max: low",
            "autonomy.yaml:14: the rule would close everything; name a detector, an asset or an entity "
            "(at rules[0].match)",
        ),
        (
            "detector: {uid: '2001219'}",
            "autonomy.yaml:15: missing key 'product' (at rules[0].match.detector.product)",
        ),
        (
            "detector: {product: suricata, uid: 2001219}",
            "autonomy.yaml:15: 2001219 is not text; put it in quotes (at rules[0].match.detector.uid)",
        ),
        (
            "user_agent: curl",
            "autonomy.yaml:15: unknown key 'user_agent'; known: tenant, detector, asset, entity, severity_max "
            "(at rules[0].match.user_agent)",
        ),
        *(
            (
                f"entity: {{kind: {kind}, value: x}}",
                f"autonomy.yaml:15: '{kind}' is not one of host, user, ip, file_hash, resource; "
                "what an attacker names or writes must not close an incident (at rules[0].match.entity.kind)",
            )
            for kind in ("url", "domain", "file", "process", "mailbox")
        ),
        (
            "entity: {kind: hosts, value: x}",
            "autonomy.yaml:15: 'hosts' is not one of host, user, ip, file_hash, resource "
            "(at rules[0].match.entity.kind)",
        ),
        (
            "asset: {kind: host, value: ''}",
            "autonomy.yaml:15: 'value' is empty (at rules[0].match.asset.value)",
        ),
    ],
)
def test_a_mistake_in_what_a_rule_matches_is_named_with_its_line(match: str, problem: str) -> None:
    assert problems_in(with_rule(RULE.format(match=match))) == [problem]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            ("BenignPositive", "TruePositive"),
            "autonomy.yaml:11: 'TruePositive' is not one of BenignPositive, FalsePositive (at rules[0].verdict)",
        ),
        (
            ("BenignPositive", "Undetermined"),
            "autonomy.yaml:11: 'Undetermined' is not one of BenignPositive, FalsePositive (at rules[0].verdict)",
        ),
        (
            ("2027-06-30", "2027-06-31"),
            "autonomy.yaml:13: '2027-06-31' is not a date; write it as 2027-01-31 (at rules[0].expires)",
        ),
        (
            ("2027-06-30", "20270630"),
            "autonomy.yaml:13: 20270630 is not a date; write it as 2027-01-31 (at rules[0].expires)",
        ),
        (("reason: The", "# The"), "autonomy.yaml:10: missing key 'reason' (at rules[0].reason)"),
        (("expires: ", "# "), "autonomy.yaml:10: missing key 'expires' (at rules[0].expires)"),
    ],
)
def test_a_mistake_in_a_rule_is_named_with_its_line(change: tuple[str, str], problem: str) -> None:
    text = with_rule(RULE.format(match="detector: {product: suricata}"))
    assert problems_in(text.replace(*change)) == [problem]


def test_two_rules_with_one_id_are_refused() -> None:
    rule = RULE.format(match="detector: {product: suricata}")
    assert problems_in(with_rule(textwrap.dedent(rule).strip() + "\n" + textwrap.dedent(rule).strip())) == [
        "autonomy.yaml:16: rule id 'scanner' is taken by the rule in line 10 (at rules[1].id)"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "autonomy.yaml:1: the file is empty; write its content, or remove it"),
        ("# nothing but a comment\n", "autonomy.yaml:1: the file is empty; write its content, or remove it"),
        ("- a\n", "autonomy.yaml:1: expected the keys rows, caps, rules, got a list"),
        ("just words\n", "autonomy.yaml:1: expected the keys rows, caps, rules, got 'just words'"),
        (
            "rows:\n  - [a\n",
            "autonomy.yaml:3: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'",
        ),
        (
            "rows:\n\t- a\n",
            "autonomy.yaml:2: while scanning for the next token, found character '\\t' that cannot start any token",
        ),
        ("a: 1\nb: \x00\n", "autonomy.yaml:2: character '\\x00' is not allowed in YAML; remove it"),
        ("a: 1\n---\nb: 2\n", "autonomy.yaml:2: expected a single document in the stream, but found another document"),
        ("x: &here []\n", "autonomy.yaml:1: anchor '&here': write the value out where it is used"),
        (
            "rows: !!python/object:os.system []\n",
            "autonomy.yaml:1: tag 'tag:yaml.org,2002:python/object:os.system': write a plain value",
        ),
        ("[" * 100_000, "autonomy.yaml:1: nested deeper than 12"),
        ("#" * (MAX_BYTES + 1), f"autonomy.yaml: the file is larger than {MAX_BYTES} bytes; split or shorten it"),
    ],
)
def test_what_is_no_usable_yaml_is_named_with_its_line(text: str, problem: str) -> None:
    assert problems_in(text) == [problem]


def test_anchors_and_aliases_are_all_reported() -> None:
    assert problems_in("a: &x [1]\nb: *x\nc: *x\n") == [
        "autonomy.yaml:1: anchor '&x': write the value out where it is used",
        "autonomy.yaml:2: alias '*x': write the value out where it is used",
        "autonomy.yaml:3: alias '*x': write the value out where it is used",
    ]


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("caps: [generative]", "autonomy.yaml:9: expected engine: level pairs, got a list (at caps)"),
        (
            "caps: {generatve: L2}",
            "autonomy.yaml:9: unknown engine 'generatve'; known: specialist, generative, plugin, "
            "or one of these with ':' and a model (at caps.generatve)",
        ),
        ("caps: {generative: 2}", "autonomy.yaml:9: 2 is not one of L0, L1, L2, L3, L4 (at caps.generative)"),
        ("rules: {}", "autonomy.yaml:9: expected a list, got keys and values (at rules)"),
        ("rule: []", "autonomy.yaml:9: unknown key 'rule'; did you mean 'rules'? (at rule)"),
        ("1: 2", "autonomy.yaml:9: key '1' is not a plain text; put it in quotes if it is meant so"),
        ("<<: {}", "autonomy.yaml:9: key '<<' is not a plain text; put it in quotes if it is meant so"),
        ("caps:", "autonomy.yaml:9: key 'caps' has no value; write one, or remove the key (at caps)"),
    ],
)
def test_a_mistake_in_a_section_is_named_with_its_line(section: str, problem: str) -> None:
    assert problems_in(f"rows:\n{DEFAULTS}{section}\n") == [problem]


def test_a_function_without_default_row_is_missed() -> None:
    text = f"rows:\n{DEFAULTS}".replace("function: alert_triage", "function: alert_triage, tenant: acme")
    assert problems_in(text) == [
        "autonomy.yaml:1: function alert_triage has no default row; add one with only 'function' and 'level' (at rows)"
    ]


def test_a_default_row_with_a_mistake_is_not_called_missing_as_well() -> None:
    text = f"rows:\n{DEFAULTS}".replace("alert_triage, level: L1", "alert_triage, level: L9")
    assert problems_in(text) == [
        "autonomy.yaml:3: 'L9' is not one of L0, L1, L2, L3, L4 (at rows[1].level)",
    ]


def test_all_mistakes_are_reported_at_once_in_the_order_of_lines() -> None:
    text = textwrap.dedent("""\
        rows:
          - {function: alert_triage, level: L9, limits: {close_below: 0.9}}
          - {function: investigation, levl: L2}
          - {function: investigation, level: L2}
          - {function: investigation, level: L3}
        caps:
          somebody: L7
        rules:
          - id: a b
            expires: soon
        """)
    assert [problem.split(": ")[0] for problem in problems_in(text)] == [
        *["autonomy.yaml:1"] * 5,
        *["autonomy.yaml:2"] * 2,
        *["autonomy.yaml:3"] * 2,
        "autonomy.yaml:5",
        *["autonomy.yaml:7"] * 2,
        *["autonomy.yaml:9"] * 4,
        "autonomy.yaml:10",
    ]


@given(st.text(max_size=60))
def test_whatever_the_text_only_a_configuration_error_comes_of_it(text: str) -> None:
    with pytest.raises(ConfigurationError):
        load_matrix(text, "f")


FRAGMENTS = st.sampled_from(
    [
        *(
            "rows",
            "caps",
            "rules",
            "L1",
            "function",
            "level",
            "match",
            "alert_triage",
            "1",
            "null",
            "0.1",
            "2027-13-45",
        ),
        *(":", " ", "\n", "- ", "{", "}", "[", "]", ",", "'", "&a", "*a", "!t", "?", "|"),
        *('"\\Uffffffff"', "%YAML 1.1\n---\n"),
    ]
)


@given(st.lists(FRAGMENTS, max_size=25).map("".join))
def test_whatever_its_fragments_only_a_configuration_error_comes_of_it(text: str) -> None:
    with pytest.raises(ConfigurationError):
        load_matrix(text, "f")


@pytest.mark.parametrize("text", ['a: "\\Uffffffff"\n', '"\\U00110000": 1\n', f"%YAML 1.{'9' * 5000}\n--- a\n"])
def test_numbers_out_of_range_in_yaml_itself_are_reported(text: str) -> None:
    assert problems_in(text)[0].startswith("autonomy.yaml:1: not YAML: ")


def test_the_digest_ignores_formatting_comments_and_order_of_rows() -> None:
    text = with_row("""
        - {function: alert_triage, tenant: acme, level: L3, limits: {close_below: 0.1}}
        - {function: alert_triage, tenant: globex, level: L2}
    """)
    lines = text.splitlines()
    reordered = "\n".join(["# a comment", lines[0], *reversed(lines[1:])])
    rewritten = reordered.replace("{close_below: 0.1}", '{"close_below":   0.10}')
    assert load_matrix(rewritten, "g").digest == load_matrix(text, "f").digest


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tenant: acme", "tenant: {prefix: acme}"),
        ("tenant: acme", "alert_family: acme"),
        ("level: L3", "level: L4"),
        ("close_below: 0.1", "close_below: 0.2"),
        ("why", "why not"),
        ("caps: {}", "caps: {generative: L1}"),
        ("expires: 2027-06-30", "expires: 2027-06-29"),
        ("BenignPositive", "FalsePositive"),
        ("product: suricata", "product: wazuh"),
    ],
)
def test_the_digest_changes_with_what_the_policy_says(before: str, after: str) -> None:
    text = with_rule(RULE.format(match="detector: {product: suricata}")).replace(
        "rules:",
        "  - {function: alert_triage, tenant: acme, level: L3, limits: {close_below: 0.1}, reason: why}\n"
        "caps: {}\nrules:",
    )
    assert before in text
    assert load_matrix(text.replace(before, after), "f").digest != load_matrix(text, "f").digest


def test_the_digest_is_the_same_on_every_machine() -> None:
    text = with_rule(RULE.format(match="detector: {product: suricata, title: Übung}"))
    assert load_matrix(text, "f").digest == "dfaa54a5e711f396beae7533bf1d7f9ad93ad5a13127791c73643098fb9a7f91"


def test_the_shipped_default_says_what_the_documentation_says() -> None:
    matrix = load_matrix(DEFAULT_MATRIX_FILE.read_text("utf-8"), DEFAULT_MATRIX_FILE.name)
    shown = {(str(row.function), str(row.selector)): f"L{row.level}" for row in matrix.rows}
    assert shown == {
        ("alert_triage", "(default)"): "L2",
        ("alert_triage", "tenant=run-*"): "L4",
        ("alert_triage", "tenant=demo"): "L4",
        ("threat_detection", "(default)"): "L1",
        ("threat_detection", "action_class=create filter"): "L2",
        ("threat_detection", "tenant=run-* action_class=create filter"): "L0",
        ("threat_detection", "tenant=case-* action_class=create filter"): "L0",
        ("investigation", "(default)"): "L2",
        ("evidence_acquisition", "(default)"): "L2",
        ("evidence_acquisition", "tenant=run-*"): "L0",
        ("evidence_acquisition", "tenant=case-*"): "L0",
        ("incident_response", "(default)"): "L2",
        ("incident_response", "tenant=run-*"): "L0",
        ("incident_response", "tenant=case-*"): "L0",
        ("risk_management", "(default)"): "L0",
        ("reporting", "(default)"): "L2",
    }
    assert matrix.engine_caps == (("generative", L2),)
    assert matrix.rules == ()
    assert all(row.reason for row in matrix.rows)
    assert {row.limits for row in matrix.rows if row.level is L4} == {
        Limits(close_below=0.5, min_certainty=0.0, sample_review=0.05)
    }
    assert matrix.digest == "d11b29a6b9e59adf18c8cb208867009eec2707620b71906239e0dedaf27ccaec"
