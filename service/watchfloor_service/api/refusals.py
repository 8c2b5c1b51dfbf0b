"""Every refusal leaves a trace: of callers who are known in the ledger, of strangers in the log.

Neither can be made to flood anything. The ledger takes a few refusals of one principal a minute and the number of the
others; strangers are slowed down by the throttle before they fill a log.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fastapi import Request

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import WatchfloorError
from watchfloor_core.ledger import Decision, record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_service.access.accounts import CONTROL
from watchfloor_service.access.caller import Caller
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.api.routes.tracing import route_template
from watchfloor_service.api.throttle import client_network

_LOG: Final = logging.getLogger(__name__)

RECORDED: Final = 10
"""Of one principal in one tenant, within a window."""
WINDOW_US: Final = 60 * MICROSECONDS
REMEMBERED: Final = 10_000


class RefusalCode(StrEnum):
    SCOPE = "scope"
    """The caller holds no such scope."""
    NOT_A_PERSON = "not_a_person"
    TENANT = "tenant"
    """A tenant that is not the caller's was named."""
    CSRF = "csrf"
    """A request with a cookie that another site started, or that does not show the token."""
    CREDENTIAL = "credential"
    TWO_CREDENTIALS = "two_credentials"
    SIGN_IN = "sign_in"


@dataclass(slots=True)
class _Window:
    began_us: int
    recorded: int = 0
    unrecorded: int = 0


class Refusals:
    """Thread-safe; one for each process, so that each may record its few."""

    def __init__(self, store: Store, clock: Callable[[], int] = now_us) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()
        self.of_strangers = 0
        """Since this process began."""

    def forbid(self, request: Request, caller: Caller, code: RefusalCode, detail: str) -> ProblemError:
        """Trace the refusal of a known caller; gives the 403 to raise."""
        at_us = self._clock()
        unrecorded = self._admit((caller.tenant, caller.principal), at_us)
        if unrecorded is not None:
            self._record(request, caller, code, unrecorded, at_us)
        return ProblemError(ProblemKind.FORBIDDEN, detail)

    def log_stranger(self, request: Request, client: str, code: RefusalCode) -> None:
        """Trace the refusal of somebody who did not prove who they are. What they sent is not logged."""
        with self._lock:
            self.of_strangers += 1
            count = self.of_strangers
        _LOG.warning(
            "refused %s from %s at %s %s (%d since start)",
            code.value,
            client_network(client),
            request.method,
            route_template(request),
            count,
        )

    def _admit(self, key: tuple[str, str], at_us: int) -> int | None:
        """How many went unrecorded before this one, which is to be recorded; None where it is not."""
        with self._lock:
            window = self._windows.pop(key, None) or _Window(at_us)
            self._windows[key] = window
            while len(self._windows) > REMEMBERED:
                self._windows.popitem(last=False)
            if at_us - window.began_us >= WINDOW_US:
                window.began_us, window.recorded = at_us, 0
            if window.recorded >= RECORDED:
                if window.unrecorded == 0:
                    _LOG.warning("%s of tenant %s is refused too often for the ledger; counted from here", *key[::-1])
                window.unrecorded += 1
                return None
            window.recorded += 1
            unrecorded, window.unrecorded = window.unrecorded, 0
            return unrecorded

    def _record(self, request: Request, caller: Caller, code: RefusalCode, unrecorded: int, at_us: int) -> None:
        decision = Decision(
            CONTROL,
            "refusal",
            {
                "code": code.value,
                "principal": caller.principal,
                "kind": caller.kind.value,
                "via": caller.via.value,
                "credential": caller.credential_id,
                "method": request.method,
                "route": route_template(request),
                "unrecorded_before": unrecorded,
            },
            SpanName.REFUSAL,
            at_us,
            at_us,
            attributes={
                SpanAttribute.PRINCIPAL: caller.principal,
                SpanAttribute.REFUSAL_CODE: code.value,
                SpanAttribute.HTTP_ROUTE: route_template(request),
            },
        )
        try:
            with self._store.write() as connection:
                record_decisions(connection, caller.tenant, [decision])
        except WatchfloorError as error:
            # It stays refused; what could not be written is in the log at least.
            _LOG.warning("refusal %s of %s is not in the ledger: %s", code.value, caller.principal, error)
