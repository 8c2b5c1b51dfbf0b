"""What the inventory says of a target holds for it in every spelling that a tool might take."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from watchfloor_core.store.engine import Store
from watchfloor_core.store.interning import entity_id
from watchfloor_core.store.schema import asset
from watchfloor_workflows.authority.incident_view import blast_on, groups_on
from watchfloor_workflows.authority.spelling import spelled


@pytest.mark.parametrize("value", ["dba", "DBA", "Dba "])
def test_a_crown_jewel_is_one_in_every_spelling(store: Store, value: str) -> None:
    with store.write() as connection:
        connection.execute(
            insert(asset).values(
                tenant="acme", entity_id=entity_id("user", "dba"), kind="user", value="dba", tier=0, groups=["finance"]
            )
        )
        blast = blast_on(connection, "acme", "user", value)
        assert (blast.in_inventory, blast.users, blast.tier) == (True, 1, 0)
        assert groups_on(connection, "acme", "user", value) == ("finance",)


def test_what_is_told_apart_by_case_stays_apart_and_what_is_no_value_stays_as_it_is() -> None:
    assert spelled("file", "/etc/Passwd") == "/etc/Passwd"
    assert spelled("ip", "::ffff:192.0.2.1") == "192.0.2.1"
    assert spelled("ip", "no address") == "no address"
    assert spelled("robot", "R2") == "R2"
