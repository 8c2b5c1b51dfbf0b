"""What attackers write stays text on every channel: no link, no mention, no markup, no second line."""

from __future__ import annotations

import email
import email.policy
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_connectors.channels import mail, slack_blocks, teams
from watchfloor_connectors.channels.settings import MailSettings
from watchfloor_connectors.channels.text import MAX_LINE, defang, notice_text
from watchfloor_core.notice import ApprovalNotice, NoticeKind

PUBLIC = "https://watchfloor.example.org"
HOSTILE = (
    "<!channel> <@U012AB3CD> <https://evil.example|approve here>",
    "http://evil.example/approve?x=1 www.evil.example evil.example",
    "HTTPS://EVIL.EXAMPLE",
    "evil。example evil．example",
    "[Approve](https://evil.example) **bold** <at>everyone</at>",
    "@here @everyone soc@evil.example",
    "line one\nTarget: something harmless\r\nBcc: spy@evil.example",
    "gpj.\u202eexe \u200b zero \x1b[2J",
    "&lt;!channel&gt; &amp;",
    "\\\\evil.example\\share file://evil.example/x",
    "A" * 5_000,
    "&" * 5_000,
    "<" * 2_990,
)


def notice(text: str = "deny ip", kind: NoticeKind = NoticeKind.REQUEST, **changes: Any) -> ApprovalNotice:
    values: dict[str, Any] = {
        "tenant": "default",
        "proposal_id": "act-0123456789abcdef",
        "incident_id": "inc-0123456789abcdef",
        "kind": kind,
        "action_class": "deny_ip",
        "target": text,
        "digest": "ab" * 32,
        "roles": ("responder",),
        "deadline_us": 1_700_000_000_000_000,
        "text": text,
    }
    return ApprovalNotice(**{**values, **changes})


def as_sent(value: object) -> Any:  # Any: JSON, looked into as the receiver does
    return orjson.loads(orjson.dumps(value))


@given(st.one_of(st.text(), st.sampled_from(HOSTILE)))
def test_nothing_in_defanged_text_is_a_link_or_a_mention_or_a_second_line(text: str) -> None:
    shown = defang(text)
    assert "://" not in shown
    assert "@" not in shown.replace("[@]", "")
    assert not re.search(r"\w\.\w", shown)
    assert shown.isprintable()


@given(st.text(max_size=5_000))
def test_defanged_text_is_bounded(text: str) -> None:
    # One character becomes ten at most, `\u{10FFFF}`; what is cut is counted.
    assert len(defang(text)) <= 10 * MAX_LINE + 30


def test_what_analysts_write_is_what_they_see() -> None:
    assert defang("http://evil.example:8080/a from 192.0.2.7 as root@host") == (
        "hxxp[:]//evil[.]example:8080/a from 192[.]0[.]2[.]7 as root[@]host"
    )


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("kind", NoticeKind)
def test_slack_gets_foreign_text_as_plain_text_without_control_sequences(text: str, kind: NoticeKind) -> None:
    sent = as_sent(slack_blocks.message(notice(text, kind), PUBLIC, "C012AB3CD"))
    every = orjson.dumps(sent).decode()
    assert 'mrkdwn":true' not in every
    assert '"type":"mrkdwn"' not in every
    assert not re.search(r"[<>]", every)
    assert "evil.example" not in every.lower()
    # The line that notifications show is parsed for markup: nothing foreign is in it.
    assert sent["text"] == slack_blocks.escape(
        f"{notice_text(notice(kind=kind), PUBLIC).headline}: act-0123456789abcdef"
    )
    for block in sent["blocks"]:
        texts = [block["text"]] if "text" in block else [one["text"] for one in block["elements"]]
        for one in texts:
            assert one["type"] == "plain_text"
            assert 1 <= len(one["text"]) <= 3_000
            assert one["emoji"] is False


@given(st.text())
def test_slack_entities_are_never_cut_in_two(text: str) -> None:
    shown = slack_blocks._plain("&<>" * 1_000 + text)["text"]
    assert isinstance(shown, str)
    assert len(shown) <= 3_000
    assert re.sub(r"&(amp|lt|gt);", "", shown).count("&") == 0


TASKS = (NoticeKind.TASK, NoticeKind.TASK_REMIND)


@pytest.mark.parametrize("kind", NoticeKind)
def test_only_what_waits_has_buttons_and_none_of_them_approves(kind: NoticeKind) -> None:
    sent = as_sent(slack_blocks.message(notice(kind=kind), PUBLIC, "C1"))
    ids = [one["action_id"] for block in sent["blocks"] if block["type"] == "actions" for one in block["elements"]]
    is_waiting = kind not in (NoticeKind.ENDED, NoticeKind.RECEIPT, NoticeKind.UNKNOWN, *TASKS)
    assert ids == (["watchfloor_review", "watchfloor_deny"] if is_waiting else [])


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("kind", NoticeKind)
def test_teams_gets_foreign_text_as_runs_in_which_no_markdown_is_read(text: str, kind: NoticeKind) -> None:
    sent = as_sent(teams.message(notice(text, kind), PUBLIC, can_deny=True))
    card = sent["attachments"][0]["content"]
    headline = notice_text(notice(kind=kind), PUBLIC).headline
    assert [one["text"] for one in card["body"] if one["type"] == "TextBlock"] == [headline]
    assert "evil.example" not in orjson.dumps(sent).decode().lower()
    page = "playbook-runs" if kind in TASKS else "approvals"
    assert [one["url"] for one in card["actions"]] == [f"{PUBLIC}/{page}/act-0123456789abcdef"]
    assert len(orjson.dumps(sent)) < teams.MAX_MESSAGE_BYTES


def test_a_task_names_the_run_and_how_it_is_shown() -> None:
    told = notice_text(notice(kind=NoticeKind.TASK), PUBLIC)

    assert ("Run", "act-0123456789abcdef") in told.facts
    assert told.review_command == "watchfloor playbook show act-0123456789abcdef"


def test_a_teams_card_keeps_to_the_schema_of_its_version() -> None:
    sent = as_sent(teams.message(notice(), PUBLIC, can_deny=True))
    assert sent["type"] == "message"
    (attachment,) = sent["attachments"]
    assert (attachment["contentType"], attachment["contentUrl"]) == ("application/vnd.microsoft.card.adaptive", None)
    card = attachment["content"]
    assert (card["$schema"], card["type"], card["version"]) == (teams.SCHEMA, "AdaptiveCard", "1.4")
    allowed = {
        "TextBlock": {"type", "text", "weight", "size", "wrap"},
        "RichTextBlock": {"type", "inlines"},
        "TextRun": {"type", "text", "weight"},
    }
    for element in card["body"]:
        for one in (element, *element.get("inlines", ())):
            assert one.keys() <= allowed[one["type"]], one
    assert {action["type"] for action in card["actions"]} == {"Action.OpenUrl"}


def mail_settings(**changes: Any) -> MailSettings:
    values: dict[str, Any] = {
        "name": "duty",
        "tenant": "default",
        "roles": ("lead",),
        "users": {},
        "host": "127.0.0.1",
        "port": 25,
        "sender": "watchfloor@example.org",
        "recipients": ("soc@example.org",),
        "username": None,
        "password": None,
        "ca_file": None,
    }
    return MailSettings(**{**values, **changes})


@pytest.mark.parametrize("text", HOSTILE)
def test_a_mail_has_no_foreign_header_and_no_foreign_link(text: str) -> None:
    data = mail.message(notice(text), mail_settings(), PUBLIC).as_bytes()
    parsed = email.message_from_bytes(data, policy=email.policy.default)
    assert set(parsed.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type", "Content-Transfer-Encoding",
        "MIME-Version",
    }  # fmt: skip
    assert parsed["To"] == "soc@example.org"
    body = parsed.get_content()
    assert "evil.example" not in body.lower()
    assert [line for line in body.splitlines() if line.startswith(("Bcc", "Target: something"))] == []
    assert re.findall(r"https?://[^\s]+", body) == [f"{PUBLIC}/approvals/act-0123456789abcdef"]
