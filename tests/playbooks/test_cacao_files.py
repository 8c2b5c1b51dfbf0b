"""The playbooks of the SOARCA project: the right ones are taken and come out the same, the wrong ones are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from watchfloor_playbooks.drawing import draw
from watchfloor_playbooks.loading import examine, load
from watchfloor_playbooks.writing import to_json, to_yaml

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "cacao"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the playbooks are not here")

RIGHT = (
    "fin-playbook.json",
    "http-playbook.json",
    "manual-playbook.json",
    "openc2-playbook.json",
    "powershell-playbook.json",
    "ssh-playbook.json",
    "test-parallels_playbook.json",
    "test-playbook.json",
)
# file | line | what is said: every reason that there is, and no other
WRONG = [
    ("test-changed-playbook.json", [(31, "'workflow' is a list, as in drafts of CACAO 1.0")]),
    ("test-infinite_playbook.json", [(38, "the workflow has no end step"), (94, "an endless loop")]),
    ("test-invalid_email_playbook.json", [(49, '"banana@business.com;`shh hack`" is not an e-mail address')]),
    ("test-invalid_playbook.json", [(31, 'the id says that this is of type "http-api", \'type\' says "invalid"')]),
    (
        "test-missing_step_playbook.json",
        [
            (82, "'on_completion' names step \"end--6b23c237-ade8-4d00-9aa1-75999738d558\", which is not there"),
            (91, "no step leads here"),
        ],
    ),
]


def test_these_are_all_of_them() -> None:
    assert {path.name for path in DATA.glob("*.json")} == {*RIGHT, *(name for name, _ in WRONG)}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_one_is_taken_and_comes_out_the_same(name: str) -> None:
    data = (DATA / name).read_bytes()
    first = to_json(load(data, name))
    second = to_json(load(first, name))

    assert second == first
    assert json.loads(first) == json.loads(data)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_one_goes_through_yaml_unchanged(name: str) -> None:
    playbook = load((DATA / name).read_bytes(), name)

    assert to_json(load(to_yaml(playbook.content).encode(), "out.yaml")) == to_json(playbook)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_one_is_drawn_with_each_of_its_steps(name: str) -> None:
    playbook = load((DATA / name).read_bytes(), name)

    assert draw(playbook).count("<g>") == len(playbook.steps)


@pytest.mark.parametrize(("name", "reasons"), WRONG)
def test_a_wrong_one_is_refused_for_its_reason_at_its_line(name: str, reasons: list[tuple[int, str]]) -> None:
    found = examine((DATA / name).read_bytes(), name)

    assert found.playbook is None
    assert [(one.file, one.line) for one in found.report.errors] == [(name, line) for line, _ in reasons]
    for problem, (_, said) in zip(found.report.errors, reasons, strict=True):
        assert problem.message.startswith(said)


def test_what_they_take_lightly_is_said_with_its_line() -> None:
    report = examine((DATA / "fin-playbook.json").read_bytes(), "fin.json").report

    assert [(one.line, one.message.partition(",")[0]) for one in report.warnings] == [
        (7, "'modified' is before 'created'"),
        (14, "\"soarca-fin-pong-f896bb3b-bb37-429e-8ece-2d4286cf326d\" is no identifier; 'type--UUID' is expected"),
        (14, "'address' is missing"),
        (32, '"pong" is no type of command of the standard; only an agent that knows it can carry it out'),
    ]
