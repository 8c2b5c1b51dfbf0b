"""``watchfloor playbook``: from a new playbook to one that others can verify."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import insert, update
from typer.testing import CliRunner, Result

from tests.playbooks.books import ACT, LEFT, book, changed, data_of, step
from watchfloor_core.keys.approver import make_approver_key
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema_authority import approver_key
from watchfloor_service.cli import app

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings) -> Run:
    """The command line over the test's data directory."""
    runner = CliRunner()

    def invoke(*arguments: object) -> Result:
        return runner.invoke(app, ["--data-dir", str(settings.data_dir), "playbook", *map(str, arguments)])

    return invoke


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "book.json"
    path.write_bytes(data_of(book()))
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Ana's private key; beside it, as ``ana.pub``, the public half."""
    path = tmp_path / "ana.pem"
    signer = make_approver_key(path, None)
    (tmp_path / "ana.pub").write_bytes(signer.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


@pytest.fixture
def signed(run: Run, file: Path, key: Path, tmp_path: Path) -> Path:
    out = tmp_path / "signed.json"
    result = run("sign", file, "--as", "Ana", "--key", key, "--out", out)
    assert result.exit_code == 0, result.output
    return out


def test_a_new_playbook_is_right_and_goes_from_yaml_to_json_and_back(run: Run, tmp_path: Path) -> None:
    mine, exchanged = tmp_path / "mine.yaml", tmp_path / "mine.json"

    assert run("new", "Look: at 'it'", "--out", mine).exit_code == 0
    assert run("validate", mine, "--strict").exit_code == 0
    assert run("import", mine, "--out", exchanged).exit_code == 0
    again = tmp_path / "again.yaml"
    again.write_bytes(run("export", exchanged).stdout_bytes)
    assert run("import", again).stdout_bytes == exchanged.read_bytes()


def test_a_new_playbook_takes_no_file_s_place(run: Run, file: Path) -> None:
    result = run("new", "x", "--out", file)

    assert result.exit_code == 2
    assert "is there already" in result.stderr


def test_every_mistake_of_every_file_is_told_with_its_line(run: Run, file: Path, tmp_path: Path) -> None:
    wrong, worse = tmp_path / "wrong.json", tmp_path / "worse.json"
    wrong.write_bytes(data_of(changed("workflow", LEFT, "on_completion", to=step("end", 99))))
    worse.write_text('{\n"a": }')

    result = run("validate", file, wrong, worse, tmp_path / "none.json")

    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert f"{file} is right: 'Every step', 19 steps." in lines
    assert any(line.startswith(f"wrong    {wrong}:") and "which is not there" in line for line in lines)
    assert f'wrong    {worse}:2: not valid JSON: "}}" begins no value' in lines
    assert any("none.json' cannot be read" in line for line in lines)


def test_validate_answers_programs(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    file.write_bytes(data_of(changed("x_team", to="blue")))

    [found] = json.loads(run("validate", file, "--json").stdout)
    strict = run("validate", file, "--json", "--strict")

    assert (found["ok"], found["errors"], found["warnings"][0]["path"]) == (True, [], "x_team")
    assert len(found["digest"]) == 64
    assert strict.exit_code == 2
    assert json.loads(strict.stdout)[0]["ok"] is False


def test_a_wrong_playbook_is_not_imported_exported_signed_or_drawn(run: Run, key: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "w.json", tmp_path / "out"
    file.write_bytes(data_of(changed("severity", to=101)))

    for command in (["import"], ["export"], ["sign", "--as", "Ana", "--key", key], ["graph"]):
        result = run(command[0], file, "--out", out, *command[1:])
        assert result.exit_code == 2
        assert f"watchfloor: {file}:" in result.stderr
    assert not out.exists()


def test_who_has_signed_is_told_by_a_key_from_a_file(run: Run, signed: Path, key: Path) -> None:
    result = run("verify", signed, "--trust", key.with_suffix(".pub"))

    assert result.exit_code == 0
    assert result.stdout.startswith(f"ana.pub has signed {book()['id']} of {book()['modified']} (Ed25519, ")


def test_what_a_person_signed_is_verified_by_the_key_that_they_registered(
    run: Run, signed: Path, key: Path, settings: Settings
) -> None:
    from watchfloor_core.keys.approver import load_approver_key

    signer = load_approver_key(key, lambda: "")
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    try:
        assert run("verify", signed).exit_code == 4
        with store.write() as connection:
            connection.execute(
                insert(approver_key).values(
                    id=signer.key_id,
                    principal="ana@example.org",
                    kind="ed25519",
                    public_key=signer.public_key.public_bytes_raw(),
                    sign_count=0,
                    label="",
                    created_us=0,
                )
            )
        [found] = json.loads(run("verify", signed, "--json").stdout)["signed"]
        assert found["key"] == f"ana@example.org (key {signer.key_id})"
        with store.write() as connection:
            connection.execute(update(approver_key).values(revoked_us=1))
        assert run("verify", signed).exit_code == 4
    finally:
        store.close()


def test_what_is_unsigned_or_altered_is_refused_where_a_signature_is_asked_for(
    run: Run, file: Path, signed: Path, key: Path, tmp_path: Path
) -> None:
    altered, trust = tmp_path / "altered.json", ["--trust", key.with_suffix(".pub")]
    content = json.loads(signed.read_bytes())
    content["workflow"][ACT]["commands"][0]["command"] = "do something else"
    altered.write_bytes(data_of(content))

    assert run("import", signed, *trust).stdout_bytes == signed.read_bytes()
    assert run("import", file).exit_code == 0
    for path, said in ((file, "is not signed"), (altered, "was altered since ana.pub signed it")):
        result = run("import", path, *trust)
        assert result.exit_code == 4
        assert said in result.stderr
        assert result.stdout == ""
        assert run("verify", path, *trust).exit_code == 4


def test_a_signed_playbook_is_asked_for_even_where_no_key_is_named(run: Run, signed: Path, settings: Settings) -> None:
    migrate(settings.store_url)

    result = run("import", signed, "--signed")

    assert result.exit_code == 4
    assert "no key is trusted" in result.stderr


def test_a_second_signature_leaves_the_first(run: Run, signed: Path, key: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice.json"
    run("sign", signed, "--as", "Ana again", "--key", key, "--valid-until", "2999-01-01T00:00:00.000Z", "--out", twice)

    found = json.loads(run("verify", twice, "--trust", key.with_suffix(".pub"), "--json").stdout)

    assert [one["signee"] for one in found["signed"]] == ["Ana", "Ana again"]


@pytest.mark.parametrize("option", [("--valid-until", "tomorrow"), ("--created-by", "me")])
def test_a_wrong_option_of_a_signature_is_refused(run: Run, file: Path, key: Path, option: tuple[str, str]) -> None:
    result = run("sign", file, "--as", "Ana", "--key", key, *option)

    assert result.exit_code == 2
    assert f"{option[0]} is {option[1]!r}" in result.stderr


@pytest.mark.parametrize("text", ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_a_file_without_a_public_key_is_refused(run: Run, signed: Path, tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.pem"
    file.write_text(text)

    assert run("verify", signed, "--trust", file).exit_code == 2


def test_a_difference_is_told_step_by_step(run: Run, file: Path, signed: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.json"
    newer.write_bytes(data_of(changed("workflow", ACT, "timeout", to=5)))

    same, other = run("diff", file, signed), run("diff", file, newer)

    assert (same.exit_code, same.stdout.splitlines()[0]) == (0, "They say the same.")
    assert (other.exit_code, other.stdout) == (1, f"+ workflow {ACT} timeout = 5\n")
    assert json.loads(run("diff", file, newer, "--json").stdout)[0]["change"] == "added"


def test_a_graph_is_written_as_svg(run: Run, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "book.svg"

    assert run("graph", file, "--out", out).exit_code == 0
    assert out.read_text().startswith('<svg xmlns="http://www.w3.org/2000/svg"')
