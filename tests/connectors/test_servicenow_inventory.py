"""ServiceNow's CMDB as an inventory: each way in which it gives its tables, and what it gives that is no asset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from watchfloor_connectors.inventory import DEFAULT_TIER, Inventory, InventoryItem, load_inventory, read_inventory
from watchfloor_core.alert import EntityKind
from watchfloor_core.errors import ConfigurationError

HOST, USER, IP = EntityKind.HOST, EntityKind.USER, EntityKind.IP
ID = "d625dccec0a8016700a222a0f7900d06"
LINK = f"https://example.service-now.com/api/now/table/sys_user_group/{ID}"
Record = Mapping[str, object]

SHOWN: Record = {
    "sys_class_name": "Linux Server",
    "name": "WEB01",
    "fqdn": "web01.corp.example",
    "ip_address": "10.0.0.5",
    "busines_criticality": "1 - most critical",
    "assigned_to": {"display_value": "Ada Keane", "link": LINK},
    "support_group": {"display_value": "Linux Operations", "link": LINK},
    "install_status": "Installed",
    "operational_status": "Operational",
    "u_rack": "B7",
    "sys_id": ID,
}
STORED: Record = {
    **SHOWN,
    "sys_class_name": "cmdb_ci_linux_server",
    "assigned_to": {"value": ID, "link": LINK},
    "support_group": {"value": ID, "link": LINK},
    "install_status": "1",
    "operational_status": "1",
}
BOTH: Record = {
    "sys_class_name": {"display_value": "Linux Server", "value": "cmdb_ci_linux_server"},
    "name": {"display_value": "WEB01", "value": "WEB01"},
    "fqdn": {"display_value": "web01.corp.example", "value": "web01.corp.example"},
    "ip_address": {"display_value": "10.0.0.5", "value": "10.0.0.5"},
    "business_criticality": {"display_value": "1 - most critical", "value": "1 - most critical"},
    "assigned_to": {"display_value": "Ada Keane", "link": LINK, "value": ID},
    "support_group": {"display_value": "Linux Operations", "link": LINK, "value": ID},
    "install_status": {"display_value": "Installed", "value": "1"},
    "operational_status": {"display_value": "Operational", "value": "1"},
}


def items(tier: int, *groups: str) -> tuple[InventoryItem, ...]:
    named = [(HOST, "web01"), (HOST, "web01.corp.example"), (IP, "10.0.0.5")]
    return tuple(InventoryItem(kind, value, tier, groups) for kind, value in named)


def loaded(folder: Path, *records: Record, key: str = "result") -> Inventory:
    (folder / "cmdb.json").write_text(json.dumps({key: list(records)}))
    return load_inventory(folder / "cmdb.json")


def problems(folder: Path, content: object, name: str = "cmdb.json") -> list[str]:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text)
    with pytest.raises(ConfigurationError) as found:
        load_inventory(folder / name)
    return [str(one).removeprefix(f"{folder / name}") for one in found.value.problems]


@pytest.mark.parametrize(
    ("record", "groups"),
    [
        (SHOWN, ["Linux Server", "Linux Operations"]),
        # An id says nothing to people, nor to a policy.
        (STORED, ["Linux Server"]),
        (BOTH, ["Linux Server", "Linux Operations"]),
        ({**STORED, "support_group": ID, "assigned_to": ID}, ["Linux Server"]),
    ],
    ids=["display_value=true", "false", "all", "exclude_reference_link"],
)
def test_the_table_api_is_understood_however_it_shows_values(
    tmp_path: Path, record: Record, groups: Sequence[str]
) -> None:
    assert loaded(tmp_path, record) == Inventory(items(0, *groups))


def test_a_list_that_the_console_exported_as_json_and_a_single_record_are_understood(tmp_path: Path) -> None:
    assert loaded(tmp_path, STORED, key="records").items == items(0, "Linux Server")
    (tmp_path / "one.json").write_text("\ufeff" + json.dumps({"result": STORED}))
    assert read_inventory(tmp_path / "one.json") == items(0, "Linux Server")


CSV = (
    '"name","sys_class_name","ip_address","fqdn","support_group","busines_criticality","install_status","u_x"\n'
    '"WEB01","Linux Server","10.0.0.5","web01.corp.example","Linux Operations","2 - somewhat critical","Installed",""\n'
    '"old","Windows Server","10.0.0.6","","","","Retired",""\n'
    '"crm","Business Service","","","","1 - most critical","Installed",""\n'
)


def test_a_list_that_was_exported_as_csv_is_understood(tmp_path: Path) -> None:
    (tmp_path / "cmdb.csv").write_text(CSV)
    found = load_inventory(tmp_path / "cmdb.csv")
    assert found.items == items(1, "Linux Server", "Linux Operations")
    assert sorted(found.left_out) == ['1 of class "Business Service"', "1 retired or absent"]


def test_users_are_assets_by_their_user_name(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text(
        '"user_name","name","email","active"\n"Adm.Keane","Ada Keane","a@corp.example","true"\n"gone","G","","false"\n'
        '"","No One","","true"\n'
    )
    found = load_inventory(tmp_path / "users.csv")
    assert found.items == (InventoryItem(USER, "adm.keane", DEFAULT_TIER, ()),)
    assert sorted(found.left_out) == ["1 inactive users", "1 users without user_name"]
    user = {"sys_class_name": {"display_value": "User", "value": "sys_user"}, "user_name": "eve", "active": "true"}
    assert loaded(tmp_path, user).items == (InventoryItem(USER, "eve", DEFAULT_TIER, ()),)


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        ("1 - most critical", 0),
        ("1 - Most Critical", 0),
        ("2 - somewhat critical", 1),
        ("3 - less critical", 2),
        ("4 - not critical", 3),
        ("2", 1),
        ("", DEFAULT_TIER),
        (None, DEFAULT_TIER),
        ({"value": "4 - not critical", "display_value": "4 - nicht kritisch"}, 3),
    ],
)
@pytest.mark.parametrize("field", ["business_criticality", "busines_criticality", "u_business_criticality"])
def test_criticality_1_to_4_is_tier_0_to_3(tmp_path: Path, field: str, said: object, tier: int) -> None:
    record = {"sys_class_name": "cmdb_ci_win_server", "name": "a", field: said}
    assert loaded(tmp_path, record).items == (InventoryItem(HOST, "a", tier, ("Windows Server",)),)


@pytest.mark.parametrize(
    "state",
    [
        {"install_status": "7"},
        {"install_status": "Retired"},
        {"install_status": {"value": "7", "display_value": "Retired"}},
        {"install_status": {"value": "7", "display_value": ""}},
        {"install_status": {"display_value": "Retired"}},
        {"install_status": "100"},
        {"install_status": "Absent"},
        {"operational_status": "6"},
        {"operational_status": 6},
        {"operational_status": "Retired"},
    ],
)
def test_what_is_retired_or_absent_is_left_out_and_counted(tmp_path: Path, state: Record) -> None:
    gone = {"sys_class_name": "cmdb_ci_server", "name": "gone", **state}
    found = loaded(tmp_path, gone, STORED)
    assert {one.value for one in found.items} == {"web01", "web01.corp.example", "10.0.0.5"}
    assert found.left_out == ("1 retired or absent",)


@pytest.mark.parametrize(
    "state",
    [
        {"operational_status": {"value": "6", "display_value": "Operational"}},
        {"operational_status": {"value": "1", "display_value": "Retired"}},
        {"install_status": {"value": "7", "display_value": "Pending Install"}},
        # In another language: nobody here knows whether it says the same.
        {"install_status": {"value": "7", "display_value": "Ausgemustert"}},
    ],
)
def test_what_is_stored_as_retired_and_shown_as_something_else_is_still_an_asset(tmp_path: Path, state: Record) -> None:
    assert loaded(tmp_path, {**STORED, **state}) == Inventory(items(0, "Linux Server"))


@pytest.mark.parametrize(
    "state",
    [
        {"business_criticality": "4", "busines_criticality": "1"},
        {"business_criticality": "1", "busines_criticality": "4"},
        {"busines_criticality": "3 - less critical", "u_business_criticality": "1 - most critical"},
        {"business_criticality": {"value": "1", "display_value": "4 - not critical"}},
        {"business_criticality": {"value": "4", "display_value": "1 - most critical"}},
        {"business_criticality": {"value": "most", "display_value": "1 - most critical"}},
    ],
)
def test_where_criticality_is_told_twice_the_most_critical_counts(tmp_path: Path, state: Record) -> None:
    record = {"sys_class_name": "cmdb_ci_win_server", "name": "a", **state}
    assert loaded(tmp_path, record).items == (InventoryItem(HOST, "a", 0, ("Windows Server",)),)


def test_each_criticality_is_looked_at_for_mistakes(tmp_path: Path) -> None:
    wrong = {**STORED, "business_criticality": "2", "busines_criticality": "Gold"}
    [problem] = problems(tmp_path, {"result": [wrong]})
    assert '"Gold" is no business criticality' in problem


@pytest.mark.parametrize("state", [{"install_status": "6"}, {"install_status": "8"}, {"operational_status": "2"}])
def test_what_is_in_stock_stolen_or_out_of_order_is_still_an_asset(tmp_path: Path, state: Record) -> None:
    assert loaded(tmp_path, {"sys_class_name": "cmdb_ci_server", "name": "a", **state}).left_out == ()


def test_what_is_no_machine_and_no_user_is_left_out_and_counted_by_its_class(tmp_path: Path) -> None:
    others = [{"sys_class_name": "cmdb_ci_service", "name": f"s{number}"} for number in range(1_200)]
    tomcat = {"sys_class_name": "cmdb_ci_app_server_tomcat", "name": "t", "ip_address": "10.0.0.5"}
    found = loaded(tmp_path, *others, tomcat, {"name": "what"}, {"sys_class_name": "cmdb_ci_server"}, STORED)
    assert found.left_out == (
        '1,200 of class "cmdb_ci_service"',
        '1 of class "cmdb_ci_app_server_tomcat"',
        "1 without sys_class_name, which has to be exported",
        "1 without a name and an address",
    )


def test_an_item_that_stands_twice_has_the_more_critical_tier_and_all_groups(tmp_path: Path) -> None:
    again = {"sys_class_name": "cmdb_ci_vm_instance", "name": "Web01", "support_group": "Cloud"}
    first = loaded(tmp_path, again, STORED).items[0]
    assert first == InventoryItem(HOST, "web01", 0, ("Virtual Machine Instance", "Cloud", "Linux Server"))


def test_several_addresses_are_each_one_and_those_of_everybody_are_none(tmp_path: Path) -> None:
    addresses = "10.0.0.1, 10.0.0.2;2001:DB8::A 127.0.0.1 169.254.1.1 0.0.0.0 fe80::1 DHCP"
    found = loaded(tmp_path, {"sys_class_name": "cmdb_ci_ip_router", "ip_address": addresses})
    assert [one.value for one in found.items] == ["10.0.0.1", "10.0.0.2", "2001:db8::a"]
    assert found.left_out == ("1 addresses that are none",)


def test_all_mistakes_of_an_export_are_told_with_their_places(tmp_path: Path) -> None:
    wrong = [
        {**STORED, "busines_criticality": "Gold"},
        {**STORED, "name": ["a", "b"]},
        {**STORED, "business_criticality": "5 - never"},
    ]
    expected = "'1 - most critical' to '4 - not critical' was expected"
    assert problems(tmp_path, {"result": wrong}) == [
        f': "Gold" is no business criticality: {expected} (at result[0].busines_criticality)',
        ": a list was not expected: a text, or value and display_value, were (at result[1].name)",
        f': "5 - never" is no business criticality: {expected} (at result[2].business_criticality)',
    ]
    assert problems(tmp_path, "name,sys_class_name,business_criticality\na,Server,1\nb,Server,Gold\n", "c.csv") == [
        f':3: "Gold" is no business criticality: {expected} (at business_criticality)'
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not valid JSON"),
        ('{"result": [', "not valid JSON"),
        ("[1]", "a list 'result' was expected"),
        ({"assets": []}, "a list 'result' was expected"),
        ({"result": "x"}, "a list 'result' was expected"),
        ({"result": [STORED, 3]}, "no record: fields were expected (at result[1])"),
        ({"error": {"message": "User Not Authenticated", "detail": "x"}, "status": "failure"},
         'answered with an error, "User Not Authenticated"'),
        ({"result": []}, "holds no machine and no user in service; may the account"),
        ({"result": [{"name": "a"}]}, "left out: 1 without sys_class_name, which has to be exported"),
        ({"result": [{**STORED, "install_status": "7"}]}, "left out: 1 retired or absent"),
    ],
)  # fmt: skip
def test_what_is_no_export_is_refused_in_one_line(tmp_path: Path, content: object, message: str) -> None:
    [problem] = problems(tmp_path, content)
    assert message in problem


def test_a_csv_of_something_else_is_refused_as_before(tmp_path: Path) -> None:
    assert "columns ['criticality'] were not expected" in problems(tmp_path, "host,criticality\na,1\n", "a.csv")[0]
