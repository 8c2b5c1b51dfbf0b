"""The files under deploy/, checked without a container engine: complete, pinned, free of secrets, known to Settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from watchfloor_connectors.targets.registry import ActionTargets
from watchfloor_core.keys.signing import public_key
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_service.supervision.part import PartName
from watchfloor_workflows.executor import SHUTDOWN, make_executor
from watchfloor_workflows.payload_keys import payload_keys

DEPLOY: Final = Path(__file__).parent.parent / "deploy"
# Any: the document is what the file holds; each test says what it expects of it.
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
EACH: Final = pytest.mark.parametrize("name", SERVICES)
OURS: Final = ("migrate", "keys", "api", "worker", "executor", "correlator")
ON_TEMPORAL: Final = ("api", "worker", "executor")


def mounts(name: str) -> dict[str, tuple[str, bool]]:
    """Volume or path of a service: where it is mounted, and whether it may be written there."""
    found = {}
    for mount in SERVICES[name].get("volumes", []):
        source, target, *mode = mount.split(":")
        found[source] = (target, mode != ["ro"])
    return found


@EACH
def test_each_service_has_a_health_check_or_ends_by_itself(name: str) -> None:
    service = SERVICES[name]
    is_one_shot = service.get("restart", "").startswith("on-failure")
    assert is_one_shot or {"test", "interval", "timeout", "retries"} <= service["healthcheck"].keys()


@EACH
def test_each_service_waits_for_others_until_they_are_healthy_or_done(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        expected = "service_healthy" if "healthcheck" in SERVICES[other] else "service_completed_successfully"
        assert how == {"condition": expected}


@EACH
def test_each_image_is_pinned_by_a_version_or_built_here(name: str) -> None:
    image, tag = SERVICES[name]["image"].rsplit(":", 1)
    assert "build" in SERVICES[name] or re.fullmatch(r"\d+\.\d+[\w.-]*", tag), f"{image}:{tag}"


@pytest.mark.parametrize("name", ["Dockerfile", "collector.Dockerfile"])
def test_images_that_are_built_start_from_pinned_ones_and_run_as_nobody_special(name: str) -> None:
    text = (DEPLOY / name).read_text()
    assert all(re.search(r":\d", base) for base in re.findall(r"(?m)^FROM (\S+)", text))
    assert re.findall(r"(?m)^USER (\d+)", text) == ["10001"]


def test_no_secret_stands_in_the_file_and_none_has_a_default() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    named = re.findall(r"\$\{(\w+)([^}]*)\}", text.replace("$$", ""))
    assert {name for name, _ in named} == {"STORE_PASSWORD", "TEMPORAL_DB_PASSWORD"}
    assert all(rest.startswith(":?") for _, rest in named)
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|PWD|SECRET|KEY", key):
                assert value.startswith(("${", "file:/", "/")), key
    example = (DEPLOY / ".env.example").read_text()
    assert re.findall(r"(?m)^(\w+)=(.*)$", example) == [("STORE_PASSWORD", ""), ("TEMPORAL_DB_PASSWORD", "")]


def test_every_variable_of_ours_is_a_setting_that_takes_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {f"WATCHFLOOR_{name.upper()}" for name in Settings.model_fields}
    for name in OURS:
        environment: dict[str, str] = SERVICES[name]["environment"]
        assert environment.keys() <= known
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        settings = Settings()
        assert settings.store_url.startswith("postgresql+psycopg://watchfloor:")
        assert settings.temporal_address == "temporal:7233"
        assert settings.otlp_endpoint == "http://collector:4318"


def test_only_the_executor_gets_tools_and_their_secrets() -> None:
    reach = {name for name in SERVICES if "./targets" in mounts(name) or "executor-data" in mounts(name)}
    named = {name for name in SERVICES if "WATCHFLOOR_TARGETS_FILE" in SERVICES[name].get("environment", {})}
    assert reach == named == {"executor"}
    assert not mounts("executor")["./targets"][1]


def test_no_service_that_reaches_targets_holds_a_key_that_signs() -> None:
    holders = {name for name in SERVICES if "signing-keys" in mounts(name)}
    assert holders == {"keys", "worker"}
    assert mounts("executor")["public-keys"] == ("/var/lib/watchfloor-keys/public", False)


def test_all_who_talk_to_temporal_read_one_ring_of_payload_keys_and_none_of_them_writes_it() -> None:
    for name in ON_TEMPORAL:
        place, is_writable = mounts(name)["payload-keys"]
        assert SERVICES[name]["environment"]["WATCHFLOOR_PAYLOAD_KEYS"] == f"file:{place}/payload.json"
        assert not is_writable
    assert {name for name in SERVICES if "payload-keys" in mounts(name)} == {*ON_TEMPORAL, "keys"}


def test_all_who_rule_read_one_policy_and_only_the_apis_container_puts_one_in_force() -> None:
    policies = {name: mounts(name)["policy"] for name in SERVICES if "policy" in mounts(name)}
    place = "/var/lib/watchfloor/policy"
    assert policies == {"api": (place, True), "worker": (place, False), "executor": (place, False)}


def test_each_volume_is_mounted_on_a_folder_that_the_image_gives_to_its_user() -> None:
    made = re.findall(r"/var/lib/[\w/-]+", (DEPLOY / "Dockerfile").read_text())
    for name in OURS:
        for source, (place, _) in mounts(name).items():
            assert source.startswith(".") or place in made, f"{name}: {place}"


def test_the_executor_may_finish_what_it_does_before_it_is_killed() -> None:
    grace = re.fullmatch(r"(\d+)s", SERVICES["executor"]["stop_grace_period"])
    assert grace is not None
    assert int(grace[1]) > SHUTDOWN.total_seconds()


def test_the_keys_that_are_made_suffice_the_executor_without_the_one_that_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_store: Store
) -> None:
    for folder in ("data", "kept/signing", "kept/public"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv("WATCHFLOOR_DATA_DIR", str(tmp_path / "data"))
    script = SERVICES["keys"]["command"][-1]
    assert "/var/lib/watchfloor-keys" in script
    for _ in range(2):  # A restart makes nothing anew.
        exec(script.replace("/var/lib/watchfloor-keys", str(tmp_path / "kept")), {})  # noqa: S102 - our own file's
    ring = tmp_path / "data" / "keys" / "payload.json"
    public = tmp_path / "kept" / "public" / "grant.pub"
    settings = Settings(data_dir=tmp_path / "own", payload_keys=f"file:{ring}", grant_public_key=public)

    make_executor(settings, sqlite_store, ActionTargets.load(settings))

    assert payload_keys(settings).refresh()
    assert public_key(public) == public_key(tmp_path / "kept" / "signing" / "grant.pub")
    assert [file.name for file in (tmp_path / "kept" / "public").iterdir()] == ["grant.pub"]


def test_the_tools_that_ship_can_be_loaded() -> None:
    tools = ActionTargets.load(Settings(targets_file=DEPLOY / "targets" / "targets.yaml"))
    assert [entry.tool for entry in tools.entries] == ["blocklist"]


def test_the_stacks_own_processes_are_all_there() -> None:
    started = {part for name in OURS for part in PartName if part.value in " ".join(SERVICES[name]["command"]).split()}
    assert started == set(PartName) - {PartName.TEMPORAL}


def test_only_the_api_is_published_and_only_on_this_machine() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"api": ["127.0.0.1:8470:8470"]}


@pytest.mark.parametrize("name", [*OURS, "collector"])
def test_our_containers_may_write_only_where_they_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_mounted_file_and_volume_exists() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_collector_takes_traces_where_the_processes_send_them_and_answers_where_it_is_asked() -> None:
    config = yaml.safe_load((DEPLOY / "collector.yaml").read_text())
    assert config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(":4318")
    assert config["extensions"]["health_check"]["endpoint"].endswith(":13133")
    pipeline = config["service"]["pipelines"]["traces"]
    assert pipeline["receivers"] == ["otlp"]
    assert set(pipeline["exporters"]) <= config["exporters"].keys()
    assert set(pipeline["processors"]) <= config["processors"].keys()
    assert "13133" in SERVICES["collector"]["healthcheck"]["test"][-1]
