"""``webhooks.yaml``: every mistake at once with its line, and never a secret in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchfloor_core.errors import ConfigurationError
from watchfloor_service.intake.webhook_file import load_webhooks

CONNECTORS = frozenset({"suricata", "wazuh"})
SECRET = "s" * 32

RIGHT = """\
webhooks:
  - name: edge
    tenant: default
    connector: suricata
    secret_env: EDGE_SECRET
  - name: hosts
    tenant: acme
    connector: wazuh
    secret_file: hosts.secret
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGE_SECRET", SECRET)
    (tmp_path / "hosts.secret").write_text("t" * 40 + "\n")
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "webhooks.yaml"
    path.write_text(text)
    return path


def test_no_file_means_no_webhooks(tmp_path: Path) -> None:
    assert load_webhooks(tmp_path / "webhooks.yaml", CONNECTORS) == {}


def test_secrets_come_from_the_environment_and_from_files_and_are_not_shown(folder: Path) -> None:
    webhooks = load_webhooks(written(folder, RIGHT), CONNECTORS)
    assert webhooks["edge"].secret.get_secret_value() == SECRET.encode()
    assert webhooks["hosts"].secret.get_secret_value() == b"t" * 40
    assert webhooks["hosts"].tenant == "acme"
    assert SECRET not in repr(webhooks)


def test_every_mistake_is_named_with_its_line_at_once(folder: Path) -> None:
    path = written(
        folder,
        """\
webhooks:
  - name: Edge
    tenant: default
    connector: snort
    secret_env: EDGE_SECRET
  - name: hosts
    tenant: acme
    connector: wazuh
    secret: hunter2hunter2hunter2hunter2hunter2
  - tenant: acme
    connector: wazuh
    secret_env: NOT_SET_ANYWHERE
more: 1
""",
    )
    with pytest.raises(ConfigurationError) as raised:
        load_webhooks(path, CONNECTORS)
    found = [(problem.line, problem.path) for problem in raised.value.problems]
    assert found == [
        (2, "webhooks[0].name"),
        (4, "webhooks[0].connector"),
        (6, "webhooks[1]"),
        (9, "webhooks[1].secret"),
        (10, "webhooks[2]"),
        (12, "webhooks[2].secret_env"),
        (13, "more"),
    ]
    assert all(str(path) in str(problem) for problem in raised.value.problems)
    assert "hunter2" not in str(raised.value)


def test_a_short_secret_and_a_second_webhook_of_one_name_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_SECRET", "short")
    (folder / "other.secret").write_text("u" * 40)
    path = written(folder, RIGHT + "  - {name: hosts, tenant: acme, connector: wazuh, secret_file: other.secret}\n")
    with pytest.raises(ConfigurationError) as raised:
        load_webhooks(path, CONNECTORS)
    assert [problem.line for problem in raised.value.problems] == [5, 10]
    assert "the secret has 5 bytes" in str(raised.value)


def test_a_file_of_another_form_is_refused(folder: Path) -> None:
    for text in ("[]\n", "webhooks: none\n", "webhooks:\n  - 1\n", "a: [\n"):
        with pytest.raises(ConfigurationError):
            load_webhooks(written(folder, text), CONNECTORS)
