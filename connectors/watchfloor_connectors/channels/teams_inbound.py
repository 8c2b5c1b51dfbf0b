"""What people write to the outgoing webhook in Teams, out of a body that has been proven authentic.

An activity of the Bot Framework whose text begins with the mention::

    @Watchfloor deny act-0123456789abcdef the host is the backup server
    @Watchfloor review act-0123456789abcdef
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from watchfloor_connectors.channels.signatures import WINDOW_S
from watchfloor_core.errors import RecordError

MAX_BODY_BYTES: Final = 256 * 1024
MAX_REASON: Final = 4_000
USAGE: Final = (
    "Write `deny act-<16 hex digits> <why>` to say no, or `review act-<16 hex digits>` to be told where to look and "
    "sign. A yes is a signature and cannot be given in a chat."
)
_MENTION: Final = re.compile(r"<at\b[^>]*>.*?</at>", re.DOTALL | re.IGNORECASE)
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_COMMAND: Final = re.compile(r"(?i:(deny|review))\s+(act-[0-9a-f]{16})(?:\s+(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TeamsDeny:
    proposal_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class TeamsReview:
    proposal_id: str


TeamsCommand: TypeAlias = TeamsDeny | TeamsReview


@dataclass(frozen=True, slots=True)
class TeamsMessage:
    user: str
    """Object id of the person in Entra ID, lower case."""
    command: TeamsCommand | None
    """None where it is none that we offer; see `USAGE`."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _From(_Model):
    # The display name beside it is the person's own choice, and not read.
    aadObjectId: str = Field(pattern=r"^[0-9a-fA-F-]{36}$")


class _Activity(_Model):
    type: Literal["message"]
    timestamp: AwareDatetime
    sender: _From = Field(alias="from")
    text: str = ""


def parse_message(body: bytes, now_s: int) -> TeamsMessage:
    """The message in a proven body. Raises `RecordError` where it is none, or not of the last minutes."""
    try:
        activity = _Activity.model_validate_json(body)
    except ValidationError:
        raise RecordError("the activity is no message with a timestamp and the sender's aadObjectId") from None
    if abs(now_s - _seconds(activity.timestamp)) > WINDOW_S:
        raise RecordError(f"the activity's timestamp is more than {WINDOW_S} s away from now")
    return TeamsMessage(activity.sender.aadObjectId.lower(), parse_command(activity.text))


def parse_command(text: str) -> TeamsCommand | None:
    """The command in a message's HTML, whatever stands around the mention."""
    plain = html.unescape(_TAG.sub(" ", _MENTION.sub(" ", text[: 4 * MAX_REASON]))).replace("\u00a0", " ").strip()
    found = _COMMAND.fullmatch(plain)
    if found is None:
        return None
    verb, proposal_id, rest = found[1].lower(), found[2], (found[3] or "").strip()
    return TeamsDeny(proposal_id, rest) if verb == "deny" else TeamsReview(proposal_id)


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
