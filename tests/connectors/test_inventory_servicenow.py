"""ServiceNow's CMDB as an inventory: every form in which its Table API and its exports give a field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from watchfloor_connectors.inventory import InventoryItem, read_inventory
from watchfloor_core.errors import ConfigurationError

SERVER: dict[str, Any] = {
    "sys_id": "0ad2f2c0c0a8016400000000a1b2c3d4",
    "sys_class_name": "cmdb_ci_linux_server",
    "name": "DB01",
    "fqdn": "db01.example.org",
    "ip_address": "10.1.2.3",
    "business_criticality": "1 - most critical",
    "support_group": "Databases",
    "environment": "Production",
    "install_status": "1",
}


def read(folder: Path, *records: dict[str, Any], key: str = "result") -> list[InventoryItem]:
    file = folder / "cmdb.json"
    file.write_text(json.dumps({key: list(records)}))
    return list(read_inventory(file))


def shown(items: list[InventoryItem]) -> list[tuple[str, str, int, tuple[str, ...]]]:
    return [(one.kind.value, one.value, one.tier, one.groups) for one in items]


WANTED = [
    ("host", "db01", 0, ("Databases", "Production")),
    ("host", "db01.example.org", 0, ("Databases", "Production")),
    ("ip", "10.1.2.3", 0, ("Databases", "Production")),
]


def as_values(record: dict[str, Any]) -> dict[str, Any]:
    """``sysparm_display_value=all``."""
    return {name: {"value": value, "display_value": value} for name, value in record.items()}


@pytest.mark.parametrize(
    "record",
    [
        SERVER,
        as_values(SERVER),
        {
            **SERVER,
            "support_group": {"display_value": "Databases", "link": "https://x.service-now.com/api/now/table/y"},
        },
        {**SERVER, "sys_class_name": "Linux Server", "install_status": "Installed"},
        {**SERVER, "busines_criticality": "1 - most critical", "business_criticality": ""},
        {**SERVER, "business_criticality": {"value": "1", "display_value": "1 - most critical"}},
    ],
    ids=["values", "all", "display values", "labels", "as it is spelled", "mixed"],
)
def test_a_server_is_its_names_and_address(tmp_path: Path, record: dict[str, Any]) -> None:
    assert shown(read(tmp_path, record)) == WANTED


def test_an_export_has_records(tmp_path: Path) -> None:
    assert shown(read(tmp_path, SERVER, key="records")) == WANTED


def test_a_list_export_as_csv_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "cmdb.csv"
    names = list(SERVER)
    file.write_text(",".join(names) + "\n" + ",".join(SERVER[name] for name in names) + "\n")
    assert shown(list(read_inventory(file))) == WANTED


def test_users_are_read_and_those_that_left_are_not(tmp_path: Path) -> None:
    ann = {
        "sys_id": "1",
        "user_name": "Ann.Archer",
        "active": "true",
        "department": {"display_value": "IT", "link": "x"},
    }
    gone = {"sys_id": "2", "user_name": "old", "active": "false"}
    assert shown(read(tmp_path, ann, gone)) == [("user", "ann.archer", 2, ("IT",))]


@pytest.mark.parametrize(
    "change",
    [
        {"install_status": "7"},
        {"install_status": "Retired"},
        {"operational_status": "6"},
        {"sys_class_name": "cmdb_ci_service"},
        {"sys_class_name": "cmdb_ci_appl"},
        {"name": "", "fqdn": "", "ip_address": ""},
    ],
)
def test_what_is_gone_or_no_host_is_left_out(tmp_path: Path, change: dict[str, str]) -> None:
    other = {**SERVER, "name": "web1", "fqdn": "", "ip_address": "", "business_criticality": ""}
    assert [one.value for one in read(tmp_path, {**SERVER, **change}, other)] == ["web1"]


def test_a_title_is_no_name_and_an_address_is_enough(tmp_path: Path) -> None:
    record = {**SERVER, "name": "Mail server of the branch", "fqdn": "", "business_criticality": "4 - not critical"}
    assert shown(read(tmp_path, record)) == [("ip", "10.1.2.3", 3, ("Databases", "Production"))]


def test_several_addresses_stand_in_one_field(tmp_path: Path) -> None:
    record = {**SERVER, "name": "a", "fqdn": "", "ip_address": "10.0.0.1, 10.0.0.2"}
    assert [one.value for one in read(tmp_path, record)] == ["a", "10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "no JSON"),
        ("[]", "Table API was expected"),
        ('{"result": [{"a": 1}]}', "Table API was expected"),
        ('{"result": [1]}', "Table API was expected"),
        (json.dumps({"result": [SERVER, {**SERVER, "business_criticality": "high"}]}), "'high' is no criticality"),
        (json.dumps({"result": [{**SERVER, "ip_address": "10.0.0.999"}]}), "is no IP address"),
    ],
)
def test_what_is_no_inventory_says_what_was_expected(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "cmdb.json"
    file.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        read_inventory(file)
    assert reason in str(caught.value)


def test_an_empty_answer_is_an_empty_inventory(tmp_path: Path) -> None:
    assert read(tmp_path) == []
