"""Evidence in the store: once, found again by its id, and refused where it was changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from watchfloor_core.errors import NotFoundError, RecordError
from watchfloor_core.evidence import Evidence, EvidenceKind
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.evidence import UseKey, find_evidence, keep_evidence, read_evidence, uses_of
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema_investigation import evidence, evidence_use

TENANT = "acme"
KEY = UseKey(TENANT, "inc-1", 1, "d" * 64)


def fact(text: str) -> Evidence:
    return Evidence(EvidenceKind.EVENT, "lab", {"type": "other", "time_us": 7, "fields": {"message": text}}, 7)


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    address = f"sqlite:///{tmp_path / 'watchfloor.db'}"
    migrate(address)
    return open_store(address)


def keep(store: Store, *found: Evidence, key: UseKey = KEY) -> None:
    with store.write() as connection:
        keep_evidence(connection, key, found, agent="specialist", collected_us=9)


def test_what_is_kept_twice_is_there_once_and_names_both_uses(kept: Store) -> None:
    keep(kept, fact("a"), fact("b"))
    keep(kept, fact("a"), key=UseKey(TENANT, "inc-2", 1, "e" * 64))
    keep(kept, fact("a"), fact("b"))
    with kept.read() as connection:
        assert connection.scalar(select(func.count()).select_from(evidence)) == 2
        assert connection.scalar(select(func.count()).select_from(evidence_use)) == 3
        assert read_evidence(connection, TENANT, [fact("a").id, "f" * 64]) == {fact("a").id: fact("a")}
        assert {use.incident_id for use in uses_of(connection, TENANT, fact("a").id)} == {"inc-1", "inc-2"}


def test_it_is_found_by_the_beginning_of_its_id_and_by_no_other_tenant(kept: Store) -> None:
    keep(kept, fact("a"))
    with kept.read() as connection:
        assert find_evidence(connection, TENANT, fact("a").id[:8]) == fact("a")
        for prefix in (fact("a").id[:7], "%" * 8, "0" * 8, fact("a").id[:8].upper() + "X"):
            with pytest.raises(NotFoundError):
                find_evidence(connection, TENANT, prefix)
        with pytest.raises(NotFoundError):
            find_evidence(connection, "other", fact("a").id)
        assert read_evidence(connection, "other", [fact("a").id]) == {}
        assert uses_of(connection, "other", fact("a").id) == ()


def test_evidence_changed_in_the_store_is_not_given_out(kept: Store) -> None:
    import zstandard

    keep(kept, fact("a"))
    with kept.write() as connection:
        other = zstandard.compress(fact("b").canonical)
        connection.execute(update(evidence).values(content=other))
    with kept.read() as connection, pytest.raises(RecordError, match="changed"):
        find_evidence(connection, TENANT, fact("a").id)


def test_an_events_time_is_the_one_that_its_id_commits_to(kept: Store) -> None:
    keep(kept, fact("a"))
    with kept.write() as connection:
        connection.execute(update(evidence).values(time_us=1))
    with kept.read() as connection:
        assert find_evidence(connection, TENANT, fact("a").id).time_us == 7
