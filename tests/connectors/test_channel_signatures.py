"""Signatures of Slack, Teams and webhooks: made here by each vendor's description, and every way to be wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretBytes

from watchfloor_connectors.channels.signatures import (
    WINDOW_S,
    Proof,
    verify_slack,
    verify_teams,
    verify_webhook,
    webhook_header,
)

NOW = 1_700_000_000
SECRET = b"8f742231b10e8888abcd99yyyzzz85a5"
SECRETS = {"one": SecretBytes(SECRET), "other": SecretBytes(b"o" * 32)}
BODY = b"payload=%7B%22type%22%3A%22block_actions%22%7D"


def slack_signature(body: bytes = BODY, stamp: str = str(NOW), secret: bytes = SECRET) -> str:
    return "v0=" + hmac.new(secret, f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()


def teams_signature(body: bytes = BODY, secret: bytes = SECRET) -> str:
    return "HMAC " + base64.b64encode(hmac.new(secret, body, hashlib.sha256).digest()).decode()


def names(proof: Proof | None) -> set[str] | None:
    return None if proof is None else set(proof.channels)


def test_slacks_own_example_is_right() -> None:
    # From Slack's page "Verifying requests from Slack".
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        b"foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
        b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015."
        b"47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert names(verify_slack(SECRETS, signature, "1531420618", body, 1_531_420_618)) == {"one"}


def test_the_proof_names_the_channels_whose_secret_signed_and_no_other() -> None:
    twins = {**SECRETS, "twin": SecretBytes(SECRET)}
    assert names(verify_slack(twins, slack_signature(), str(NOW), BODY, NOW)) == {"one", "twin"}
    assert names(verify_teams(SECRETS, teams_signature(secret=b"o" * 32), BODY)) == {"other"}


@pytest.mark.parametrize("distance", [-WINDOW_S, 0, WINDOW_S])
def test_a_signature_is_good_for_five_minutes_around_its_time(distance: int) -> None:
    assert verify_slack(SECRETS, slack_signature(), str(NOW), BODY, NOW + distance) is not None
    assert verify_webhook(SECRETS, webhook_header(SECRET, BODY, NOW), BODY, NOW + distance) is not None


@pytest.mark.parametrize(
    ("signature", "stamp", "body", "now_s"),
    [
        (None, str(NOW), BODY, NOW),
        ("", str(NOW), BODY, NOW),
        (slack_signature(), None, BODY, NOW),
        (slack_signature(), str(NOW), BODY + b"x", NOW),
        (slack_signature(secret=b"x" * 32), str(NOW), BODY, NOW),
        (slack_signature(), str(NOW + 1), BODY, NOW),
        (slack_signature(), str(NOW), BODY, NOW + WINDOW_S + 1),
        (slack_signature(), str(NOW), BODY, NOW - WINDOW_S - 1),
        (slack_signature().replace("v0=", "v1="), str(NOW), BODY, NOW),
        (slack_signature().upper().replace("V0", "v0"), str(NOW), BODY, NOW),
        (slack_signature(stamp=f" {NOW}"), f" {NOW}", BODY, NOW),
        (slack_signature(stamp="1_700_000_000"), "1_700_000_000", BODY, NOW),
        (slack_signature(stamp="١٧٠٠٠٠٠٠٠٠"), "١٧٠٠٠٠٠٠٠٠", BODY, NOW),
        (slack_signature(stamp=str(NOW))[:-1], str(NOW), BODY, NOW),
    ],
)
def test_every_wrong_slack_signature_is_refused(
    signature: str | None, stamp: str | None, body: bytes, now_s: int
) -> None:
    assert verify_slack(SECRETS, signature, stamp, body, now_s) is None


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer x",
        "HMAC",
        "HMAC ====",
        "HMAC é",
        teams_signature(BODY + b" "),
        teams_signature(secret=b"x" * 32),
        teams_signature().replace("HMAC ", "Bearer "),
        teams_signature()[:-4],
    ],
)
def test_every_wrong_teams_signature_is_refused(header: str | None) -> None:
    assert names(verify_teams(SECRETS, teams_signature(), BODY)) == {"one"}
    assert verify_teams(SECRETS, header, BODY) is None


RIGHT = webhook_header(SECRET, BODY, NOW)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"t={NOW}",
        RIGHT.split(",")[1],
        RIGHT + f",t={NOW}",
        RIGHT.replace(str(NOW), str(NOW + 1)),
        RIGHT.upper(),
        webhook_header(b"x" * 32, BODY, NOW),
        webhook_header(SECRET, BODY + b" ", NOW),
        webhook_header(SECRET, BODY, NOW - WINDOW_S - 1),
        webhook_header(SECRET, BODY, NOW + WINDOW_S + 1),
        ",".join([f"t={NOW}", *[RIGHT.split(",")[1]] * 5]),
    ],
)
def test_every_wrong_webhook_signature_is_refused(header: str | None) -> None:
    assert verify_webhook(SECRETS, header, BODY, NOW) is None


def test_one_of_several_webhook_signatures_suffices_while_a_secret_is_changed() -> None:
    both = f"{webhook_header(b'old' * 12, BODY, NOW)},{RIGHT.split(',')[1]}"
    assert names(verify_webhook(SECRETS, both, BODY, NOW)) == {"one"}


@given(st.binary(max_size=64), st.text(max_size=80), st.text(max_size=80))
def test_without_a_channel_nothing_is_right(body: bytes, header: str, stamp: str) -> None:
    assert verify_slack({}, header, stamp, body, NOW) is None
    assert verify_teams({}, header, body) is None
    assert verify_webhook({}, header, body, NOW) is None
    zeros = b"\0" * 32
    assert verify_slack({}, slack_signature(body, secret=zeros), str(NOW), body, NOW) is None
    assert verify_teams({}, teams_signature(body, zeros), body) is None
    assert verify_webhook({}, webhook_header(zeros, body, NOW), body, NOW) is None


@given(st.binary(min_size=1, max_size=64), st.integers(0, 511))
def test_one_changed_bit_of_the_body_is_seen(body: bytes, position: int) -> None:
    bit = position % (8 * len(body))
    altered = bytearray(body)
    altered[bit // 8] ^= 1 << bit % 8
    assert verify_slack(SECRETS, slack_signature(body), str(NOW), bytes(altered), NOW) is None
    assert verify_teams(SECRETS, teams_signature(body), bytes(altered)) is None
    assert verify_webhook(SECRETS, webhook_header(SECRET, body, NOW), bytes(altered), NOW) is None


def test_a_notice_that_we_sent_is_not_good_as_a_slack_message() -> None:
    stamp = str(NOW)
    assert verify_slack(SECRETS, "v0=" + webhook_header(SECRET, BODY, NOW).split("v1=")[1], stamp, BODY, NOW) is None
