"""No test here reaches a model over a network."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from watchfloor_core.telemetry import current


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


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    before = current.get()
    current.put(current.Current(provider.get_tracer("test"), None))
    yield exporter
    current.put(before)
