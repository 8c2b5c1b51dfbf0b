"""Slack's side of a notice as Block Kit: the message with its two buttons, and the dialog that asks why not.

https://docs.slack.dev/reference/block-kit. Foreign text stands in ``plain_text`` objects only, escaped as Slack asks
(&, <, >) and defanged before, so that nothing in it is markup, a link or a mention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from watchfloor_connectors.channels.text import NoticeText, notice_text
from watchfloor_core.errors import RecordError
from watchfloor_core.notice import ApprovalNotice
from watchfloor_core.ports import Json

REVIEW: Final = "watchfloor_review"
DENY: Final = "watchfloor_deny"
DENY_DIALOG: Final = "watchfloor_deny_dialog"
REASON_BLOCK: Final = "reason"
REASON: Final = "reason_text"
MAX_REASON: Final = 3_000
"""Characters, of Slack's input; below what a comment may have."""
_MAX_TEXT: Final = 3_000
_MAX_HEADER: Final = 150
_INERT: Final[Mapping[str, Json]] = {
    "parse": "none",
    "link_names": False,
    "mrkdwn": False,
    "unfurl_links": False,
    "unfurl_media": False,
}


class Reference(BaseModel):
    """What a button or dialog is about; comes back in the signed interaction. Names a proposal, never a person."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    tenant: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    proposal: str = Field(pattern=r"^act-[0-9a-f]{16}$")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises `RecordError`."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            raise RecordError("the button names no proposal of ours; use the newest message about it") from None


def escape(text: str) -> str:
    """For any of Slack's text objects."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def message(notice: ApprovalNotice, public_url: str, conversation: str) -> dict[str, Json]:
    """The arguments of ``chat.postMessage``."""
    said = notice_text(notice, public_url)
    blocks: list[Json] = [
        {"type": "header", "text": _plain(said.headline, _MAX_HEADER)},
        {"type": "section", "text": _plain(_lines(said))},
    ]
    if said.is_waiting:
        value = Reference(tenant=notice.tenant, proposal=notice.proposal_id, digest=notice.digest).model_dump_json()
        blocks.append(
            {
                "type": "actions",
                "block_id": "watchfloor_decide",
                "elements": [_button(REVIEW, "Review and sign", value), _button(DENY, "Deny…", value, "danger")],
            }
        )
    return {
        "channel": conversation,
        # Shown in notifications, and parsed for markup: nothing foreign is in it.
        "text": escape(f"{said.headline}: {notice.proposal_id}"),
        "blocks": blocks,
        **_INERT,
    }


def plain_message(headline: str, lines: Sequence[str], conversation: str) -> dict[str, Json]:
    """The arguments of ``chat.postMessage`` for lines that were defanged before; the headline holds nothing foreign."""
    # What one block takes, whatever of it has to be escaped.
    size = _MAX_TEXT // len(escape("&"))
    pieces = [line[start : start + size] for line in lines for start in range(0, max(len(line), 1), size)]
    blocks: list[str] = []
    for piece in pieces:
        if blocks and len(blocks[-1]) + len(piece) < size:
            blocks[-1] += f"\n{piece}"
        else:
            blocks.append(piece)
    sections: list[Json] = [{"type": "section", "text": _plain(one)} for one in blocks]
    return {
        "channel": conversation,
        "text": escape(headline),
        "blocks": [{"type": "header", "text": _plain(headline, _MAX_HEADER)}, *sections],
        **_INERT,
    }


def deny_dialog(reference: Reference) -> dict[str, Json]:
    """The view for ``views.open`` that asks for the reason."""
    return {
        "type": "modal",
        "callback_id": DENY_DIALOG,
        "private_metadata": reference.model_dump_json(),
        "title": _plain("Deny this action"),
        "submit": _plain("Deny"),
        "close": _plain("Cancel"),
        "blocks": [
            {"type": "section", "text": _plain(f"Proposal {reference.proposal}. A denial is final.")},
            {
                "type": "input",
                "block_id": REASON_BLOCK,
                "label": _plain("Why not?"),
                "element": {
                    "type": "plain_text_input",
                    "action_id": REASON,
                    "multiline": True,
                    "min_length": 1,
                    "max_length": MAX_REASON,
                },
            },
        ],
    }


def outcome_dialog(text: str) -> dict[str, Json]:
    """What takes the dialog's place once it has been answered."""
    return {
        "type": "modal",
        "title": _plain("Watchfloor"),
        "close": _plain("Close"),
        "blocks": [{"type": "section", "text": _plain(text)}],
    }


def reason_fault(text: str) -> dict[str, Json]:
    """Answer to a submission that keeps the dialog open and says what is wrong."""
    return {"response_action": "errors", "errors": {REASON_BLOCK: text[:_MAX_TEXT]}}


def private_answer(text: str, link: str | None = None) -> dict[str, Json]:
    """For a ``response_url``: seen only by who pressed. ``link`` is an address of ours, the only live one."""
    blocks: list[Json] = [{"type": "section", "text": _plain(text)}]
    if link is not None:
        opened: dict[str, Json] = {"type": "mrkdwn", "text": f"<{escape(link)}|Open in the console>", "verbatim": True}
        blocks.append({"type": "section", "text": opened})
    return {
        "response_type": "ephemeral",
        "replace_original": False,
        "text": "Watchfloor answers",
        "blocks": blocks,
    }


def _lines(said: NoticeText) -> str:
    lines = [f"{label}: {value}" for label, value in said.facts]
    return "\n".join([*lines, f"Look at it: {said.review_url} or {said.review_command}"])


def _plain(text: str, limit: int = _MAX_TEXT) -> dict[str, Json]:
    # Cut before it is escaped, so that no entity is cut in two; escaping makes five of one character at most.
    bounded = text[:limit]
    while len(escape(bounded)) > limit:
        bounded = bounded[: len(bounded) - 1 - (len(escape(bounded)) - limit) // 5]
    return {"type": "plain_text", "text": escape(bounded), "emoji": False}


def _button(action_id: str, label: str, value: str, style: str | None = None) -> dict[str, Json]:
    button: dict[str, Json] = {"type": "button", "action_id": action_id, "text": _plain(label), "value": value}
    return button if style is None else {**button, "style": style}
