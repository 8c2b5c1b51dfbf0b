"""What the pages about tools show is run as it stands there."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import tomllib
from pathlib import Path

import pytest

from watchfloor_connectors.targets import template
from watchfloor_connectors.targets.base import Slot
from watchfloor_connectors.targets.blocklist import Blocklist, BlocklistOptions
from watchfloor_connectors.targets.kinds import BUILT_IN
from watchfloor_connectors.targets.registry import load_targets
from watchfloor_guardrails.action import Target
from watchfloor_guardrails.catalogue import TargetKind

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference" / "tools.md"
HOW_TO = DOCS / "how-to" / "connect-a-tool.md"


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found, f"{page} shows no {language}"
    return found


def test_the_kind_on_the_page_is_the_template_that_ships() -> None:
    def code(source: str) -> str:
        tree = ast.parse(source)
        if ast.get_docstring(tree) is not None:
            tree.body = tree.body[1:]
        return ast.dump(tree)

    assert code(blocks(HOW_TO, "python")[0]) == code(inspect.getsource(template))


def test_the_entry_point_and_the_entry_on_the_page_give_the_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme_tool.py").write_text(blocks(HOW_TO, "python")[0])
    project = tomllib.loads(blocks(HOW_TO, "toml")[0])["project"]
    ((name, target),) = project["entry-points"]["watchfloor.targets"].items()
    info = tmp_path / "acme_tool-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text(f"[watchfloor.targets]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "targets.yaml").write_text(blocks(HOW_TO, "yaml")[0])
    tool = load_targets(tmp_path / "targets.yaml", tmp_path, [name]).of("default", "fw")
    sys.modules.pop("acme_tool", None)
    assert (tool.kind, tool.least_privilege) == ("acme", ("write files in /srv/acme/denied",))


def test_the_file_on_the_reference_page_has_one_tool_of_each_kind(tmp_path: Path) -> None:
    (tmp_path / "targets.yaml").write_text(blocks(REFERENCE, "yaml")[0])
    tools = load_targets(tmp_path / "targets.yaml", tmp_path).of_tenant("default")
    assert sorted(tool.kind for tool in tools) == sorted(BUILT_IN)


def test_the_reference_page_lists_each_option_of_each_kind_with_its_default() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    for name, kind in BUILT_IN.items():
        section = re.search(rf"(?ms)^## `{name}`$(.*?)(?=^## |\Z)", text)
        assert section is not None, name
        for option, field in kind.options_type.model_fields.items():
            if option in ("timeout_s", "acts_per_minute"):  # of every tool, in the table above the kinds
                assert f"`{option}`" in text
                continue
            row = re.search(rf"(?m)^\|(?=[^|]*`{option}`)[^|]*\|([^|]*)\|", section[1])
            assert row is not None, f"{name}: {option}"
            if isinstance(field.default, (int, float, str)):
                assert (
                    f"`{field.default:g}`" in row[1]
                    if isinstance(field.default, float)
                    else str(field.default) in row[1]
                )
        for action_class in kind.classes:
            assert f"`{action_class}`" in section[1]


def test_the_list_on_the_reference_page_is_read_as_the_page_says(tmp_path: Path) -> None:
    tool = Blocklist(Slot("list", "default", tmp_path), BlocklistOptions())
    tool.file.parent.mkdir()
    tool.file.write_text(next(block for block in blocks(REFERENCE, "text") if "# wf:" in block))
    ours = tool.read_state(Target(TargetKind.IP, "203.0.113.9")).content
    others = tool.read_state(Target(TargetKind.IP, "198.51.100.9")).content
    assert (len(str(ours["listed_by"])), ours["covered_by"]) == (68, [])
    assert others == {"listed_by": [], "covered_by": ["198.51.100.0/24"]}
