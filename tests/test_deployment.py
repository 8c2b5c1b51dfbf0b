"""The files under deploy/, checked without a container engine: complete, pinned, free of secrets, known to Settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from watchfloor_core.settings import Settings
from watchfloor_service.supervision.part import PartName

DEPLOY: Final = Path(__file__).parent.parent / "deploy"
# Any: the document is what the file holds; each test says what it expects of it.
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
EACH: Final = pytest.mark.parametrize("name", SERVICES)
OURS: Final = ("migrate", "api", "worker", "correlator")


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
                assert value.startswith("${"), key
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
            assert (DEPLOY / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_collector_takes_traces_where_the_processes_send_them_and_answers_where_it_is_asked() -> None:
    config = yaml.safe_load((DEPLOY / "collector.yaml").read_text())
    assert config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(":4318")
    assert config["extensions"]["health_check"]["endpoint"].endswith(":13133")
    pipeline = config["service"]["pipelines"]["traces"]
    assert pipeline["receivers"] == ["otlp"]
    assert set(pipeline["exporters"]) <= config["exporters"].keys()
    assert set(pipeline["processors"]) <= config["processors"].keys()
    assert "13133" in SERVICES["collector"]["healthcheck"]["test"][-1]
