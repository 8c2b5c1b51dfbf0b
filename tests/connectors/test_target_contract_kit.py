"""The contract kit catches each way in which a tool can break the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from watchfloor_connectors.targets.addresses import address_of, network_of, refuse_never
from watchfloor_connectors.targets.base import ConfiguredTarget, Slot
from watchfloor_connectors.targets.template import Acme, AcmeOptions
from watchfloor_connectors.targets.testing import ContractError, PermitFor, Sample, check_target
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, EffectPermit, NotDoneError, ReadBack, TargetState

ADDRESS = Target(TargetKind.IP, "203.0.113.9")
NEVER = Target(TargetKind.IP, "127.0.0.1")


class DoesNothing(Acme):
    def do(self, action: Action, key: str) -> None:
        pass


class AlwaysSaysYes(Acme):
    def read_back(self, action: Action, key: str) -> ReadBack:
        return ReadBack(Effect.APPLIED, self.read_state(action.target), "done")


class WritesWhenLooking(Acme):
    def read_state(self, target: Target) -> TargetState:
        state = super().read_state(target)
        self._file(target).write_text(str(state.content["denied_by"]) + "x")
        return state


class CannotTell(Acme):
    def read_state(self, target: Target) -> TargetState:
        super().read_state(target)
        return TargetState({})


class NeverTakesBack(Acme):
    def do(self, action: Action, key: str) -> None:
        if action.action_class == "deny ip":
            super().do(action, key)


class LeavesSomething(Acme):
    def read_state(self, target: Target) -> TargetState:
        return TargetState({**super().read_state(target).content, "trace": (self.options.folder / "trace").exists()})

    def do(self, action: Action, key: str) -> None:
        super().do(action, key)
        (self.options.folder / "trace").touch()


class TakesAnyText(Acme):
    def read_state(self, target: Target) -> TargetState:
        return TargetState({"denied_by": self._key(target)})

    def _file(self, target: Target) -> Path:
        return self.options.folder / f"x{target.value.encode().hex()[:200]}"


class HasNoUndo(Acme):
    classes = frozenset({"deny ip"})


class AsksForNothing(Acme):
    def privileges(self) -> tuple[str, ...]:
        return ()


class ForgetsItsKey(Acme):
    def do(self, action: Action, key: str) -> None:
        if action.action_class == "deny ip":
            self._file(action.target).write_text(f"{self._key(action.target) or ''}x")
        else:
            super().do(action, key)

    def read_back(self, action: Action, key: str) -> ReadBack:
        is_denied = self._key(action.target) is not None
        effect = Effect.APPLIED if is_denied == (action.action_class == "deny ip") else Effect.NOT_APPLIED
        return ReadBack(effect, self.read_state(action.target), "as it is")


class NeverGivesBack(Acme):
    def read_state(self, target: Target) -> TargetState:
        refuse_never(address_of(target), map(network_of, self.options.never))
        return super().read_state(target)


class KnowsNoNever(Acme):
    def read_state(self, target: Target) -> TargetState:
        return TargetState({"denied_by": self._key(target)})


class NeedsNoPermit:
    """As a tool that was written without the base class."""

    def __init__(self, real: ConfiguredTarget[AcmeOptions]) -> None:
        self._real = real
        self.tool, self.kind, self.version = real.tool, real.kind, real.version
        self.action_classes, self.least_privilege = real.action_classes, real.least_privilege
        self.read_state, self.read_back = real.read_state, real.read_back

    def act(self, permit: EffectPermit) -> None:
        action = permit.action if isinstance(permit, EffectPermit) else Action("deny ip", self.tool, ADDRESS, {})
        self._real.do(action, "0" * 64)


@pytest.fixture
def check(slot: Slot, tmp_path: Path, permit_for: PermitFor) -> Callable[[type[Acme]], None]:
    def run(kind: type[Acme]) -> None:
        tool = kind(slot, AcmeOptions(folder=tmp_path))
        protecting = kind(slot, AcmeOptions(folder=tmp_path, never=("203.0.113.0/24",)))
        check_target(tool, [Sample("deny ip", ADDRESS)], permit_for, [NEVER], protecting=protecting)

    return run


def test_the_template_keeps_the_contract(check: Callable[[type[Acme]], None]) -> None:
    check(Acme)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (DoesNothing, "was done and reads back as not_applied"),
        (AlwaysSaysYes, "reads back as applied before it was done"),
        (WritesWhenLooking, "is another state when looked at again"),
        (CannotTell, "is in effect, and the state is the same"),
        (NeverTakesBack, "allow ip was done and does not read back as applied"),
        (LeavesSomething, "the state is not what it was before"),
        (TakesAnyText, "is taken; RecordError was expected"),
        (HasNoUndo, "'allow ip' is missing"),
        (AsksForNothing, "does not say what it must be allowed"),
        (NeverGivesBack, "was done, and is not taken back once it is protected"),
        (KnowsNoNever, "read_state is taken; RefusedError was expected"),
        (ForgetsItsKey, "changes the state when it is done again under the same key"),
    ],
)
def test_a_tool_that_breaks_a_rule_is_told_which(
    check: Callable[[type[Acme]], None], kind: type[Acme], message: str
) -> None:
    with pytest.raises(ContractError) as found:
        check(kind)
    assert message in str(found.value)


def test_a_tool_that_needs_no_permit_is_caught(slot: Slot, tmp_path: Path, permit_for: PermitFor) -> None:
    tool = NeedsNoPermit(Acme(slot, AcmeOptions(folder=tmp_path)))
    with pytest.raises(ContractError, match="act takes NoneType for a permit"):
        check_target(tool, [Sample("deny ip", ADDRESS)], permit_for)


def test_an_act_cannot_be_overridden_to_go_round_the_permit(slot: Slot, tmp_path: Path) -> None:
    tool = Acme(slot, AcmeOptions(folder=tmp_path))
    for wrong in (None, Action("deny ip", "tool", ADDRESS, {}), "permit"):
        with pytest.raises(TypeError, match="takes an EffectPermit"):
            tool.act(wrong)  # type: ignore[arg-type]  # that is what is tried
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TypeError, match="may not define act"):
        type("Bypass", (Acme,), {"act": lambda self, permit: self.do(permit, "")})


def test_a_permit_with_a_key_that_is_no_digest_does_nothing(slot: Slot, tmp_path: Path, permit_for: PermitFor) -> None:
    tool = Acme(slot, AcmeOptions(folder=tmp_path))
    for key in ("", "x", "A" * 64, "0" * 63, "0" * 64 + "\n"):
        with pytest.raises(NotDoneError, match="64 hex digits"):
            tool.act(permit_for(Action("deny ip", "tool", ADDRESS, {}), key))
    assert list(tmp_path.iterdir()) == []
