"""The documentation is true where a machine can tell: links, settings, commands, targets, and every block of code."""

from __future__ import annotations

import gc
import json
import re
import shlex
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
import yaml

from watchfloor_connectors.inventory import read_inventory
from watchfloor_core.ledger import Decision, export_ledger, record_decisions
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_service.cli import app

ROOT: Final = Path(__file__).parent.parent.parent
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EACH_PAGE: Final = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
LANGUAGES: Final = {"console", "sh", "python", "yaml", "json", "ndjson", "toml", "csv", "http", "text"}


@dataclass(frozen=True, slots=True)
class Block:
    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    language, start, held = None, 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = re.match(r"\s*```+\s*(\S*)", line)
        if fence and language is None:
            language, start, held = fence.group(1), number, []
        elif fence:
            assert language is not None
            yield Block(page, start, language, "\n".join(held) + "\n")
            language = None
        else:
            held.append(line)
    assert language is None, f"{page}: a block is not closed"


BLOCKS: Final = [block for page in PAGES for block in blocks(page)]


def of(*languages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in languages], ids=str)


def prose(page: Path) -> str:
    return re.sub(r"(?ms)^\s*```.*?^\s*```", "", page.read_text(encoding="utf-8"))


def shell_lines(block: Block) -> Iterator[str]:
    """The commands of a block; in a console the lines behind a prompt, elsewhere all of them."""
    text = block.text.replace("\\\n", " ")
    for line in text.splitlines():
        if block.language == "console":
            if line.startswith("$ "):
                yield line[2:]
        elif line.strip():
            yield line


def watchfloor_commands() -> Iterator[tuple[str, list[str]]]:
    """Every call of our command in a block of any page, as arguments."""
    for block in BLOCKS:
        if block.language not in {"console", "sh"}:
            continue
        for line in shell_lines(block):
            words = shlex.split(line, comments=True)
            while words:
                end = next((index for index, word in enumerate(words) if word in {"|", "&&", ";", "||"}), len(words))
                call, words = words[:end], words[end + 1 :]
                at = next((index for index, word in enumerate(call) if Path(word).name == "watchfloor"), None)
                if at is not None and all("=" in word or Path(word).name != word for word in call[:at]):
                    redirect = next((index for index, word in enumerate(call) if word in {">", "2>"}), len(call))
                    yield f"{block}: {line}", call[at + 1 : redirect]


@EACH_PAGE
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose(page))
    broken = [
        link
        for link in links
        if not re.match(r"[a-z]+:", link) and link.split("#")[0] and not (page.parent / link.split("#")[0]).exists()
    ]
    assert broken == []


@EACH_PAGE
def test_links_to_a_heading_find_it(page: Path) -> None:
    for link in re.findall(r"\[[^\]]*\]\(([^)\s]*#[^)\s]+)\)", prose(page)):
        name, anchor = link.split("#")
        if re.match(r"[a-z]+:", name):
            continue
        target = page.parent / name if name else page
        headings = re.findall(r"(?m)^#+ (.+)$", target.read_text(encoding="utf-8"))
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, link


def test_the_index_leads_to_every_page() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^)#\s]+)\)", index.read_text())}
    assert [
        str(page.relative_to(ROOT)) for page in PAGES if page.parts[-2] != ROOT.name and page not in linked | {index}
    ] == []


@EACH_PAGE
def test_each_block_says_what_language_it_is_in(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES


@of("sh")
def test_shell_blocks_are_shell(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def ledger_file(sqlite_store: Store, tmp_path: Path) -> Path:
    """A ledger as it is exported, for the blocks that read one."""
    decisions = [
        Decision("inc-0123456789abcdef", kind, {"verdict": "Undetermined"}, kind, 1, 2)
        for kind in ("verdict", "ruling")
    ]
    file = tmp_path / "ledger.ndjson"
    with sqlite_store.write() as connection:
        record_decisions(connection, "default", decisions)
    with sqlite_store.read() as connection:
        export_ledger(connection, "default", file)
    return file


@of("python")
def test_python_blocks_run(block: Block, tmp_path: Path, ledger_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(block), str(ledger_file)])
    with warnings.catch_warnings():
        # A script of a page may leave closing its file to its end.
        warnings.simplefilter("ignore", ResourceWarning)
        exec(compile(block.text, str(block), "exec"), {"__name__": "documentation"})  # noqa: S102  # our own text
        gc.collect()


@of("yaml")
def test_yaml_blocks_are_read_by_what_they_are_shown_for(block: Block, tmp_path: Path) -> None:
    document = yaml.safe_load(block.text)
    assert document is not None
    if isinstance(document, dict) and "assets" in document:
        file = tmp_path / "inventory.yaml"
        file.write_text(block.text)
        assert len(read_inventory(file)) == len(document["assets"])


@of("json", "ndjson")
def test_json_blocks_are_json(block: Block) -> None:
    for text in block.text.splitlines() if block.language == "ndjson" else [block.text]:
        json.loads(text)


@of("toml")
def test_toml_blocks_are_toml(block: Block) -> None:
    assert tomllib.loads(block.text)


@pytest.mark.parametrize(("where", "arguments"), list(watchfloor_commands()))
def test_each_command_shown_is_one_that_the_program_takes(where: str, arguments: list[str]) -> None:
    # Any: Typer keeps the types of its parser to itself.
    command: Any = typer.main.get_command(app)
    context = command.make_context("watchfloor", arguments) if arguments else None
    while context is not None and hasattr(command, "resolve_command"):
        left = [*context._protected_args, *context.args]
        name, command, left = command.resolve_command(context, left)
        try:
            context = command.make_context(name, left, parent=context)
        except (typer.Exit, SystemExit):
            return  # --help
        except typer.BadParameter as problem:
            # The files of an example need not be there; all else has to be right.
            if not re.search(r"does not exist|no such file", problem.format_message(), re.IGNORECASE):
                raise
            return


def test_every_variable_named_anywhere_is_a_setting() -> None:
    known = {f"WATCHFLOOR_{name.upper()}" for name in Settings.model_fields}
    unknown = {
        (str(page.relative_to(ROOT)), name)
        for page in PAGES
        for name in re.findall(r"WATCHFLOOR_[A-Z_]+[A-Z]", page.read_text(encoding="utf-8"))
        if name not in known
    }
    assert unknown == set()


def test_the_reference_lists_each_setting_with_its_default() -> None:
    rows = re.findall(r"(?m)^\| `WATCHFLOOR_(\w+)` \| (\S+) \|", (ROOT / "docs/reference/settings.md").read_text())
    listed = {name.lower(): default.strip("`") for name, default in rows}
    shown = {
        name: "none" if field.default is None else "[]" if field.default == () else str(field.default)
        for name, field in Settings.model_fields.items()
    }
    assert listed == {name: "false" if default == "False" else default for name, default in shown.items()}


def test_the_scenarios_page_counts_its_records_rightly() -> None:
    rows = re.findall(
        r"(?m)^\| `(\S+\.gz)` \|.*\| ([\d,]+) \|$", (ROOT / "docs/reference/demo-scenario.md").read_text()
    )
    truth = json.loads((Path(__file__).parent / "demo_truth.json").read_text())
    assert {name: int(count.replace(",", "")) for name, count in rows} == {
        name: facts["records"] for name, facts in truth.items()
    }


def test_each_make_target_named_anywhere_is_in_the_makefile() -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))
    named = {name for page in PAGES for name in re.findall(r"(?:`|\$ )make ([a-z]+)", page.read_text(encoding="utf-8"))}
    assert named <= targets


def test_the_readme_gives_a_result_within_thirty_lines() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert any(line.startswith("$ make demo") for line in lines[:30])
    assert any("watchfloor run" in line for line in lines[:35])
