"""Slack's Web API, as far as a tool uses it, in memory.

Follows https://docs.slack.dev/reference/methods/chat.postMessage, conversations.history, and of the limits
https://docs.slack.dev/reference/block-kit/blocks. Refusals are status 200 with ``ok: false``, as Slack has them.
"""

from __future__ import annotations

from typing import Any

from tests.connectors.vendor_server import LEAK, SECRET, Reply, Request, Vendor

CONVERSATION = "C012AB3CD"


class SlackServer(Vendor):
    def __init__(self) -> None:
        super().__init__()
        self.scopes = {"chat:write", "channels:history"}
        self.members = {CONVERSATION}
        """Conversations that the app is in."""
        self.messages: list[dict[str, Any]] = []

    def is_effect(self, request: Request) -> bool:
        return request.path == "/api/chat.postMessage"

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {SECRET}":
            return _no("invalid_auth")
        asked = request.json
        needed = {"/api/chat.postMessage": "chat:write", "/api/conversations.history": "channels:history"}
        scope = needed.get(request.path)
        if scope is None:
            return _no("unknown_method")
        if scope not in self.scopes:
            return Reply(200, {"ok": False, "error": "missing_scope", "needed": scope, "provided": LEAK})
        if asked.get("channel") not in self.members:
            return _no("not_in_channel" if scope == "chat:write" else "channel_not_found")
        return self._post(asked) if scope == "chat:write" else self._history(asked)

    def _post(self, asked: dict[str, Any]) -> Reply:
        blocks = asked["blocks"]
        is_right = len(blocks) <= 50 and all(
            block["type"] in ("header", "section")
            and block["text"]["type"] == "plain_text"
            and 0 < len(block["text"]["text"]) <= (150 if block["type"] == "header" else 3_000)
            for block in blocks
        )
        metadata = asked.get("metadata", {})
        if not is_right or not isinstance(metadata.get("event_payload"), dict):
            return _no("invalid_blocks")
        ts = f"{1_800_000_000 + len(self.messages)}.000100"
        self.messages.insert(
            0, {"type": "message", "ts": ts, "text": asked["text"], "blocks": blocks, "metadata": metadata}
        )
        return Reply(200, {"ok": True, "channel": asked["channel"], "ts": ts, "message": {"text": LEAK}})

    def _history(self, asked: dict[str, Any]) -> Reply:
        def is_within(message: dict[str, Any]) -> bool:
            if not asked.get("inclusive") and message["ts"] in (asked.get("oldest"), asked.get("latest")):
                return False
            return str(asked.get("oldest", "0")) <= str(message["ts"]) <= str(asked.get("latest", "9"))

        found = [one for one in self.messages if is_within(one)][: asked.get("limit", 100)]
        if not asked.get("include_all_metadata"):
            found = [{name: value for name, value in one.items() if name != "metadata"} for one in found]
        return Reply(200, {"ok": True, "messages": found, "has_more": False})


def _no(error: str) -> Reply:
    return Reply(200, {"ok": False, "error": error, "detail": LEAK})
