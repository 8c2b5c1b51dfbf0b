"""Which tools a tenant has, and every mistake of their file at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from watchfloor_connectors.targets.kinds import BUILT_IN, load_kinds
from watchfloor_connectors.targets.registry import ActionTargets, load_targets
from watchfloor_connectors.targets.secret import _Stores, file_reference, read_secret, reference
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import ConfigurationError, NotFoundError
from watchfloor_core.settings import Settings
from watchfloor_guardrails.action import Target
from watchfloor_guardrails.catalogue import CATALOGUE, TargetKind
from watchfloor_guardrails.effect import NotDoneError

FILE = """\
targets:
  - tool: edge
    kind: nftables
    tenants: [acme, globex]
    netns: edge
    never: [192.0.2.0/24]
  - tool: list
    kind: blocklist
    tenants: "*"
    file: /srv/lists/{tenant}.txt
  - tool: directory
    kind: posix_account
    tenants: [acme]
  - tool: files
    kind: quarantine
    tenants: [acme]
    roots: [/home]
  - tool: stopper
    kind: process
    tenants: [acme]
    never: [/usr/sbin/sshd, "uid:0"]
"""
MISTAKES = """\
targets:
  - tool: Edge Firewall
    kind: nftables
    tenants: []
    table: "x; flush ruleset"
    never: [10.0.0.0/33]
  - tool: list
    kind: blocklist
    tenants: "*"
    file: /srv/list.txt
    action_classes: [deny ip]
  - tool: list
    kind: firewalld
    tenants: [a]
  - tool: files
    kind: quarantine
    tenants: ["../x"]
    folder: ../q
    colour: red
  - tool: accounts
    kind: posix_account
    tenants: [a]
    action_classes: [stop process]
    timeout_s: 60
    password: hunter2
  - just text
"""
Install = Callable[[str, str], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "targets.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def targets(file: Path, tmp_path: Path) -> ActionTargets:
    return load_targets(file, tmp_path)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a module with one entry point where Python finds it, as pip would."""

    def put(name: str, code: str) -> None:
        (tmp_path / f"{name}_kind.py").write_text(code)
        info = tmp_path / f"{name}_kind-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}_kind\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[watchfloor.targets]\n{name} = {name}_kind:Kind\n")
        installed.append(f"{name}_kind")

    installed: list[str] = []
    monkeypatch.syspath_prepend(tmp_path)
    yield put
    for module in installed:
        sys.modules.pop(module, None)


def test_a_tool_is_found_by_its_exact_name_and_tenant(targets: ActionTargets) -> None:
    edge = targets.of("acme", "edge")
    assert (edge.tool, edge.kind, sorted(edge.action_classes)) == ("edge", "nftables", ["allow ip", "deny ip"])
    assert targets.of("acme", "edge") is edge
    for tenant, tool in (
        ("acme", "Edge"),
        ("acme", "edge "),
        ("initech", "edge"),
        ("globex", "directory"),
        ("*", "list"),
    ):
        with pytest.raises(NotFoundError, match="has no tool"):
            targets.of(tenant, tool)


def test_a_class_is_done_by_the_tenants_first_tool_that_does_it(targets: ActionTargets) -> None:
    def name(tenant: str, action_class: str) -> str | None:
        found = targets.for_class(tenant, action_class)
        return None if found is None else found.tool

    assert (name("acme", "deny ip"), name("initech", "deny ip")) == ("edge", "list")
    assert (name("acme", "disable user"), name("globex", "disable user")) == ("directory", None)
    assert [tool.tool for tool in targets.of_tenant("globex")] == ["edge", "list"]


@pytest.mark.parametrize("tenant", ["../../etc", "..", ".", "", "A", "a/b", "a\n", "{tenant}"])
def test_what_is_no_name_of_a_tenant_has_no_tool(targets: ActionTargets, tenant: str) -> None:
    assert targets.for_class(tenant, "deny ip") is None
    with pytest.raises(NotFoundError):
        targets.of(tenant, "list")


def test_every_mistake_is_told_at_once_with_its_line(file: Path, tmp_path: Path) -> None:
    file.write_text(MISTAKES)
    with pytest.raises(ConfigurationError) as found:
        load_targets(file, tmp_path)
    told = [(problem.line, problem.message) for problem in found.value.problems]
    expected = [
        (2, "tool is 'Edge Firewall'"), (4, "tenants is []"), (5, "table: String should match"), (6, "10.0.0.0/33"),
        (11, "'deny ip' without 'allow ip'"), (7, "one list for several tenants"), (12, "two tools are named 'list'"),
        (13, "kind is 'firewalld'; known are: "), (17, "tenants is ['../x']"), (15, "roots: Field required"),
        (18, "not an absolute path"), (19, "colour: Extra inputs"), (23, "action_classes is ['stop process']"),
        (25, "password: a secret stands in a place"), (26, "a tool is a mapping"),
    ]  # fmt: skip
    assert len(told) == len(expected), told
    for line, part in expected:
        assert any(at == line and part in message for at, message in told), (line, part, told)
    assert "hunter2" not in str(found.value)


@pytest.mark.parametrize("text", ["", "targets:", "targets: {}", "[]", "targets: []\nmore: 1", "targets: ["])
def test_a_file_that_is_no_list_of_tools_is_refused(file: Path, tmp_path: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"targets\.yaml:1|not valid YAML"):
        load_targets(file, tmp_path)


def test_a_file_that_everybody_may_write_is_refused(file: Path, tmp_path: Path) -> None:
    file.chmod(0o666)
    with pytest.raises(ConfigurationError, match="chmod o-w"):
        load_targets(file, tmp_path)


def test_without_a_file_there_is_one_blocklist_for_every_tenant(tmp_path: Path, permit_for: PermitFor) -> None:
    targets = ActionTargets.load(Settings(data_dir=tmp_path))
    tool = targets.of("acme", "blocklist")
    check_target(tool, [Sample("deny ip", Target(TargetKind.IP, "203.0.113.9"))], permit_for)
    assert (tmp_path / "blocklist" / "acme.txt").exists()
    assert targets.for_class("acme", "disable user") is None


def test_a_file_that_the_settings_name_has_to_be_there(tmp_path: Path, file: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        ActionTargets.load(Settings(data_dir=tmp_path, targets_file=tmp_path / "no.yaml"))
    moved = file.rename(tmp_path / "elsewhere.yaml")
    assert ActionTargets.load(Settings(data_dir=tmp_path, targets_file=moved)).of("acme", "edge").kind == "nftables"


def test_an_empty_list_is_no_tool_at_all(file: Path, tmp_path: Path) -> None:
    file.write_text("targets: []\n")
    assert load_targets(file, tmp_path).of_tenant("acme") == ()


def test_the_kinds_that_ship_do_the_whole_catalogue_and_its_undo() -> None:
    assert frozenset[str]().union(*(kind.classes for kind in BUILT_IN.values())) == set(CATALOGUE)
    for kind in BUILT_IN.values():
        assert {CATALOGUE[name].undo or name for name in kind.classes} <= kind.classes


def test_an_installed_kind_is_imported_only_where_the_settings_allow_it(
    install: Install, file: Path, tmp_path: Path
) -> None:
    install("acme", "from watchfloor_connectors.targets.template import Acme as Kind\n")
    file.write_text(f"targets:\n  - {{tool: fw, kind: acme, tenants: [a], folder: {tmp_path}}}\n")
    with pytest.raises(ConfigurationError, match="kind is 'acme'"):
        load_targets(file, tmp_path)
    assert "acme_kind" not in sys.modules
    assert load_targets(file, tmp_path, ["acme"]).of("a", "fw").kind == "acme"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("Kind = 1", "is no subclass of ConfiguredTarget"),
        ("from watchfloor_connectors.targets.base import ConfiguredTarget as Kind", "does not say its kind, revision"),
        ("from watchfloor_connectors.targets.blocklist import Blocklist as Kind", "gives the kind 'blocklist'"),
        ("from watchfloor_connectors.targets.template import Acme\nclass Kind(Acme):\n    kind = 'bad'\n"
         "    classes = frozenset({'wipe host'})", "does ['wipe host']"),
    ],
)  # fmt: skip
def test_a_kind_that_cannot_be_loaded_stops_the_start(install: Install, code: str, message: str) -> None:
    install("bad", code)
    with pytest.raises(ConfigurationError) as found:
        load_kinds(["bad", "missing", "blocklist"])
    told = str(found.value)
    assert message in told
    assert "'missing' is allowed and not installed" in told
    assert "'blocklist' is a kind that ships" in told


def test_a_secret_is_named_by_its_file_which_others_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("s3cret\n")
    file.chmod(0o600)
    assert read_secret(reference(f"file:{file}")).get_secret_value() == "s3cret"
    file.chmod(0o640)
    with pytest.raises(NotDoneError, match="chmod 600"):
        read_secret(f"file:{file}")
    with pytest.raises(NotDoneError, match="cannot be read"):
        read_secret(f"file:{file}-2")
    for text in ("s3cret", "file:relative", "env:WATCHFLOOR_TOKEN", "vault:secret/falcon"):
        with pytest.raises(ValueError, match=r"file:/absolute/path|not an absolute path") as told:
            reference(text)
        assert text == "file:relative" or text not in str(told.value)
    with pytest.raises(ValueError, match="a file of its own"):
        file_reference("env:KEY")


def test_a_secret_may_stand_in_the_environment_or_a_store_that_the_process_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Stores, "read", None)
    with pytest.raises(NotDoneError, match="no other place of secrets is in use"):
        read_secret(reference("env:FALCON_SECRET"))
    monkeypatch.setenv("FALCON_SECRET", "s3cret")
    ActionTargets.load(Settings(data_dir=tmp_path))
    assert read_secret("env:FALCON_SECRET").get_secret_value() == "s3cret"
    monkeypatch.delenv("FALCON_SECRET")
    with pytest.raises(NotDoneError, match="FALCON_SECRET"):
        read_secret("env:FALCON_SECRET")
    with pytest.raises(NotDoneError, match="vault_address"):
        read_secret(reference("vault:secret/falcon#client"))
