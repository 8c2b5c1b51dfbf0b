"""What is read out of messages that have been proven authentic, and what never is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_connectors.channels.slack_blocks import Reference, deny_dialog
from watchfloor_connectors.channels.slack_inbound import PressDeny, PressReview, SubmitDeny, parse_interaction
from watchfloor_connectors.channels.teams_inbound import TeamsDeny, TeamsReview, parse_command, parse_message
from watchfloor_connectors.channels.webhook import WebhookVote, parse_vote
from watchfloor_core.errors import RecordError

ACT = "act-0123456789abcdef"
REFERENCE = Reference(tenant="default", proposal=ACT, digest="ab" * 32)
NOW = 1_787_649_524


def form(payload: object) -> bytes:
    return urlencode({"payload": json.dumps(payload)}).encode()


def press(action_id: str = "watchfloor_deny", **changes: Any) -> dict[str, Any]:
    """A button of ours, as Slack describes ``block_actions``."""
    payload: dict[str, Any] = {
        "type": "block_actions",
        "user": {"id": "U012AB3CD", "username": "maria", "name": "maria", "team_id": "T012AB3CD"},
        "api_app_id": "A02",
        "token": "deprecated",
        "container": {"type": "message", "message_ts": "1548261231.000200", "channel_id": "C1", "is_ephemeral": False},
        "trigger_id": "12321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3",
        "team": {"id": "T012AB3CD", "domain": "example"},
        "enterprise": None,
        "is_enterprise_install": False,
        "channel": {"id": "C1", "name": "soc"},
        "message": {"type": "message", "text": "…", "blocks": []},
        "response_url": "https://hooks.slack.com/actions/T012AB3CD/1232321423432/D09sSasdasdAS9091209",
        "actions": [
            {
                "action_id": action_id,
                "block_id": "watchfloor_decide",
                "text": {"type": "plain_text", "text": "Deny…", "emoji": False},
                "value": REFERENCE.model_dump_json(),
                "type": "button",
                "action_ts": "1548426417.840180",
            }
        ],
    }
    return {**payload, **changes}


def submission(reason: str | None = "it is the backup server", **changes: Any) -> dict[str, Any]:
    """Our dialog, as Slack sends it back."""
    view = {
        **deny_dialog(REFERENCE),
        "id": "V0PKB1ZFV",
        "team_id": "T012AB3CD",
        "hash": "1569262015.55b5e41b",
        "state": {"values": {"reason": {"reason_text": {"type": "plain_text_input", "value": reason}}}},
    }
    payload: dict[str, Any] = {
        "type": "view_submission",
        "team": {"id": "T012AB3CD", "domain": "example"},
        "user": {"id": "U012AB3CD", "username": "maria", "name": "maria", "team_id": "T012AB3CD"},
        "trigger_id": "1.2.3",
        "view": view,
        "response_urls": [],
    }
    return {**payload, **changes}


def test_a_press_and_a_submission_are_read() -> None:
    review = parse_interaction(form(press("watchfloor_review")))
    assert isinstance(review, PressReview)
    assert review.reference == REFERENCE
    deny = parse_interaction(form(press()))
    assert isinstance(deny, PressDeny)
    assert (deny.who.user, deny.who.teams) == ("U012AB3CD", frozenset({"T012AB3CD"}))
    submitted = parse_interaction(form(submission()))
    assert isinstance(submitted, SubmitDeny)
    assert (submitted.reason, submitted.view_id) == ("it is the backup server", "V0PKB1ZFV")


def test_somebody_of_another_workspace_is_told_apart() -> None:
    guest = parse_interaction(form(press(user={"id": "U012AB3CD", "team_id": "TOTHER"})))
    assert guest.who.teams == {"T012AB3CD", "TOTHER"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload",
        b"\xff\xfe",
        b"payload=%7B%7D",
        form(press()) + b"&" + form(press()),
        form(press(type="message_action")),
        form(press("watchfloor_approve")),
        form(press("approve")),
        form(press(team=None)),
        form(press(actions=[])),
        form(press(actions=press()["actions"] * 2)),
        form(press(actions=[{"action_id": "watchfloor_deny", "value": "act-1"}])),
        form(press(actions=[{"action_id": "watchfloor_deny"}])),
        form(submission(view={**submission()["view"], "callback_id": "other"})),
        form(submission(view={**submission()["view"], "private_metadata": ""})),
        b"a=1&b=2&c=3&d=4&e=5&payload=%7B%7D",
    ],
)
def test_what_we_do_not_offer_is_refused(body: bytes) -> None:
    with pytest.raises(RecordError):
        parse_interaction(body)


def test_fields_that_name_another_person_are_not_read() -> None:
    named = {"principal": "boss", "user_id": "UBOSS", "approver": "boss"}
    hostile = submission(**named, user={"id": "U012AB3CD", "principal": "boss", "team_id": "T012AB3CD"})
    hostile["view"]["private_metadata"] = json.dumps({**json.loads(REFERENCE.model_dump_json()), **named})
    hostile["view"]["state"]["values"]["principal"] = {"principal": {"type": "plain_text_input", "value": "boss"}}
    read = parse_interaction(form(hostile))
    assert read == parse_interaction(form(submission()))
    assert "boss" not in repr(read).lower()


def test_a_dialog_without_a_reason_has_an_empty_one() -> None:
    read = parse_interaction(form(submission(None)))
    assert isinstance(read, SubmitDeny)
    assert read.reason == ""


@given(st.binary(max_size=200))
def test_no_body_makes_the_readers_fail_otherwise(body: bytes) -> None:
    for parse in (parse_interaction, parse_vote, lambda data: parse_message(data, NOW)):
        with pytest.raises(RecordError):
            parse(body)


def activity(text: str, *, at_s: float = NOW, sender: dict[str, str] | None = None, **changes: Any) -> bytes:
    """As an outgoing webhook in Teams sends it."""
    stamp = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "9Z"
    content: dict[str, Any] = {
        "type": "message",
        "id": "1485983408511",
        "timestamp": stamp,
        "localTimestamp": "2026-08-25T11:18:44.211+02:00",
        "serviceUrl": "https://smba.trafficmanager.net/emea/",
        "channelId": "msteams",
        "from": sender or {"id": "29:1abc", "name": "Boss", "aadObjectId": "3F8A2D10-0000-4000-8000-1234567890AB"},
        "conversation": {"isGroup": True, "id": "19:x@thread.tacv2;messageid=1", "conversationType": "channel"},
        "recipient": None,
        "textFormat": "plain",
        "text": text,
        "attachments": [{"contentType": "text/html", "content": "<div>…</div>"}],
        "entities": [{"type": "clientInfo", "locale": "en-US"}],
        "channelData": {"tenant": {"id": "72f988bf-86f1-41af-91ab-2d7cd011db47"}},
    }
    return json.dumps({**content, **changes}).encode()


def test_a_line_in_teams_is_read_with_its_sender() -> None:
    read = parse_message(activity(f"<at>Watchfloor</at>&nbsp;deny {ACT} it&#39;s the backup server\r\n"), NOW)
    assert read.user == "3f8a2d10-0000-4000-8000-1234567890ab"
    assert read.command == TeamsDeny(ACT, "it's the backup server")


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (f"<at>Watchfloor</at> deny {ACT} because", TeamsDeny(ACT, "because")),
        (f'<p><at id="0">SOC approve</at> DENY {ACT}\ntwo lines</p>', TeamsDeny(ACT, "two lines")),
        (f"deny {ACT}", TeamsDeny(ACT, "")),
        (f"<at>Watchfloor</at> review {ACT}", TeamsReview(ACT)),
        (f"<at>Watchfloor</at> approve {ACT}", None),
        (f"<at>Watchfloor</at> please deny {ACT} why", None),
        (f"<at>Watchfloor</at> deny{ACT}", None),
        ("<at>Watchfloor</at> deny act-12 why", None),
        ("<at>Watchfloor</at>", None),
        ("", None),
    ],
)
def test_a_command_is_exactly_what_it_says(text: str, command: object) -> None:
    assert parse_command(text) == command


def test_a_principal_in_a_line_is_a_reason_and_nothing_else() -> None:
    read = parse_message(activity(f"<at>W</at> deny {ACT} as boss", principal="boss"), NOW)
    assert (read.user[:8], read.command) == ("3f8a2d10", TeamsDeny(ACT, "as boss"))


@pytest.mark.parametrize(
    "body",
    [
        activity("deny", at_s=NOW - 301),
        activity("deny", at_s=NOW + 301),
        activity("deny", timestamp=None),
        activity("deny", timestamp="2026-08-25T09:18:44"),
        activity("deny", type="invoke"),
        activity("deny", sender={"id": "29:1abc", "name": "Boss"}),
        activity("deny", sender={"id": "29:1abc", "aadObjectId": "boss"}),
        b"[]",
    ],
)
def test_an_activity_out_of_its_time_or_without_a_sender_is_refused(body: bytes) -> None:
    with pytest.raises(RecordError):
        parse_message(body, NOW)


VOTE: dict[str, Any] = {
    "v": 1,
    "type": "approval_vote",
    "tenant": "default",
    "proposal_id": ACT,
    "digest": "ab" * 32,
    "decision": "deny",
    "subject": "maria@soar",
    "id": "case-17",
    "comment": "the backup server",
}


def test_a_vote_is_read() -> None:
    vote = parse_vote(json.dumps(VOTE).encode())
    assert isinstance(vote, WebhookVote)
    assert (vote.subject, vote.decision, vote.key_id) == ("maria@soar", "deny", None)


@pytest.mark.parametrize(
    "change",
    [
        {"principal": "boss"},
        {"roles": ["lead"]},
        {"principal_kind": "person"},
        {"channel": "cli"},
        {"decision": "veto"},
        {"v": "1"},
        {"type": "approval_notice"},
        {"proposal_id": "act-1"},
        {"digest": "AB" * 32},
        {"subject": ""},
        {"comment": "x" * 4_001},
        {"key_id": "../../x"},
        {"assertion": "text"},
    ],
)
def test_a_vote_with_a_field_that_is_wrong_or_not_its_own_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match=next(iter(change))):
        parse_vote(json.dumps({**VOTE, **change}).encode())
