"""Signatures of webhooks: what proves a sender, and that a proof is good for one delivery."""

from __future__ import annotations

import hashlib
import hmac
import threading

import pytest
from pydantic import SecretBytes
from sqlalchemy import func, select

from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import webhook_nonce
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.intake.webhook_file import Webhook
from watchfloor_service.intake.webhooks import WINDOW_S, parse_signature, spend_signature, verify

SECRET = b"k" * 32
EDGE = Webhook("edge", "default", "suricata", SecretBytes(SECRET))
WEBHOOKS = {"edge": EDGE}
BODY = b'{"event_type": "alert"}\n'
NOW = 1_700_000_000


def header(stamp: int | str = NOW, body: bytes = BODY, secret: bytes = SECRET) -> str:
    """As the documentation tells a sender to make it."""
    digest = hmac.new(secret, str(stamp).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"


def refusal(name: str, given: str | None, body: bytes = BODY, now_s: int = NOW) -> tuple[ProblemKind, str]:
    with pytest.raises(ProblemError) as raised:
        verify(WEBHOOKS, name, given, body, now_s=now_s)
    return raised.value.kind, raised.value.detail


def test_the_documented_signature_is_right() -> None:
    webhook, signature = verify(WEBHOOKS, "edge", header(), BODY, now_s=NOW)
    assert webhook is EDGE
    assert signature == hmac.new(SECRET, b"1700000000." + BODY, hashlib.sha256).digest()


def test_one_of_several_signatures_suffices_while_a_secret_is_changed() -> None:
    both = f"{header(secret=b'old' * 20)},{header().split(',')[1]}"
    assert verify(WEBHOOKS, "edge", both, BODY, now_s=NOW)[0] is EDGE


def test_every_way_to_be_wrong_gets_the_same_answer() -> None:
    right = header()
    answers = {
        refusal("nobody", right),
        refusal("edge", None),
        refusal("edge", ""),
        refusal("edge", "t=1"),
        refusal("edge", header(secret=b"x" * 32)),
        refusal("edge", right, body=BODY + b" "),
        refusal("edge", header(NOW + 1).replace(str(NOW + 1), str(NOW))),
        refusal("edge", right, now_s=NOW + WINDOW_S + 1),
        refusal("edge", right, now_s=NOW - WINDOW_S - 1),
        refusal("edge", header(f"0x{NOW:x}")),
        refusal("edge", right.upper()),
        refusal("edge", right + ",t=1"),
    }
    assert len(answers) == 1
    assert next(iter(answers))[0] is ProblemKind.UNAUTHENTICATED


@pytest.mark.parametrize("distance", [-WINDOW_S, 0, WINDOW_S])
def test_a_signature_is_good_for_five_minutes_around_its_time(distance: int) -> None:
    assert verify(WEBHOOKS, "edge", header(), BODY, now_s=NOW + distance)[0] is EDGE


def test_a_header_with_too_many_signatures_is_not_worked_on() -> None:
    digest = header().split(",")[1]
    assert parse_signature(",".join([f"t={NOW}", *[digest] * 5])) is None


def test_a_signature_is_spent_once(store: Store) -> None:
    with store.write() as connection:
        spend_signature(connection, EDGE, b"s" * 32)
    with store.write() as connection:
        with pytest.raises(ProblemError) as raised:
            spend_signature(connection, EDGE, b"s" * 32)
        assert raised.value.kind is ProblemKind.REPLAYED
        spend_signature(connection, Webhook("other", "default", "suricata", EDGE.secret), b"s" * 32)


def test_of_deliveries_at_the_same_time_one_wins(store: Store) -> None:
    together = threading.Barrier(4)
    outcomes: list[str] = []

    def deliver() -> None:
        together.wait()
        try:
            with store.write() as connection:
                spend_signature(connection, EDGE, b"r" * 32)
            outcomes.append("taken")
        except ProblemError as problem:
            outcomes.append(problem.kind)

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["replayed"] * 3 + ["taken"]


def test_a_failed_transaction_leaves_the_signature_good(store: Store) -> None:
    def fail() -> None:
        with store.write() as connection:
            spend_signature(connection, EDGE, b"q" * 32)
            raise RuntimeError("the batch could not be written")

    with pytest.raises(RuntimeError, match="could not be written"):
        fail()
    with store.write() as connection:
        spend_signature(connection, EDGE, b"q" * 32)


def test_spent_signatures_are_cleared_away_once_no_replay_could_pass(sqlite_store: Store) -> None:
    moment = NOW * 1_000_000
    later = moment + (2 * WINDOW_S + 1) * 1_000_000
    with sqlite_store.write() as connection:
        spend_signature(connection, EDGE, b"a" * 32, now=moment)
        # One that sweeps: its first byte is small.
        spend_signature(connection, EDGE, b"\0" * 32, now=later)
        assert connection.execute(select(func.count()).select_from(webhook_nonce)).scalar_one() == 1
