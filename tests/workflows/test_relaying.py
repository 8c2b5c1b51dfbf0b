"""The loop that the relays share."""

import asyncio
import logging

import pytest

from watchfloor_core.errors import UnavailableError
from watchfloor_workflows import relaying
from watchfloor_workflows.relaying import relay_until

pytestmark = pytest.mark.anyio


async def test_what_is_down_is_waited_for_and_swept_after_it_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(relaying, "SWEEP_US", -1)
    stop = asyncio.Event()
    calls: list[str] = []

    async def drain() -> None:
        calls.append("drain")
        if len(calls) == 1:
            raise UnavailableError("the store is away")

    async def sweep() -> None:
        calls.append("sweep")
        stop.set()

    with caplog.at_level(logging.WARNING, logger=relaying.__name__):
        await relay_until(stop, drain=drain, sweep=sweep, idle_s=0.001, waiting="things")
    assert calls == ["drain", "drain", "sweep"]
    assert [record.getMessage() for record in caplog.records] == [
        "things wait for Temporal, next try in 0.0 s: the store is away"
    ]


async def test_a_mistake_is_not_waited_out() -> None:
    async def drain() -> None:
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="a fault of ours"):
        await relay_until(asyncio.Event(), drain=drain, sweep=drain, idle_s=0.001, waiting="things")
