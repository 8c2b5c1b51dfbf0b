"""What a run is given: files, their tenant, the inventory, and where the results go."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

from watchfloor_connectors.inventory import InventoryItem
from watchfloor_core.alert import EntityKind
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.interning import entity_id
from watchfloor_core.store.schema import asset
from watchfloor_service.runs.export import alert_files, replacing
from watchfloor_service.runs.input_file import NOT_A_FILE, examine
from watchfloor_service.runs.inventory import write_inventory
from watchfloor_service.runs.plan import RunRequest, plan_run, tell_left_out

EVE = (
    '{"timestamp":"2026-03-02T00:00:00.000000+0000","event_type":"alert","src_ip":"10.0.0.1","src_port":1,'
    '"dest_ip":"192.0.2.1","dest_port":443,"proto":"TCP","alert":{"action":"allowed","gid":1,"signature_id":1,"rev":1,'
    '"signature":"A","category":"Misc activity","severity":3}}\n'
)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_tenant_of_a_run_names_the_file_and_its_content(tmp_path: Path) -> None:
    inputs = examine([written(tmp_path, "Edge Sensor.eve.json", "abc")])
    assert inputs.tenant() == f"run-edge-sensor-{hashlib.sha256(b'abc').hexdigest()[:8]}"


def test_the_tenant_of_several_files_is_that_of_all_their_bytes(tmp_path: Path) -> None:
    inputs = examine([written(tmp_path, "a.csv", "ab"), written(tmp_path, "b.csv", "c")])
    assert inputs.tenant() == f"run-a-{hashlib.sha256(b'abc').hexdigest()[:8]}"


@pytest.mark.parametrize("name", ["x" * 200 + ".csv", "ÄÖ.csv", ".hidden", "-.gz", "a b\tc.csv"])
def test_every_file_name_gives_a_tenant_that_the_settings_take(tmp_path: Path, name: str) -> None:
    tenant = examine([written(tmp_path, name, "abc")]).tenant()
    assert re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", tenant)
    Settings.model_validate({"tenant": tenant})


def test_a_file_that_cannot_be_read_is_told_apart_from_the_others(tmp_path: Path) -> None:
    good = written(tmp_path, "a.csv", "abc")
    inputs = examine([tmp_path / "missing.csv", good, tmp_path])
    assert [file.path for file in inputs.files] == [good]
    assert [(one.path.name, one.reason) for one in inputs.unreadable] == [
        ("missing.csv", "No such file or directory"),
        (tmp_path.name, NOT_A_FILE),
    ]
    assert inputs.tenant() == examine([good]).tenant()


@pytest.mark.timeout(20)
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "alerts.csv"
    os.mkfifo(pipe)
    inputs = examine([pipe, Path("/dev/zero")])
    assert [one.reason for one in inputs.unreadable] == [NOT_A_FILE, NOT_A_FILE]


def test_a_file_given_twice_is_read_once(tmp_path: Path) -> None:
    inputs = examine([written(tmp_path, "a.csv", "abc"), written(tmp_path, "copy.csv", "abc")])
    assert len(inputs.files) == 1
    assert [path.name for path in inputs.repeated] == ["copy.csv"]


def test_a_plan_recognises_formats_and_leaves_out_what_none_recognises(tmp_path: Path) -> None:
    request = RunRequest(
        [written(tmp_path, "eve.json", EVE), written(tmp_path, "odd.csv", "colour,shape\nred,round\n")]
    )
    plan = plan_run(Settings(data_dir=tmp_path), request)
    assert [(planned.file.path.name, planned.connector.name) for planned in plan.files] == [("eve.json", "suricata")]
    assert [one.path.name for one in plan.unreadable] == ["odd.csv"]
    assert "no connector recognises" in plan.unreadable[0].reason


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        (lambda files: RunRequest(files, tenant="Acme Corp"), "tenant 'Acme Corp': expected 1 to 64"),
        (lambda files: RunRequest(files, connector="surikata"), "there is no connector 'surikata'; known are"),
        (lambda files: RunRequest(files, mapping=Path("nowhere.yaml")), "cannot read the mapping 'nowhere.yaml'"),
        (lambda files: RunRequest(files, connector="suricata", mapping=Path("m.yaml")), "give one of them"),
        (lambda files: RunRequest(files, inventory=Path("nowhere.yaml")), "cannot read the inventory"),
    ],
)
def test_a_request_that_is_wrong_is_refused_before_anything_starts(tmp_path: Path, request_of, message: str) -> None:  # type: ignore[no-untyped-def]  # a lambda per case
    files = [written(tmp_path, "eve.json", EVE)]
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        plan_run(Settings(data_dir=tmp_path), request_of(files))


def test_what_an_export_holds_beside_assets_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "name,sys_class_name\nweb01,Server\ncrm,Business Service\n"
    files, inventory = [written(tmp_path, "eve.json", EVE)], written(tmp_path, "cmdb.csv", rows)
    plan = plan_run(Settings(data_dir=tmp_path), RunRequest(files, inventory=inventory))
    tell_left_out(plan)
    assert plan.assets == (InventoryItem(EntityKind.HOST, "web01", 2, ("Server",)),)
    assert capsys.readouterr().err == '1 entities are of the inventory; left out: 1 of class "Business Service"\n'


def test_the_same_bytes_read_in_another_way_are_another_run(tmp_path: Path) -> None:
    inputs = examine([written(tmp_path, "edge.csv", "abc")])
    assert len({inputs.tenant(), inputs.tenant(b"one mapping"), inputs.tenant(b"another")}) == 3


def test_a_run_without_any_readable_file_says_why_for_each(tmp_path: Path) -> None:
    request = RunRequest([tmp_path / "missing.json", written(tmp_path, "odd.csv", "colour\nred\n")])
    with pytest.raises(ConfigurationError) as refusal:
        plan_run(Settings(data_dir=tmp_path), request)
    assert "missing.json: No such file" in str(refusal.value)
    assert "odd.csv: no connector recognises" in str(refusal.value)


def test_a_new_inventory_takes_the_place_of_the_old_one_of_its_tenant_only(store: Store) -> None:
    def hosts(*names: str) -> list[InventoryItem]:
        return [InventoryItem(EntityKind.HOST, name, 1, ()) for name in names]

    with store.write() as connection:
        write_inventory(connection, "a", hosts("one", "two"))
        write_inventory(connection, "b", hosts("one"))
        write_inventory(connection, "a", hosts("three"))
        rows = connection.execute(asset.select().order_by(asset.c.tenant)).all()
    assert [(row.tenant, row.value) for row in rows] == [("a", "three"), ("b", "one")]
    assert bytes(rows[0].entity_id) == entity_id("host", "three")


def test_results_of_several_files_go_to_files_of_their_own(tmp_path: Path) -> None:
    assert [path.name for path in alert_files(tmp_path, ["edge"])] == ["alerts.csv"]
    names = [path.name for path in alert_files(tmp_path, ["edge", "hosts", "edge"])]
    assert names == ["alerts-edge.csv", "alerts-hosts.csv", "alerts-edge-2.csv"]


def test_a_result_that_breaks_off_leaves_the_one_before_untouched(tmp_path: Path) -> None:
    path = written(tmp_path, "alerts.csv", "before")

    def break_off() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        break_off()
    assert path.read_text() == "before"
    assert [file.name for file in tmp_path.iterdir()] == ["alerts.csv"]
