"""Short names for evidence: no model copies 64 hex digits reliably, and none can name what it was not shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from watchfloor_core.evidence import Evidence


@dataclass(slots=True)
class Handles:
    """``E1``, ``E2`` … in the order in which evidence is shown in one run."""

    _by_handle: dict[str, Evidence] = field(default_factory=dict)
    _by_id: dict[str, str] = field(default_factory=dict)

    def of(self, evidence: Evidence) -> str:
        """The evidence's handle; a new one where it is shown for the first time."""
        handle = self._by_id.get(evidence.id)
        if handle is None:
            handle = f"E{len(self._by_id) + 1}"
            self._by_id[evidence.id] = handle
            self._by_handle[handle] = evidence
        return handle

    def known(self, id_: str) -> str | None:
        """The handle of evidence that was shown, by its id."""
        return self._by_id.get(id_)

    def find(self, name: str) -> Evidence | None:
        """What a handle, or the whole id of evidence that was shown, names."""
        return self._by_handle.get(self._by_id.get(name, name))
