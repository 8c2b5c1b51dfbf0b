"""Raw records through one connector: what each became, and no record that stops the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from watchfloor_connectors.framing import Framed
from watchfloor_connectors.mapping import MappedConnector
from watchfloor_connectors.raw import RawRecord
from watchfloor_core.alert import Alert
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Connector, Record
from watchfloor_core.store.ingest import ParsedRecord
from watchfloor_core.untrusted import quote_untrusted

_ERROR_LIMIT: Final = 200
"""Characters of a foreign exception's text: it may quote the record."""


def parse_records(connector: Connector, raw_records: Iterable[RawRecord]) -> Iterator[ParsedRecord]:
    """What the connector makes of each record.

    Raises ConfigurationError before the first record where a mapping reads columns that the input lacks: at once for
    a `Framed`, with the first record for any other iterable. A dead letter's bytes stand after what must precede them
    to be read alone (the CSV header), so that it can be tried again with nothing else at hand.
    """
    is_checked = isinstance(raw_records, Framed)
    if isinstance(raw_records, Framed):
        check_columns(connector, raw_records.columns, raw_records.name)
    return _parse(connector, raw_records, is_checked)


def check_columns(connector: Connector, columns: tuple[str, ...] | None, name: str) -> None:
    """Raises ConfigurationError where a mapping reads columns that a CSV with this header lacks."""
    if columns and isinstance(connector, MappedConnector):
        connector.check_columns(columns, name)


def _parse(connector: Connector, raw_records: Iterable[RawRecord], is_checked: bool) -> Iterator[ParsedRecord]:
    for position, raw, record, preamble, columns in raw_records:
        if not is_checked:
            check_columns(connector, columns, "the input")
            is_checked = True
        outcome = record if isinstance(record, RecordError) else parse_record(connector, record)
        yield ParsedRecord(position, preamble + raw if isinstance(outcome, RecordError) else raw, outcome)


def parse_record(connector: Connector, record: Record) -> Alert | RecordError | None:
    """What the connector makes of one record; whatever it raises is the record's error."""
    try:
        alert = connector.to_alert(record)
    except RecordError as error:
        return error
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  # third-party code: a defect in it costs the record, never the batch
        return RecordError(
            f"connector {connector.name!r} failed with {type(error).__name__}: "
            f"{quote_untrusted(str(error), _ERROR_LIMIT)}; this is a defect of the connector"
        )
    if alert is not None and not isinstance(alert, Alert):
        return RecordError(f"connector {connector.name!r} gave {type(alert).__name__}; an Alert or None was expected")
    return alert
