"""The guardrails read nothing: no clock, file, network, environment or chance."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import watchfloor_guardrails

PACKAGE = Path(watchfloor_guardrails.__file__).parent
SOURCES = sorted(PACKAGE.glob("*.py"))

CORE = {
    "watchfloor_core.alert",
    "watchfloor_core.canonical",
    "watchfloor_core.clock",  # for `to_iso`; reading the clock is a call that the test below forbids
    "watchfloor_core.correction",
    "watchfloor_core.dsse",
    "watchfloor_core.errors",
    "watchfloor_core.incident",
    "watchfloor_core.untrusted",
}
LIBRARIES = {"cedarpy", "cryptography", "pydantic", "pydantic_core", "webauthn", "yaml"}
IMPURE = {"time", "os", "random", "secrets", "uuid", "socket", "subprocess", "threading", "asyncio", "logging", "io"}
IMPURE_CALLS = {"open", "now", "now_us", "today", "utcnow", "read_text", "read_bytes", "getenv", "input", "print"}
IMPURE_CALLS |= {"eval", "exec"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_module_imports_nothing_that_could_read_the_world(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module="watchfloor_core", names=names):
                modules = [f"watchfloor_core.{alias.name}" for alias in names]
            case ast.ImportFrom(module=str(module)):
                modules = [module]
            case _:
                continue
        for module in modules:
            top = module.partition(".")[0]
            is_ours = top == "watchfloor_guardrails" or module in CORE
            assert is_ours or top in LIBRARIES or (top in sys.stdlib_module_names and top not in IMPURE), module


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_module_calls_nothing_that_reads_the_world(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                assert name not in IMPURE_CALLS, f"{source.name}:{node.lineno} calls {name}"
            case _:
                pass
