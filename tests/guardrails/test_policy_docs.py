"""What the documentation shows of policy bundles is true."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from watchfloor_core.errors import ConfigurationError
from watchfloor_guardrails.bundle import check_bundle
from watchfloor_guardrails.cedar_schema import SCHEMA
from watchfloor_guardrails.cedar_source import MAX_NESTING, MAX_POLICY
from watchfloor_guardrails.limits import ActionLimits
from watchfloor_guardrails.limits_file import load_limits
from watchfloor_guardrails.policy_tests import _RequestEntry, load_policy_tests

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = (DOCS / "how-to" / "write-a-policy.md").read_text("utf-8")
REFERENCE = (DOCS / "reference" / "policy.md").read_text("utf-8")


def block(page: str, language: str, beginning: str) -> str:
    (found,) = re.findall(rf"```{language}\n({re.escape(beginning)}.*?)```", page, re.DOTALL)
    return str(found)


def test_the_bundle_of_the_how_to_is_right_and_its_examples_hold() -> None:
    files = {
        name: block(HOW_TO, "yaml", f"# {name}").encode() for name in ("autonomy.yaml", "limits.yaml", "tests.yaml")
    }
    report = check_bundle({**files, "own.cedar": block(HOW_TO, "text", "@id").encode()}, "how-to")

    assert [str(problem) for problem in report.problems] == []
    assert [(test.name, test.failures) for test in report.tests if test.failures] == []
    assert len(report.tests) == 3


def test_the_reference_shows_the_schema() -> None:
    assert block(REFERENCE, "text", "//") == SCHEMA


def test_the_reference_lists_every_limit_with_its_default_and_range() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \| ([^|]*)\|$", REFERENCE, re.MULTILINE)
    listed = {name: (default, limits.strip()) for name, default, limits in rows}
    assert list(listed) == [field.name for field in fields(ActionLimits)]
    for name, (default, limits) in listed.items():
        value = getattr(ActionLimits(), name)
        if isinstance(value, int):
            least, most = limits.split("–")
            assert default == str(value)
            for text in (least, most):
                # Alone it need not go together with the other limits; its own range is what counts here.
                assert f"(at defaults.{name})" not in _mistakes(f"defaults: {{{name}: {text}}}") or name in _TOGETHER
            assert f"(at defaults.{name})" in _mistakes(f"defaults: {{{name}: {int(most) + 1}}}")


_TOGETHER = {"autonomous_actions_per_hour", "approval_deadline_s"}


def _mistakes(text: str) -> str:
    try:
        load_limits(text, "limits.yaml")
    except ConfigurationError as error:
        return str(error)
    return ""


def test_the_reference_lists_every_key_of_an_examples_request() -> None:
    table = REFERENCE.partition("| `request` |")[2].partition("| `expect`")[0]
    named = {name for cell in re.findall(r"^\|([^|]*)\|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(_RequestEntry.model_fields)


def test_the_example_in_the_reference_is_one() -> None:
    assert load_policy_tests(block(REFERENCE, "yaml", "# tests.yaml"), "policy.md")


def test_the_reference_names_the_bounds_of_a_policy() -> None:
    assert f"at most {MAX_POLICY} characters and brackets nested {MAX_NESTING} deep" in REFERENCE
