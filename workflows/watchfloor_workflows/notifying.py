"""Tells people about proposals that wait for them, on every channel that reaches them.

At least once: a notice that was sent and whose answer was lost is sent again by whoever asks again. Reading one twice
harms nobody, and no notice carries authority.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final

from watchfloor_connectors.channels.built import AddressedChannel
from watchfloor_connectors.channels.http import BusyError
from watchfloor_core.errors import UnavailableError
from watchfloor_core.notice import ApprovalNotice
from watchfloor_core.telemetry.content import AttributeValue
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_core.telemetry.spans import span
from watchfloor_core.untrusted import escape_untrusted

_LOG = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 8
_MAX_LOGGED: Final = 300


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """One channel that did not take the notice."""

    channel: str
    may_retry: bool
    """False where an operator must mend something first."""
    retry_after_s: int | None
    """What the other side asked for."""
    error: str
    """Class of the error; the log has the rest."""


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What became of one notice."""

    delivered: tuple[str, ...]
    """Names of channels."""
    failed: tuple[FailedDelivery, ...]

    @property
    def has_reached_someone(self) -> bool:
        return bool(self.delivered)

    @property
    def to_retry(self) -> frozenset[str]:
        """Channels for which the same notice may be sent again."""
        return frozenset(failure.channel for failure in self.failed if failure.may_retry)

    @property
    def retry_after_s(self) -> int | None:
        """The longest wait that a channel to be tried again asked for."""
        asked = [one.retry_after_s for one in self.failed if one.may_retry and one.retry_after_s is not None]
        return max(asked, default=None)


class Notifier:
    """Over the channels of all tenants. Blocks, at most some seconds for each channel: for a worker's thread."""

    def __init__(self, channels: Sequence[AddressedChannel]) -> None:
        self._channels = tuple(channels)

    def notify(self, notice: ApprovalNotice, only: Collection[str] | None = None) -> DeliveryReport:
        """Send the notice to each channel that reaches who is asked; to those named in ``only``, where given.

        Never raises for a channel: one that fails keeps no other from being told, and a proposal waits for its people
        whether or not they could be reached.
        """
        addressed = [one for one in self._channels if one.is_for(notice) and (only is None or one.channel.name in only)]
        # Side by side, so that channels that hang take the time of one. Each in its own copy of the context: it says
        # below which span the delivery's stands.
        with ThreadPoolExecutor(MAX_AT_ONCE, "notify") as threads:
            sent = [(one, threads.submit(copy_context().run, _deliver, one, notice)) for one in addressed]
        failures = {one.channel.name: failure for one, done in sent if (failure := done.result()) is not None}
        delivered = tuple(one.channel.name for one in addressed if one.channel.name not in failures)
        if not delivered:
            _LOG.warning(
                "nobody was told of %s about proposal %s: %s",
                notice.kind.value,
                notice.proposal_id,
                f"{len(failures)} channels failed" if failures else f"no channel reaches {', '.join(notice.roles)}",
            )
        return DeliveryReport(delivered, tuple(failures.values()))

    def send(self, notice: ApprovalNotice) -> None:
        """As `notify`, for a caller that tries again by itself.

        Raises `UnavailableError` where nobody was told and another try may do better. What only an operator can mend
        is in the log, and trying again would not mend it.
        """
        report = self.notify(notice)
        if not report.delivered and report.to_retry:
            raise UnavailableError(f"no channel took the notice: {', '.join(sorted(report.to_retry))} may later")


def _deliver(addressed: AddressedChannel, notice: ApprovalNotice) -> FailedDelivery | None:
    name = addressed.channel.name
    attributes: dict[str, AttributeValue] = {
        SpanAttribute.TENANT: notice.tenant,
        SpanAttribute.PROPOSAL_ID: notice.proposal_id,
        SpanAttribute.INCIDENT_ID: notice.incident_id,
        SpanAttribute.APPROVAL_CHANNEL: name,
    }
    try:
        with span(SpanName.NOTIFY, attributes):
            addressed.channel.notify(notice)
    except Exception as error:  # noqa: BLE001 -- a broken channel must not keep the others from telling people
        may_retry = isinstance(error, UnavailableError)
        _LOG.warning(
            "channel %s did not take %s about proposal %s: %s",
            name,
            notice.kind.value,
            notice.proposal_id,
            escape_untrusted(f"{type(error).__name__}: {error}"[:_MAX_LOGGED]),
        )
        wait = error.retry_after_s if isinstance(error, BusyError) else None
        return FailedDelivery(name, may_retry, wait, type(error).__name__)
    return None
