"""Microsoft: rows of Sentinel's ``SecurityAlert`` table, and Defender XDR alerts of the Graph API (``alerts_v2``)."""

from __future__ import annotations

from watchfloor_connectors import microsoft_graph, microsoft_sentinel
from watchfloor_core.alert import Alert
from watchfloor_core.ports import Record


class Microsoft:
    """Alerts of the Microsoft Defender products and of Sentinel's own rules.

    Each product (Defender for Endpoint, Identity Protection, Defender for Office …) is a sensor of its own: two of
    them that agree corroborate each other.
    """

    name = "microsoft"
    version = "1"

    def recognises(self, record: Record) -> bool:
        return microsoft_sentinel.recognises(record) or microsoft_graph.recognises(record)

    def to_alert(self, record: Record) -> Alert:
        if microsoft_graph.recognises(record):
            return microsoft_graph.to_alert(self.name, record)
        return microsoft_sentinel.to_alert(self.name, record)
