"""The brake on failed authentications."""

from __future__ import annotations

from watchfloor_service.api.throttle import PROOF_S, REMEMBERED, WINDOW_S, FailureThrottle, client_network

RIGHT, WRONG = b"right", b"wrong"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def exhausted(clock: Clock) -> FailureThrottle:
    throttle = FailureThrottle(3, clock)
    for _ in range(3):
        throttle.failed("192.0.2.1")
    return throttle


def test_a_client_is_stopped_after_its_failures_and_let_in_again_when_the_window_is_over() -> None:
    clock = Clock()
    throttle = exhausted(clock)
    assert throttle.retry_after_s("192.0.2.1", WRONG) == 61
    clock.now = WINDOW_S
    assert throttle.retry_after_s("192.0.2.1", WRONG) is None


def test_other_clients_are_not_stopped() -> None:
    assert exhausted(Clock()).retry_after_s("192.0.2.2", WRONG) is None


def test_a_credential_that_proved_right_lately_passes_a_stopped_address() -> None:
    clock = Clock()
    throttle = FailureThrottle(3, clock)
    throttle.succeeded(RIGHT)
    for _ in range(3):
        throttle.failed("192.0.2.1")
    assert throttle.retry_after_s("192.0.2.1", RIGHT) is None
    assert throttle.retry_after_s("192.0.2.1", WRONG) is not None


def test_the_proof_ages() -> None:
    clock = Clock()
    throttle = FailureThrottle(3, clock)
    throttle.succeeded(RIGHT)
    clock.now = PROOF_S
    for _ in range(3):
        throttle.failed("192.0.2.1")
    assert throttle.retry_after_s("192.0.2.1", RIGHT) is not None


def test_an_ipv6_subscriber_is_one_client() -> None:
    assert client_network("2001:db8::1") == client_network("2001:db8::ffff")
    assert client_network("2001:db8::1") != client_network("2001:db8:0:1::1")
    assert client_network("not an address") == "not an address"


def test_memory_is_bounded_by_forgetting_the_oldest() -> None:
    throttle = FailureThrottle(1, Clock())
    for number in range(REMEMBERED + 1):
        throttle.failed(f"client {number}")
    assert throttle.retry_after_s("client 0", WRONG) is None
    assert throttle.retry_after_s(f"client {REMEMBERED}", WRONG) is not None
