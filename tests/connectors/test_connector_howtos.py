"""What the how-tos show is run as it stands there."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from watchfloor_connectors import mapping_schema as schema
from watchfloor_connectors import template
from watchfloor_connectors.framing import Framed, read_bytes
from watchfloor_connectors.mapping import MappedConnector
from watchfloor_connectors.mapping_load import load_mapping
from watchfloor_connectors.parse import parse_records
from watchfloor_connectors.registry import Registry
from watchfloor_core.alert import Alert, Entity, EntityKind, EntityRole, Integrity, Severity, TimePrecision
from watchfloor_core.clock import to_iso
from watchfloor_core.settings import Settings

DOCS = Path(__file__).parents[2] / "docs" / "how-to"


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page that are of a language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found, f"{page} shows no {language}"
    return found


@pytest.fixture
def connector_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's connector as the module that it says it is, where Python finds it."""
    (tmp_path / "acme_watchfloor.py").write_text(blocks("write-a-connector.md", "python")[0])
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("acme_watchfloor", None)


def test_the_test_on_the_page_passes_for_the_connector_on_the_page(connector_page: Path) -> None:
    namespace: dict[str, object] = {}
    code = blocks("write-a-connector.md", "python")[1].replace("watchfloor_connectors.template", "acme_watchfloor")
    exec(compile(code, "write-a-connector.md", "exec"), namespace)  # noqa: S102  # our own page
    test = namespace["test_acme_keeps_the_contract"]
    assert callable(test)
    test()
    assert namespace["SAMPLES"] == [json.loads(blocks("write-a-connector.md", "json")[0])]


def test_the_connector_on_the_page_is_the_template_that_ships() -> None:
    def code(source: str) -> str:
        tree = ast.parse(source)
        if ast.get_docstring(tree) is not None:
            tree.body = tree.body[1:]
        return ast.dump(tree)

    assert code(blocks("write-a-connector.md", "python")[0]) == code(inspect.getsource(template))


def test_the_connector_on_the_page_is_thirty_lines() -> None:
    code = blocks("write-a-connector.md", "python")[0]
    body = [line for line in code.splitlines() if line.strip() and not line.startswith(("from ", "import "))]
    assert len(body) <= 30


def test_the_entry_point_on_the_page_loads_the_connector(connector_page: Path) -> None:
    project = tomllib.loads(blocks("write-a-connector.md", "toml")[0])["project"]
    ((name, target),) = project["entry-points"]["watchfloor.connectors"].items()
    info = connector_page / "acme_watchfloor-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text(f"[watchfloor.connectors]\n{name} = {target}\n")
    registry = Registry.load(Settings(connectors_allowed=(name,)))
    assert registry.detect(read_bytes(blocks("write-a-connector.md", "json")[0].encode()).peek(1)).name == name


def test_the_mapping_on_the_page_gives_the_alert_on_the_page() -> None:
    connector, framed = mapping_page()
    first, second = [record.outcome for record in parse_records(connector, framed)]
    assert isinstance(first, Alert)
    assert isinstance(second, Alert)
    assert (to_iso(first.event_us), first.precision) == ("2024-06-13T07:45:56Z", TimePrecision.SECOND)
    detector = first.detector
    assert (detector.product, detector.uid, detector.title) == ("acmeedr", "R-17", "Verdächtiger Prozess")
    assert (detector.techniques, first.severity) == (("T1059.001",), Severity.HIGH)
    assert first.entities == (
        Entity(EntityKind.HOST, "ws-12.corp.example", EntityRole.TARGET),
        Entity(EntityKind.IP, "10.3.0.12", EntityRole.TARGET),
        Entity(EntityKind.USER, "corp\\eve", EntityRole.ACTOR),
    )
    assert [(a.name, a.value, a.integrity) for a in first.attributes] == [
        ("command_line", "powershell -enc AAAA", Integrity.EXTERNAL)
    ]
    assert (second.detector.title, second.severity) == ("Dienst gestartet", Severity.INFORMATIONAL)
    assert second.entities == (Entity(EntityKind.HOST, "srv-9.corp.example", EntityRole.TARGET),)


def test_the_file_on_the_page_is_recognised_by_its_mapping_alone(tmp_path: Path) -> None:
    (tmp_path / "acme-edr.yaml").write_text(blocks("map-a-csv.md", "yaml")[0], encoding="utf-8")
    _, framed = mapping_page()
    assert Registry.load(Settings(mappings_dir=tmp_path)).detect(framed.peek(10)).name == "acme-edr"


def test_every_field_of_a_mapping_is_named_on_the_page() -> None:
    page = (DOCS / "map-a-csv.md").read_text(encoding="utf-8")
    models = (
        schema.Mapping, schema.ValueRule, schema.ListRule, schema.TimeRule, schema.DetectRule, schema.DetectorRule,
        schema.EntityMapping, schema.AttributeMapping, schema.SeverityRule, schema.DedupRule,
    )  # fmt: skip
    fields = {field for model in models for field in model.model_fields} - {"description"}
    assert {field for field in fields if f"`{field}`" not in page and f"{field}:" not in page} == set()


def mapping_page() -> tuple[MappedConnector, Framed]:
    mapping = load_mapping(blocks("map-a-csv.md", "yaml")[0], "acme-edr.yaml")
    return MappedConnector(mapping), read_bytes(blocks("map-a-csv.md", "csv")[0].encode())
