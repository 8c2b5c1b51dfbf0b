"""A policy bundle: the operator's matrix, limits, Cedar policies and examples as one whole.

::

    autonomy.yaml   who decides what (`matrix_file`); must be there
    limits.yaml     how many, how much, how long (`limits_file`); else what ships
    *.cedar         what is forbidden or asks (`cedar`)
    tests.yaml      examples (`policy_tests`)
    signature.json  who wrote which version (`bundle_signature`)

Everything here works on the files' bytes; reading a folder and putting one in force is for others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_guardrails.autonomy import AutonomyMatrix, load_matrix
from watchfloor_guardrails.bundle_signature import SIGNATURE_FILE
from watchfloor_guardrails.cedar import CedarPolicies
from watchfloor_guardrails.limits import DEFAULT_LIMITS, LimitTable
from watchfloor_guardrails.limits_file import load_limits
from watchfloor_guardrails.policy_tests import PolicyTest, PolicyTestResult, load_policy_tests, run_policy_test

MATRIX_FILE: Final = "autonomy.yaml"
LIMITS_FILE: Final = "limits.yaml"
TESTS_FILE: Final = "tests.yaml"

MAX_FILES: Final = 64
MAX_FILE_BYTES: Final = 256 * 1024
"""Of one file; a signature over all of them fits as well."""

_CEDAR_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\.cedar")

_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class PolicyContent:
    """What a bundle says."""

    matrix: AutonomyMatrix
    limits: LimitTable
    cedar: CedarPolicies

    @property
    def digest(self) -> str:
        return policy_digest(self.matrix, self.limits, self.cedar)


@dataclass(frozen=True, slots=True)
class BundleReport:
    """What is to be said about a bundle before it is signed or put in force."""

    problems: tuple[Problem, ...]
    """Every mistake in every file, in the order of files and lines."""
    content: PolicyContent | None
    """None where there is a mistake."""
    tests: tuple[PolicyTestResult, ...]

    @property
    def is_right(self) -> bool:
        return not self.problems and all(not test.failures for test in self.tests)


def policy_digest(matrix: AutonomyMatrix, limits: LimitTable, cedar: CedarPolicies) -> str:
    """SHA-256 (64 hex digits) over everything that a policy says, whatever its formatting, version and author."""
    parts: dict[str, JsonValue] = {
        "v": 1,
        "matrix": matrix.digest,
        "limits": limits.digest,
        "cedar": cedar.digest,
    }
    return hashlib.sha256(canonical(parts)).hexdigest()


def check_bundle(files: Mapping[str, bytes], folder: str, *, tests: tuple[str, str] | None = None) -> BundleReport:
    """Everything that is wrong with these files, and what came of the examples.

    ``folder`` stands before the files' names in messages. ``tests`` are examples to be run instead of the bundle's own:
    their file's name and text.
    """
    problems: list[Problem] = []
    content = _content(files, folder, problems)
    own = files.get(TESTS_FILE)
    examples: tuple[PolicyTest, ...] = ()
    if tests is not None:
        name, text = tests
        examples = _part(lambda: load_policy_tests(text, name), problems) or ()
    elif own is not None:
        examples = _read(own, f"{folder}/{TESTS_FILE}", load_policy_tests, problems) or ()
    if problems or content is None:
        return BundleReport(tuple(problems), None, ())
    results = (run_policy_test(one, content.matrix, content.limits, content.cedar) for one in examples)
    return BundleReport((), content, tuple(results))


def read_bundle(files: Mapping[str, bytes], folder: str) -> PolicyContent:
    """What the bundle says; its examples are not run. Raises `ConfigurationError` with every mistake."""
    problems: list[Problem] = []
    content = _content(files, folder, problems)
    if problems or content is None:
        raise ConfigurationError(problems)
    return content


def _content(files: Mapping[str, bytes], folder: str, problems: list[Problem]) -> PolicyContent | None:
    cedar: dict[str, str] = {}
    for name in sorted(files):
        if _CEDAR_FILE.fullmatch(name):
            text = _read(files[name], f"{folder}/{name}", lambda text, _: text, problems)
            cedar[name] = text or ""
        elif name not in (MATRIX_FILE, LIMITS_FILE, TESTS_FILE, SIGNATURE_FILE):
            known = f"{MATRIX_FILE}, {LIMITS_FILE}, {TESTS_FILE}, *.cedar"
            problems.append(Problem(f"does not belong into a policy bundle; known are {known}", f"{folder}/{name}"))
    if MATRIX_FILE not in files:
        problems.append(Problem("is missing; every bundle has one", f"{folder}/{MATRIX_FILE}"))
        matrix = None
    else:
        matrix = _read(files[MATRIX_FILE], f"{folder}/{MATRIX_FILE}", load_matrix, problems)
    limits: LimitTable | None = DEFAULT_LIMITS
    if LIMITS_FILE in files:
        limits = _read(files[LIMITS_FILE], f"{folder}/{LIMITS_FILE}", load_limits, problems)
    # Policies know their files by bare names: rulings quote them, and are the same wherever the folder is.
    mistakes: list[Problem] = []
    policies = _part(lambda: CedarPolicies.load(cedar), mistakes)
    problems += [replace(mistake, file=f"{folder}/{mistake.file}") for mistake in mistakes]
    if matrix is None or limits is None or policies is None:
        return None
    return PolicyContent(matrix, limits, policies)


def _read(data: bytes, file: str, load: Callable[[str, str], _Part], problems: list[Problem]) -> _Part | None:
    if len(data) > MAX_FILE_BYTES:
        problems.append(Problem(f"has {len(data)} bytes; at most {MAX_FILE_BYTES} are read", file))
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        problems.append(Problem(f"is not UTF-8: {error.reason} at byte {error.start}", file))
        return None
    return _part(lambda: load(text, file), problems)


def _part(load: Callable[[], _Part], problems: list[Problem]) -> _Part | None:
    try:
        return load()
    except ConfigurationError as error:
        problems.extend(error.problems)
        return None
