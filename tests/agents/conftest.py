"""No test here reaches a model over a network."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_model_requests() -> Iterator[None]:
    """Where pydantic-ai is in use at all: importing it costs a second that most tests here need not spend."""
    models = sys.modules.get("pydantic_ai.models")
    if models is None:
        yield
        return
    with models.override_allow_model_requests(False):
        yield
