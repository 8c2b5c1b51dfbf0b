"""A folder of Sigma filters as a tool: one file for each filter, ours and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from watchfloor_connectors.detection.filters import load_filters
from watchfloor_connectors.targets.base import NeverError, Slot
from watchfloor_connectors.targets.sigma_filters import SigmaFilters, SigmaFiltersOptions
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError
from watchfloor_guardrails.rule_filter import RuleFilter

RULE, OTHER = "5c6a5a0c-0000-4000-8000-000000000001", "5c6a5a0c-0000-4000-8000-000000000002"


def target(rule: str = RULE, user: str = "backup") -> Target:
    made = RuleFilter(rule=rule, log_source=(("product", "windows"),), event=(("Computer", "ws-17"), ("User", user)))
    return Target(TargetKind.FILTER, made.text)


def create(at: Target) -> Action:
    return Action("create filter", "tool", at, {})


def delete(at: Target) -> Action:
    return Action("delete filter", "tool", at, {})


@pytest.fixture
def tool(slot: Slot) -> SigmaFilters:
    return SigmaFilters(slot, SigmaFiltersOptions(never=(OTHER,)))


def file_in(tool: SigmaFilters) -> Path:
    [file] = tool.folder.glob("*.yml")
    return file


def test_a_folder_of_filters_keeps_the_contract_of_tools(tool: SigmaFilters, permit_for: PermitFor) -> None:
    samples = [Sample("create filter", target()), Sample("create filter", target(user="acme\\o'neill svc"))]
    protecting = SigmaFilters(tool.slot, SigmaFiltersOptions(never=(RULE,)))
    check_target(tool, samples, permit_for, never=[target(OTHER)], protecting=protecting)


def test_the_file_is_a_sigma_filter_that_says_by_which_proposal(tool: SigmaFilters, permit_for: PermitFor) -> None:
    tool.act(permit_for(create(target()), "a" * 64))
    assert file_in(tool).read_text().startswith(f"# wf:{'a' * 64} ")
    document = yaml.safe_load(file_in(tool).read_text())
    assert document["filter"]["rules"] == [RULE]
    assert document["filter"]["condition"] == "not selection"
    [one] = load_filters([tool.folder]).filters
    assert one.id == document["id"]


def test_a_file_of_another_hand_is_left_as_it_is(tool: SigmaFilters, permit_for: PermitFor) -> None:
    tool.act(permit_for(create(target()), "a" * 64))
    file = file_in(tool)
    file.write_text("title: mine\n")
    with pytest.raises(NotDoneError, match="not by Watchfloor"):
        tool.act(permit_for(create(target()), "a" * 64))
    with pytest.raises(NotDoneError, match="of other hands"):
        tool.act(permit_for(delete(target()), "b" * 64))
    assert file.read_text() == "title: mine\n"
    assert tool.read_back(create(target()), "a" * 64).effect is Effect.NOT_APPLIED


def test_a_filter_that_was_changed_since_is_no_longer_the_one_that_was_approved(
    tool: SigmaFilters, permit_for: PermitFor
) -> None:
    tool.act(permit_for(create(target()), "a" * 64))
    file = file_in(tool)
    file.write_text(file.read_text().replace("ws-17", "ws-1*"))
    back = tool.read_back(create(target()), "a" * 64)
    assert back.effect is Effect.NOT_APPLIED
    assert "it was changed since" in back.text
    tool.act(permit_for(delete(target()), "b" * 64))
    assert not list(tool.folder.glob("*.yml"))


def test_two_proposals_do_not_share_a_filter(tool: SigmaFilters, permit_for: PermitFor) -> None:
    tool.act(permit_for(create(target()), "a" * 64))
    with pytest.raises(NotDoneError, match=f"by the proposal of digest {'a' * 64}; end that first"):
        tool.act(permit_for(create(target()), "b" * 64))


def test_one_folder_for_several_tenants_is_told() -> None:
    options = SigmaFiltersOptions(folder="/srv/filters")
    assert list(SigmaFilters.faults(options, is_shared=True)) != []
    assert list(SigmaFilters.faults(options, is_shared=False)) == []


def test_a_folder_that_cannot_be_written_leaves_nothing_done(slot: Slot, permit_for: PermitFor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tool = SigmaFilters(slot, SigmaFiltersOptions(folder=str(tmp_path / "file" / "below")))
    with pytest.raises(NotDoneError):
        tool.act(permit_for(create(target()), "a" * 64))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda file: file.write_text("# seen by ana\n" + file.read_text()),
        lambda file: file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n")),
        lambda file: file.rename(file.with_name("zz.yml")),
        lambda file: file.with_name("copy.yaml").write_bytes(file.read_bytes()),
    ],
    ids=["a line before", "other line ends", "another name", "a copy"],
)
def test_a_filter_that_still_applies_does_not_read_back_as_taken_back(
    tool: SigmaFilters, permit_for: PermitFor, tamper: Callable[[Path], object]
) -> None:
    tool.act(permit_for(create(target()), "a" * 64))
    tamper(file_in(tool))
    with suppress(NotDoneError):
        tool.act(permit_for(delete(target()), "b" * 64))
    assert load_filters([tool.folder]).filters, "it still applies"
    back = tool.read_back(delete(target()), "b" * 64)
    assert back.effect is Effect.NOT_APPLIED
    assert "another hand" in back.text or "other files" in back.text


def test_what_is_never_filtered_can_be_taken_back(slot: Slot, permit_for: PermitFor) -> None:
    before = SigmaFilters(slot, SigmaFiltersOptions())
    before.act(permit_for(create(target(OTHER)), "a" * 64))
    tool = SigmaFilters(slot, SigmaFiltersOptions(never=(OTHER,)))
    tool.act(permit_for(delete(target(OTHER)), "b" * 64))
    assert tool.read_back(delete(target(OTHER)), "b" * 64).effect is Effect.APPLIED
    with pytest.raises(NeverError):
        tool.act(permit_for(create(target(OTHER)), "c" * 64))
