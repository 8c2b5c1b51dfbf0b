"""Asset inventories: what there is and how much it matters."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchfloor_connectors.inventory import DEFAULT_TIER, InventoryItem, read_inventory
from watchfloor_core.alert import EntityKind
from watchfloor_core.errors import ConfigurationError

HOST, USER, IP = EntityKind.HOST, EntityKind.USER, EntityKind.IP


def read(path: Path, text: str) -> tuple[InventoryItem, ...]:
    path.write_text(text)
    return read_inventory(path)


def problems(path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as found:
        read(path, text)
    return [str(problem).removeprefix(f"{path}:") for problem in found.value.problems]


@pytest.fixture
def yaml_file(tmp_path: Path) -> Path:
    return tmp_path / "assets.yaml"


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    return tmp_path / "assets.csv"


def test_a_yaml_list_of_assets(yaml_file: Path) -> None:
    items = read(
        yaml_file,
        "assets:\n"
        "  - {host: DC01.corp.example, ip: [10.0.0.10, '2001:DB8::A'], user: Svc-Backup, tier: 0,\n"
        "     groups: [dc, servers]}\n"
        "  - {kind: mailbox, value: CFO@corp.example, tier: 1}\n"
        "  - {host: [ws-1, ws-2]}\n",
    )
    assert items == (
        InventoryItem(HOST, "dc01.corp.example", 0, ("dc", "servers")),
        InventoryItem(IP, "10.0.0.10", 0, ("dc", "servers")),
        InventoryItem(IP, "2001:db8::a", 0, ("dc", "servers")),
        InventoryItem(USER, "svc-backup", 0, ("dc", "servers")),
        InventoryItem(EntityKind.MAILBOX, "cfo@corp.example", 1, ()),
        InventoryItem(HOST, "ws-1", DEFAULT_TIER, ()),
        InventoryItem(HOST, "ws-2", DEFAULT_TIER, ()),
    )


def test_a_csv_with_several_values_in_a_cell(csv_file: Path) -> None:
    items = read(csv_file, "host,ip,user,tier,groups\nDB,10.0.0.1; 10.0.0.2,,1,servers;db\nws,,eve,,\n")
    assert items == (
        InventoryItem(HOST, "db", 1, ("servers", "db")),
        InventoryItem(IP, "10.0.0.1", 1, ("servers", "db")),
        InventoryItem(IP, "10.0.0.2", 1, ("servers", "db")),
        InventoryItem(HOST, "ws", DEFAULT_TIER, ()),
        InventoryItem(USER, "eve", DEFAULT_TIER, ()),
    )


def test_ansible_facts_name_a_host_by_its_key_and_by_its_host_name(yaml_file: Path) -> None:
    items = read(
        yaml_file,
        "intranet_server:\n  hostname: intranet-server\n  groups: [servers]\n  default_ipv4_address: 10.0.0.5\n"
        "  ipv4_addresses: [10.0.0.5, 127.0.0.1]\n  ipv6_addresses: ['fe80::1']\n  fqdns: [intranet.corp.example]\n"
        "  distribution: Ubuntu\n  username: apierce\n",
    )
    assert [(item.kind, item.value) for item in items] == [
        (HOST, "intranet_server"),
        (HOST, "intranet-server"),
        (HOST, "intranet.corp.example"),
        (IP, "10.0.0.5"),
        (USER, "apierce"),
    ]
    assert {(item.tier, item.groups) for item in items} == {(DEFAULT_TIER, ("servers",))}


def test_an_asset_that_stands_twice_has_the_more_critical_tier_and_all_groups(yaml_file: Path) -> None:
    text = "- {host: a, tier: 3, groups: [x]}\n- {host: A, tier: 0, groups: [y, x]}\n"
    assert read(yaml_file, text) == (InventoryItem(HOST, "a", 0, ("x", "y")),)


def test_all_mistakes_of_a_yaml_file_are_named_with_their_lines(yaml_file: Path) -> None:
    text = "assets:\n- {host: a, tier: 7}\n- {ip: 10.0.0.300}\n- {tier: 1}\n- {kind: x, value: y}\n- {host: ok}\n"
    assert problems(yaml_file, text) == [
        "2: 7 is no tier: 0 (crown jewel), 1, 2 or 3 was expected (at tier)",
        '3: "10.0.0.300" is no IP address (at ip)',
        "4: the asset names no host, ip, user or value",
        f"5: ['x'] is no kind: one of {', '.join(EntityKind)} was expected (at kind)",
    ]


def test_all_mistakes_of_a_csv_file_are_named_with_their_lines(csv_file: Path) -> None:
    assert problems(csv_file, "host,tier\na,x\nb,1\nc,9\n") == [
        "2: 'x' is no tier: 0 (crown jewel), 1, 2 or 3 was expected (at tier)",
        "4: '9' is no tier: 0 (crown jewel), 1, 2 or 3 was expected (at tier)",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {hots: a}\n", "1: hots: only groups, host"),
        ("- a\n", "1: 'a' is no asset"),
        ("just text\n", "1: a list of assets"),
        ("- {host: a\n", "not valid YAML"),
        ("- {host: a, host: b}\n", "'host' stands twice"),
    ],
)
def test_a_file_that_is_no_inventory_is_refused(yaml_file: Path, text: str, message: str) -> None:
    assert message in problems(yaml_file, text)[0]


def test_a_csv_with_unknown_columns_is_refused(csv_file: Path) -> None:
    assert "columns ['criticality'] were not expected" in problems(csv_file, "host,criticality\na,1\n")[0]


def test_a_file_that_is_not_there_or_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no-such"):
        read_inventory(tmp_path / "no-such.yaml")
    (tmp_path / "assets.xls").write_text("x")
    with pytest.raises(ConfigurationError, match=r"neither \.yaml nor \.csv"):
        read_inventory(tmp_path / "assets.xls")
