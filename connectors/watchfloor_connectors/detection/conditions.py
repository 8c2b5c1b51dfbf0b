"""Sigma conditions as SQL over columns of our own naming, by pySigma's SQLite backend."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Final

import re2
from sigma.backends.sqlite.sqlite import sqliteBackend
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

FULL_TEXT: Final = "*"
"""Stands for all values of an event; no field has that name."""


class UnsupportedRuleError(Exception):
    """A rule that cannot be expressed here; its text says why."""


class Columns:
    """Numbers fields: names in rules never reach SQL, and two that differ in case alone stay two."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, field: str) -> str:
        return f"c{self._numbers.setdefault(field, len(self._numbers))}"


class _Backend(sqliteBackend):
    """Gives a rule's condition alone. Text columns hold everything, so a comparison by size makes numbers of both."""

    compare_op_expression: ClassVar[str] = "CAST({field} AS REAL) {operator} {value}"

    def __init__(self, columns: Columns) -> None:
        super().__init__(fulltext_field=FULL_TEXT)  # type: ignore[no-untyped-call]  # as all of the package
        self._columns = columns

    def escape_and_quote_field(self, field: str) -> str:
        return self._columns.of(field)

    def finalize_query(self, rule: Any, query: Any, *rest: Any, **named: Any) -> Any:  # noqa: ARG002  # pySigma's form
        return query


class Conditions:
    """Translates rules; the columns are common to all of them."""

    def __init__(self) -> None:
        self.columns = Columns()
        self._backend: Any = _Backend(self.columns)  # Any: the package has no types

    def fields_of(self, rule: SigmaRule) -> frozenset[str]:
        """The fields that a rule looks at, `FULL_TEXT` among them. Raises `UnsupportedRuleError`."""
        try:
            return frozenset(self._backend.required_fields(rule))
        except (SigmaError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UnsupportedRuleError(_short(error)) from error

    def of(self, rule: SigmaRule) -> str:
        """The SQL condition over columns. Raises `UnsupportedRuleError`."""
        try:
            queries = self._backend.convert_rule(rule)
        except (SigmaError, ValueError, TypeError, AttributeError, NotImplementedError, RecursionError) as error:
            raise UnsupportedRuleError(_short(error)) from error
        if not queries or not all(isinstance(one, str) and one for one in queries):
            raise UnsupportedRuleError("it has no condition that could be true")
        return " OR ".join(f"({one})" for one in queries)


def regexp(pattern: str, value: object) -> bool:
    """SQLite's ``value REGEXP pattern``, by RE2: the time it takes is linear in what an attacker wrote."""
    return value is not None and _compiled(pattern).search(str(value)) is not None


_QUIET: Final = re2.Options()
# What is wrong with a pattern is told with its rule; the library would write it to standard error as well.
_QUIET.log_errors = False


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> Any:  # Any: the package has no types
    return re2.compile(pattern, _QUIET)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
