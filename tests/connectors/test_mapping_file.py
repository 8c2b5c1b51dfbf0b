"""Mapping files: every mistake with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchfloor_connectors.mapping_load import load_mapping, load_mapping_file, load_mappings, packaged_mappings
from watchfloor_core.errors import ConfigurationError, Problem

GOOD = """\
name: acme
version: "1"
detect:
  header: [time, host, rule, text]
time:
  path: time
detector:
  product: {constant: acme}
  uid: {path: rule}
  title: {path: text}
severity: {constant: high}
entities:
  - {kind: host, path: host, role: target, integrity: sensor}
"""


def problems(text: str) -> list[Problem]:
    with pytest.raises(ConfigurationError) as found:
        load_mapping(text, "acme.yaml")
    return list(found.value.problems)


def replaced(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_good_mapping_is_loaded() -> None:
    assert load_mapping(GOOD, "acme.yaml").name == "acme"


def test_all_mistakes_are_named_at_once_each_with_its_line() -> None:
    text = GOOD.replace("constant: high", "constant: terrible").replace("kind: host", "kind: toaster")
    text = text.replace("integrity: sensor", "integrity: human").replace("{path: rule}", "{paht: rule}")
    found = [(problem.line, problem.path, problem.message) for problem in problems(text)]
    assert {(line, path) for line, path, _ in found} >= {
        (9, "detector.uid.paht"),
        (11, "severity.constant"),
        (13, "entities[0].kind"),
        (13, "entities[0].integrity"),
    }
    assert any("'human' is no integrity label for input: one of sensor, derived, external" in m for _, _, m in found)
    assert str(problems(text)[0]).startswith("acme.yaml:9: ")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "a mapping with name"),
        ("- a\n", 1, "a mapping with name"),
        ("name: [\n", 2, "not valid YAML"),
        (replaced("time:\n  path: time", "time:\n  path: time\n  path: when"), 7, "'path' stands twice"),
        (replaced("{path: rule}", "{path: rule, extract: '(a)(b)'}"), 9, "exactly one (…) was expected"),
        (replaced("{path: rule}", "{path: rule, extract: '('}"), 9, "is no regular expression"),
        (replaced("{path: rule}", "{}"), 9, "one of path, template or constant was expected"),
        (replaced("{constant: acme}", "{constant: acme, lower: true}"), 8, "a constant takes no lower"),
        (replaced("  path: time", "  path: time\n  zone: Mars/Olympus"), 7, "is no time zone"),
        (replaced("  path: time", "  path: time\n  format: sometimes"), 7, "is no time format"),
        (replaced("  path: time", "  path: time\n  default: now"), 7, "received"),
        (replaced("{constant: high}", "{}"), 11, "either constant or path was expected"),
        (replaced("[time, host, rule, text]", "[time, host, rule, text, odd]"), 4, "'odd' is neither read nor listed"),
        (replaced("[time, host, rule, text]", "[time, host, rule]"), 10, "'text' is no column of detect.header"),
        (GOOD + "unused: [host]\n", 13, "'host' is listed under unused and read here"),
        (GOOD + "unused: [nothing]\n", 14, "'nothing' is listed under unused and is no column"),
        (GOOD + "dedup: {fields: [native_uid], window_s: 0}\n", 14, "native_uid is compared and not mapped"),
        (GOOD + "dedup: {fields: [detector], window_s: 0}\n", 14, "a window of at least 1 second"),
        (GOOD + "dedup: {fields: [], window_s: 5}\n", 14, "at least 1 item"),
        (replaced("{path: text}", "{template: 'a {text'}"), 10, "is not well formed"),
        (replaced("{path: text}", "{template: 'a {}'}"), 10, "has empty braces"),
        (replaced("  header: [time, host, rule, text]", "  {}"), 3, "header, required or constants was expected"),
        (replaced("name: acme", "name: Acme Corp"), 1, "match pattern"),
        (
            GOOD + "attributes:\n  - {name: url, path: text, integrity: sensor}\n",
            15,
            "url is text that an attacker can choose: its integrity is external",
        ),
    ],
)
def test_each_mistake_is_named_with_its_line(text: str, line: int, message: str) -> None:
    found = problems(text)
    assert [problem for problem in found if problem.line == line and message in problem.message], [*map(str, found)]


def test_the_mappings_that_ship_are_valid() -> None:
    assert [mapping.name for mapping in packaged_mappings()] == ["ait-ads", "guide", "panther"]


def test_a_folder_is_read_whole_and_the_mistakes_of_all_its_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(replaced("{constant: high}", "{constant: x}"))
    (tmp_path / "b.yml").write_text(GOOD)
    (tmp_path / "c.yaml").write_bytes(b"name: caf\xe9\n")
    (tmp_path / "notes.txt").write_text("no mapping")
    with pytest.raises(ConfigurationError) as found:
        load_mappings(tmp_path)
    assert [Path(problem.file or "").name for problem in found.value.problems] == ["a.yaml", "c.yaml"]
    (tmp_path / "a.yaml").unlink()
    (tmp_path / "c.yaml").unlink()
    assert [mapping.name for mapping in load_mappings(tmp_path)] == ["acme"]


def test_a_folder_or_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no-such"):
        load_mappings(tmp_path / "no-such")
    with pytest.raises(ConfigurationError, match="no-such"):
        load_mapping_file(tmp_path / "no-such.yaml")
