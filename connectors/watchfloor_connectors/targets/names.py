"""Values of targets that go into vendors' questions: of a few characters that mean nothing there, or refused."""

from __future__ import annotations

import re
from typing import Final

from watchfloor_connectors.targets.base import BadTargetError, plain_text
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Target
from watchfloor_guardrails.catalogue import TargetKind

_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9_-]{0,62}[A-Za-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(\.{_LABEL}){{0,16}}")
_SIGN_IN: Final = re.compile(rf"[A-Za-z0-9]([A-Za-z0-9._+'-]{{0,62}}[A-Za-z0-9_+'-])?@{_LABEL}(\.{_LABEL}){{1,16}}")
UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def matched(target: Target, kind: TargetKind, pattern: re.Pattern[str], what: str) -> str:
    """The value, where all of it matches. Raises `BadTargetError`; ``what`` says what was expected."""
    if target.kind is not kind:
        raise BadTargetError(f"a target of kind {target.kind!r} is not {what}")
    value = plain_text(target.value, what)
    if not pattern.fullmatch(value):
        raise BadTargetError(f"{quote_untrusted(value, 80)} is not {what}")
    return value


def host_name(target: Target) -> str:
    """A computer's name or a vendor's id of it. Raises `BadTargetError`."""
    return matched(target, TargetKind.HOST, _HOST, "a computer's name (RFC 1123, and underscores) or its id")


def sign_in_name(target: Target, kind: TargetKind) -> str:
    """A name with which people sign in, such as ``ann@example.org``, in ASCII. Raises `BadTargetError`."""
    return matched(target, kind, _SIGN_IN, "an account's name such as ann@example.org")
