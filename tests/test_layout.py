"""The repository keeps to its own layout: packages, layers, pins, and nothing of the machine it was written on."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("core", "guardrails", "playbooks", "agents", "connectors", "workflows", "service")


def tracked_files() -> list[Path]:
    """What is in the repository or about to be: all but what .gitignore names."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("no git checkout here, so no list of the files in it")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> dict[Path, str]:
    found: dict[Path, str] = {}
    for path in tracked_files():
        data = path.read_bytes()
        if b"\0" not in data[:4096] and path.suffix not in {".gz", ".zst"}:
            found[path.relative_to(ROOT)] = data.decode("utf-8", "replace")
    return found


@pytest.mark.parametrize("folder", PACKAGES)
def test_each_folder_holds_one_typed_import_package(folder: str) -> None:
    packages = [path.parent.name for path in (ROOT / folder).glob("*/__init__.py")]
    assert packages == [f"watchfloor_{folder}"]
    assert (ROOT / folder / packages[0] / "py.typed").is_file()


@pytest.mark.parametrize("folder", PACKAGES)
def test_every_folder_of_modules_is_a_package_so_that_an_installation_has_it(folder: str) -> None:
    holders = {path.parent for path in (ROOT / folder).rglob("*.py")}
    assert [str(holder) for holder in sorted(holders) if not (holder / "__init__.py").is_file()] == []


def test_dependencies_between_the_packages_point_one_way() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_constraints_pin_each_package_with_hashes_and_name_no_place_to_get_it(name: str) -> None:
    text = (ROOT / "constraints" / name).read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", "\n" + re.sub(r"(?m)^ *#.*\n?", "", text))[1:]
    assert blocks
    for block in blocks:
        assert re.match(r"[a-z0-9._-]+==[^ ]+ \\\n    --hash=sha256:[0-9a-f]{64}", block), block
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


@pytest.mark.parametrize(("name", "extra"), [("runtime.txt", None), ("dev.txt", "dev")])
def test_constraints_have_every_declared_dependency_and_the_build_tool(name: str, extra: str | None) -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = [*document["project"]["dependencies"], *document["build-system"]["requires"]]
    if extra:
        declared += document["project"]["optional-dependencies"][extra]
    pinned = set(re.findall(r"(?m)^([a-z0-9._-]+)==", (ROOT / "constraints" / name).read_text()))
    wanted = {re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-") for requirement in declared}
    assert wanted <= pinned


def test_development_and_runtime_pin_the_same_versions() -> None:
    def pins(name: str) -> dict[str, str]:
        return dict(re.findall(r"(?m)^([a-z0-9._-]+)==([^ ]+)", (ROOT / "constraints" / name).read_text()))

    assert pins("runtime.txt").items() <= pins("dev.txt").items()


def test_no_file_names_a_package_registry_or_a_place_on_the_machine_it_was_written_on() -> None:
    # Spelled in pieces, so that this file is not among those that name them.
    registries = r"(?:" + "|".join(["py" + "pi", "python" + "hosted", "npm" + "js"]) + r")\.(?:org|com|io)"
    forbidden = re.compile(rf"{re.escape(str(ROOT))}(?![\w-])|file:/{{3}}|{registries}|--(?:extra-)?index-url[ =]\S*:")
    named = {str(path): match.group() for path, text in texts().items() if (match := forbidden.search(text))}
    assert named == {}


def test_an_installation_that_is_no_checkout_has_every_module_and_every_file_that_they_read(tmp_path: Path) -> None:
    sources, wheels = tmp_path / "sources", tmp_path / "wheels"
    files = [path.relative_to(ROOT) for path in tracked_files()]
    for file in files:
        (sources / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, sources / file)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels)]
    build = [sys.executable, "-m", "pip", "wheel", *options, str(sources)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        packed = set(wheel.namelist())
    expected = {str(Path(*file.parts[1:])) for file in files if file.parts[0] in PACKAGES}
    assert expected - packed == set()
