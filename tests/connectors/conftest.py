"""What the tests of action targets start from: permits, as only a test may make them, and slots for tools."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from watchfloor_connectors.targets.base import Slot
from watchfloor_guardrails.action import Action
from watchfloor_guardrails.effect import _AUTHORITY, EffectPermit


@pytest.fixture
def permit_for() -> Callable[[Action, str], EffectPermit]:
    return lambda action, key: EffectPermit(action, key, _AUTHORITY)


@pytest.fixture
def slot(tmp_path: Path) -> Slot:
    return Slot("tool", "default", tmp_path / "data")


@pytest.fixture
def key() -> Callable[[str], str]:
    """The digest that a proposal would have, told apart by a word."""
    return lambda word: hashlib.sha256(word.encode()).hexdigest()


_CRASH_EVERYWHERE = """
import itertools, os, signal, sys
from pathlib import Path
from watchfloor_connectors.targets.account import AccountOptions, PosixAccount
from watchfloor_connectors.targets.base import Slot
from watchfloor_connectors.targets.blocklist import Blocklist, BlocklistOptions
from watchfloor_connectors.targets.quarantine import Quarantine, QuarantineOptions
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import _AUTHORITY, EffectPermit

STEPS = ("open", "write", "rename", "link", "unlink", "mkdir", "rmdir", "fsync", "fchmod", "chmod", "fchown", "utime")

def act(tool, action_class, target, key):
    tool.act(EffectPermit(Action(action_class, "tool", target, {}), key, _AUTHORITY))

def die_before(step):
    calls = itertools.count(1)
    def watched(function):
        def call(*args, **kwargs):
            if next(calls) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)
        return call
    for name in STEPS:
        setattr(os, name, watched(getattr(os, name)))

exec(sys.stdin.read())
for step in itertools.count(1):
    place = Path(sys.argv[1]) / str(step)
    place.mkdir()
    prepare(place)
    child = os.fork()
    if child == 0:
        die_before(step)
        crash(place)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        print(step)
        break
"""


@pytest.fixture
def crash_everywhere(tmp_path: Path) -> Callable[[str], list[Path]]:
    """Runs ``crash(place)`` in processes that are killed before their 1st, 2nd, 3rd … call that changes a file.

    ``code`` defines ``prepare(place)`` and ``crash(place)``. Gives the places, the last one's without a kill.
    """

    def run(code: str) -> list[Path]:
        root = tmp_path / "crashes"
        root.mkdir()
        command = [sys.executable, "-c", _CRASH_EVERYWHERE, str(root)]
        done = subprocess.run(command, input=code, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [root / str(step) for step in range(1, int(done.stdout) + 1)]

    return run
