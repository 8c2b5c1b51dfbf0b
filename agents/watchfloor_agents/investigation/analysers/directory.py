"""What the identity directory says of the accounts of a case: told to whoever reads the report, and weighing nothing.

That a disabled or a privileged account stands in an alert is worth a look. It is no proof of an attack, for anybody can
type a name at a logon; and that an account is in order is no proof of the opposite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from watchfloor_agents.investigation.engine import Claim
from watchfloor_agents.investigation.view import CaseView
from watchfloor_core.clock import MICROSECONDS, from_datetime
from watchfloor_core.evidence import Evidence
from watchfloor_core.report import Citation, Stance
from watchfloor_core.untrusted import quote_untrusted

ACCOUNT: Final = "notable_account"
NEW_DAYS: Final = 14
"""Before the incident: an account, or a password, as young as this is told."""
_DAY_US: Final = 86_400 * MICROSECONDS
_DISABLED: Final = "account.disabled"
_PRIVILEGED: Final = "account.privileged_groups"
_EXPIRES: Final = "account.expires"
_CREATED: Final = "account.created"
_PASSWORD: Final = "account.password_last_set"  # noqa: S105  # when, not which
_ENTRIES: Final = "account.entries"

Note = tuple[str, str]
"""A field and what it comes to, in words."""


def of_directory(view: CaseView, facts: Sequence[Evidence]) -> Iterator[Claim]:
    """One claim for each account of which anything is notable, those with the most first."""
    noted = [(fact, notes) for fact in facts if (notes := list(_notes(view, fact)))]
    for fact, notes in sorted(noted, key=lambda one: (-len(one[1]), one[0].id)):
        name, source = quote_untrusted(fact.value("entity.value") or "", 120), quote_untrusted(fact.source, 60)
        said = "; ".join(text for _, text in notes)
        alike = fact.value(_ENTRIES)
        which = f", one of {alike} entries of that name," if alike else ""
        fields = ("account.name", *(field for field, _ in notes), *((_ENTRIES,) if alike else ()))
        yield Claim(
            code=ACCOUNT,
            text=f"The account {name}{which} by the directory {source}: {said}",
            citations=tuple(
                Citation(fact.id, field, value) for field in fields if (value := fact.value(field)) is not None
            ),
            time_us=view.case.range.start_us,
            stance=Stance.NEUTRAL,
        )


def _notes(view: CaseView, fact: Evidence) -> Iterator[Note]:
    start = view.case.range.start_us
    recent = start - NEW_DAYS * _DAY_US
    if fact.value(_DISABLED) == "yes":
        yield _DISABLED, "it is disabled"
    groups = fact.value(_PRIVILEGED)
    if groups:
        yield _PRIVILEGED, f"it is in the privileged groups {quote_untrusted(groups, 200)}"
    expires = _time(fact, _EXPIRES)
    if expires is not None and expires <= start:
        yield _EXPIRES, f"it expired on {fact.value(_EXPIRES)}"
    created = _time(fact, _CREATED)
    if created is not None and created >= recent:
        yield _CREATED, f"it was made on {fact.value(_CREATED)}, {_before(created, start)}"
    password = _time(fact, _PASSWORD)
    # A new account's first password says nothing more.
    is_first = created is not None and password is not None and abs(password - created) < _DAY_US
    if password is not None and password >= recent and not is_first:
        yield _PASSWORD, f"its password was set on {fact.value(_PASSWORD)}, {_before(password, start)}"


def _before(moment_us: int, start_us: int) -> str:
    if moment_us > start_us:
        return "after the incident began"
    days = (start_us - moment_us) // _DAY_US
    return "less than a day before the incident" if not days else f"{days} days before the incident"


def _time(fact: Evidence, field: str) -> int | None:
    try:
        return from_datetime(datetime.fromisoformat(fact.value(field) or ""))
    except ValueError:
        return None
