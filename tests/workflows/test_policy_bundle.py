"""Putting a signed policy in force, and that nothing else ever is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select, update

from watchfloor_core.dsse import Signer
from watchfloor_core.errors import ConfigurationError, ConflictError, RefusedError, UnavailableError
from watchfloor_core.ledger.verify import verify_store
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import ledger_entry
from watchfloor_core.store.schema_authority import approver_key, policy_version
from watchfloor_core.store.schema_identity import account, account_role
from watchfloor_guardrails.bundle_signature import SIGNATURE_FILE, manifest_of, sign_bundle
from watchfloor_workflows.policy import RECHECK_S, Policy, PolicyFile, policy_path
from watchfloor_workflows.policy_activation import Activation, activate_policy
from watchfloor_workflows.policy_folder import current_bundle, policy_home, read_folder
from watchfloor_workflows.policy_records import last_activated
from watchfloor_workflows.testing import write_policy

ANA, BEN = (Signer(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)) for seed in (1, 2))
ME = "local:operator"


class Desk:
    """An operator with a folder to write policies in, and a clock that stands until it is moved."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder / "mine"
        self.settings = Settings(data_dir=folder / "data", tenant="acme")
        self.time = 0.0
        self.file = PolicyFile(self.settings, store, clock=lambda: self.time)
        self.folder.mkdir()
        write_policy(self.folder, "L2")
        self.write("own.cedar", '@id("one") forbid (principal, action, resource);\n')

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def sign(self, version: int, signer: Signer = ANA, author: str = "ana") -> None:
        manifest = manifest_of(read_folder(self.folder), version=version, author=author, made_us=1)
        self.write(SIGNATURE_FILE, sign_bundle(manifest, signer))

    def activate(self, version: int | None = None) -> Activation:
        if version is not None:
            self.sign(version)
        return activate_policy(self.store, self.settings, self.folder, ME)

    def current(self) -> Policy:
        return self.file.current()

    def fresh(self) -> Policy:
        """As a process that has just been started reads it."""
        return PolicyFile(self.settings, self.store).current()

    @property
    def in_force(self) -> Path:
        return current_bundle(self.settings.data_dir)

    def revoke(self, signer: Signer) -> None:
        with self.store.write() as connection:
            connection.execute(update(approver_key).where(approver_key.c.id == signer.key_id).values(revoked_us=2))

    def entries(self) -> list[dict[str, object]]:
        with self.store.read() as connection:
            bodies = connection.execute(
                select(ledger_entry.c.body)
                .where(
                    ledger_entry.c.tenant == "acme", ledger_entry.c.chain == "control", ledger_entry.c.kind == "policy"
                )
                .order_by(ledger_entry.c.seq)
            ).scalars()
            return [json.loads(body)["body"] for body in bodies]


@pytest.fixture
def desk(sqlite_store: Store, tmp_path: Path) -> Desk:
    return _desk(sqlite_store, tmp_path)


@pytest.fixture
def desk_on_each(store: Store, tmp_path: Path) -> Desk:
    """On each database in turn, for what the store has a part in."""
    return _desk(store, tmp_path)


def _desk(store: Store, folder: Path) -> Desk:
    with store.write() as connection:
        for signer, principal in ((ANA, "ana"), (BEN, "ben")):
            connection.execute(
                insert(approver_key).values(
                    id=signer.key_id,
                    principal=principal,
                    kind="ed25519",
                    public_key=signer.public_key.public_bytes_raw(),
                    sign_count=0,
                    label="",
                    created_us=0,
                )
            )
    return Desk(store, folder)


def test_what_was_activated_is_in_force_and_signed(desk_on_each: Desk) -> None:
    done = desk_on_each.activate(1)

    policy = desk_on_each.current()
    assert policy.problem is None
    assert (policy.is_signed, policy.version, policy.author) == (True, 1, "ana")
    assert policy.digest == done.policy.digest
    assert [rule.id for rule in policy.cedar.rules] == ["one"]
    in_force = policy.in_force("acme", "deny ip")
    assert in_force is not None
    assert (in_force.is_signed, in_force.author, in_force.digest) == (True, "ana", policy.digest)
    assert policy_path(desk_on_each.settings) == desk_on_each.in_force / "autonomy.yaml"
    assert os.readlink(desk_on_each.in_force) == "versions/1"


def test_an_activation_is_in_the_store_and_in_the_ledger(desk_on_each: Desk) -> None:
    desk_on_each.activate(2)
    desk_on_each.write("limits.yaml", "defaults: {veto_window_s: 0}\n")
    done = desk_on_each.activate(5)

    with desk_on_each.store.read() as connection:
        rows = connection.execute(select(policy_version).order_by(policy_version.c.version)).all()
        assert verify_store(connection, "acme").ok
    assert [(row.version, row.author, row.activated_by) for row in rows] == [(2, "ana", ME), (5, "ana", ME)]
    assert rows[1].files == {path.name: path.read_text() for path in desk_on_each.folder.iterdir()}
    first, second = desk_on_each.entries()
    assert (first["version"], first["previous_version"]) == (2, None)
    assert (second["version"], second["previous_version"], second["activated_by"]) == (5, 2, ME)
    assert second["digest"] == done.policy.digest


def test_a_running_process_takes_up_a_new_version_at_once(desk: Desk) -> None:
    desk.activate(1)
    before = desk.current()
    write_policy(desk.folder, "L1")
    desk.activate(2)

    assert (before.version, desk.current().version) == (1, 2)
    assert before.digest != desk.current().digest


@pytest.mark.parametrize("version", [1, 2])
def test_no_version_that_is_not_greater_is_activated(desk_on_each: Desk, version: int) -> None:
    desk_on_each.activate(2)
    write_policy(desk_on_each.folder, "L4")

    with pytest.raises(RefusedError, match="is not newer than version 2"):
        desk_on_each.activate(version)
    assert desk_on_each.current().version == 2
    assert len(desk_on_each.entries()) == 1


def test_activating_the_same_again_puts_its_folder_in_order_and_decides_nothing(desk: Desk) -> None:
    desk.activate(1)
    shutil.rmtree(policy_home(desk.settings.data_dir))
    assert desk.current().matrix is None

    assert not desk.activate().is_new
    assert desk.current().version == 1
    assert len(desk.entries()) == 1


def _break(name: str, text: str) -> Callable[[Desk], None]:
    return lambda desk: desk.write(name, text)


@pytest.mark.parametrize(
    "mistake",
    [
        _break("autonomy.yaml", "rows: ["),
        _break("limits.yaml", "defaults: {grant_ttl_s: 301}"),
        _break("own.cedar", "permit (principal, action, resource);"),
        _break("notes.txt", ""),
        _break(
            "tests.yaml", "tests: [{name: a, request: {action_class: deny ip, target: 192.0.2.1}, expect: {level: L4}}]"
        ),
        lambda desk: (desk.folder / "autonomy.yaml").unlink(),
        lambda desk: (desk.folder / "sub").mkdir(),
        lambda desk: (desk.folder / "link.cedar").symlink_to("own.cedar"),
    ],
)
def test_a_mistake_never_takes_effect(desk: Desk, mistake: Callable[[Desk], object]) -> None:
    desk.activate(1)
    desk.current()
    mistake(desk)

    with pytest.raises(ConfigurationError):
        desk.activate()
    assert desk.current().version == 1
    assert len(desk.entries()) == 1


@pytest.mark.parametrize(
    "sign",
    [
        lambda desk: (desk.folder / SIGNATURE_FILE).unlink(missing_ok=True),
        lambda desk: desk.sign(2, BEN, "ana"),
        lambda desk: desk.sign(2, ANA, "ben"),
        lambda desk: desk.sign(2, Signer(Ed25519PrivateKey.generate()), "ana"),
        lambda desk: (desk.sign(2), desk.revoke(ANA)),
        lambda desk: (desk.sign(2), desk.write("own.cedar", "")),
    ],
)
def test_only_a_live_key_of_the_author_puts_a_policy_in_force(desk: Desk, sign: Callable[[Desk], object]) -> None:
    desk.activate(1)
    sign(desk)

    with pytest.raises(RefusedError):
        desk.activate()
    with desk.store.read() as connection:
        last = last_activated(connection)
    assert last is not None
    assert last.version == 1


def _put_a_lone_file_in_its_place(desk: Desk) -> None:
    desk.in_force.unlink()
    write_policy(desk.settings.data_dir, "L4")


def _rewrite(desk: Desk, name: str, text: str) -> None:
    (desk.in_force / name).write_text(text)


@pytest.mark.parametrize(
    "tamper",
    [
        lambda desk: _rewrite(desk, "own.cedar", ""),
        lambda desk: _rewrite(desk, "own.cedar", (desk.in_force / "own.cedar").read_text() + "\n"),
        lambda desk: _rewrite(desk, "more.cedar", '@id("two") forbid (principal, action, resource);'),
        lambda desk: _rewrite(desk, "autonomy.yaml", "rows: ["),
        lambda desk: (desk.in_force / "own.cedar").unlink(),
        lambda desk: (desk.in_force / SIGNATURE_FILE).unlink(),
        lambda desk: desk.in_force.unlink(),
        lambda desk: shutil.rmtree(desk.in_force.resolve()),
        lambda desk: shutil.rmtree(policy_home(desk.settings.data_dir)),
        _put_a_lone_file_in_its_place,
    ],
)
def test_what_was_changed_in_place_is_unreadable_and_mended_by_activating_again(
    desk: Desk, tamper: Callable[[Desk], object]
) -> None:
    desk.activate(1)
    assert desk.current().matrix is not None
    tamper(desk)
    for policy in (desk.current(), desk.fresh()):
        assert policy.matrix is None
        assert policy.problem
        assert policy.in_force("acme", "deny ip") is None

    desk.activate()
    assert desk.current().version == 1


def test_a_file_whose_times_were_set_back_is_read_again(desk: Desk) -> None:
    desk.activate(1)
    desk.current()
    file = desk.in_force / "own.cedar"
    state, text = file.stat(), file.read_text()
    file.write_text(text.replace("one", "two"))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))

    assert desk.current().matrix is None


def test_an_older_version_that_is_put_back_is_not_in_force(desk: Desk) -> None:
    desk.activate(1)
    write_policy(desk.folder, "L1")
    desk.activate(2)
    desk.in_force.unlink()
    desk.in_force.symlink_to("versions/1")

    problem = str(desk.current().problem)
    assert "version 1 of 'ana' is not the last that was put in force here (the last one was 2 of 'ana')" in problem
    assert desk.fresh().matrix is None


@pytest.mark.parametrize("version", [1, 7])
def test_a_signed_version_that_nobody_activated_is_not_in_force(desk: Desk, version: int) -> None:
    desk.activate(1)
    write_policy(desk.folder, "L4")
    desk.sign(version)
    shutil.rmtree(desk.in_force.resolve())
    shutil.copytree(desk.folder, desk.in_force.resolve())

    assert desk.current().matrix is None


def test_a_signed_version_on_an_empty_store_is_not_in_force(desk: Desk) -> None:
    desk.sign(1)
    policy_home(desk.settings.data_dir).mkdir(parents=True)
    shutil.copytree(desk.folder, desk.in_force)

    assert "none was" in str(desk.current().problem)


def test_a_key_that_is_revoked_takes_its_policy_out_of_force(desk_on_each: Desk) -> None:
    desk_on_each.activate(1)
    assert desk_on_each.current().matrix is not None
    desk_on_each.revoke(ANA)

    assert desk_on_each.fresh().matrix is None
    desk_on_each.time += RECHECK_S
    assert "revoked" in str(desk_on_each.current().problem)
    desk_on_each.sign(2, BEN, "ben")
    desk_on_each.activate()
    assert (desk_on_each.current().version, desk_on_each.current().author) == (2, "ben")


def test_a_version_that_another_node_put_in_force_takes_an_older_folder_out_of_force(
    desk_on_each: Desk, tmp_path: Path
) -> None:
    desk_on_each.activate(1)
    assert desk_on_each.current().version == 1
    elsewhere = Settings(data_dir=tmp_path / "elsewhere", tenant="acme")
    desk_on_each.sign(2)
    activate_policy(desk_on_each.store, elsewhere, desk_on_each.folder, ME)

    desk_on_each.time += RECHECK_S
    assert desk_on_each.current().matrix is None
    # The same bundle, on this node too.
    assert not desk_on_each.activate().is_new
    assert desk_on_each.current().version == 2


def test_an_unchanged_policy_is_checked_against_the_store_only_now_and_then(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.activate(1)
    first = desk.current()
    monkeypatch.setattr(desk.store, "read", _down)

    assert desk.current() is first
    desk.time += RECHECK_S
    assert "down" in str(desk.current().problem)


def _down() -> None:
    raise UnavailableError("the store is down")


def test_a_store_that_is_back_puts_the_policy_back_in_force(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.activate(1)
    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "read", _down)
        assert desk.current().matrix is None

    assert desk.current().version == 1


def test_without_a_store_a_bundle_counts_as_unreadable(desk: Desk) -> None:
    desk.activate(1)

    assert PolicyFile(desk.settings).current().matrix is None


def test_a_file_that_the_settings_name_does_not_take_a_signed_policys_place(desk: Desk, tmp_path: Path) -> None:
    desk.activate(1)
    write_policy(tmp_path, "L4")
    settings = desk.settings.model_copy(update={"autonomy_file": tmp_path / "autonomy.yaml"})

    assert "unset WATCHFLOOR_AUTONOMY_FILE" in str(PolicyFile(settings, desk.store).current().problem)
    shutil.rmtree(policy_home(settings.data_dir))
    assert "was put in force here, and is gone" in str(PolicyFile(settings, desk.store).current().problem)


def test_a_lone_file_is_in_force_unsigned_where_no_bundle_ever_was(desk: Desk) -> None:
    write_policy(desk.settings.data_dir, "L3")

    policy = desk.current()
    assert (policy.problem, policy.is_signed, policy.author) == (None, False, None)
    in_force = policy.in_force("acme", "deny ip")
    assert in_force is not None
    assert (in_force.is_signed, in_force.limits.grant_ttl_s) == (False, 120)


def test_a_first_activation_takes_a_lone_file_out_of_force(desk: Desk) -> None:
    write_policy(desk.settings.data_dir, "L4")
    assert desk.current().version is None
    desk.activate(1)

    assert desk.current().version == 1


def test_a_folder_that_cannot_be_written_leaves_the_policy_as_it_was(desk: Desk) -> None:
    desk.activate(1)
    desk.sign(2)
    versions = policy_home(desk.settings.data_dir) / "versions"
    shutil.move(versions / "1", desk.settings.data_dir / "kept")
    versions.rmdir()
    versions.write_text("in the way")

    with pytest.raises(ConfigurationError, match="cannot be written"):
        desk.activate()
    assert len(desk.entries()) == 1
    versions.unlink()
    versions.mkdir()
    shutil.move(desk.settings.data_dir / "kept", versions / "1")
    assert desk.current().version == 1


def test_a_crash_between_store_and_folder_denies_until_it_is_done_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.activate(1)
    write_policy(desk.folder, "L1")
    with monkeypatch.context() as patch:
        patch.setattr("watchfloor_workflows.policy_activation.point_to", _killed)
        with pytest.raises(KeyboardInterrupt):
            desk.activate(2)

    assert desk.fresh().matrix is None
    desk.activate()
    assert desk.current().version == 2
    assert len(desk.entries()) == 2


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_of_concurrent_activations_the_version_only_ever_goes_up(desk_on_each: Desk, tmp_path: Path) -> None:
    folders = []
    for version in range(1, 9):
        desk_on_each.sign(version)
        folders.append(shutil.copytree(desk_on_each.folder, tmp_path / f"v{version}"))

    def attempt(folder: Path) -> str | None:
        try:
            activate_policy(desk_on_each.store, desk_on_each.settings, folder, ME)
        except (RefusedError, ConflictError) as error:
            return str(error)
        return None

    with ThreadPoolExecutor(8) as pool:
        refused = list(pool.map(attempt, folders))
    versions = [str(entry["version"]) for entry in desk_on_each.entries()]
    assert versions == sorted(set(versions))
    assert (versions[-1], refused[-1], desk_on_each.current().version) == ("8", None, 8)


def test_an_account_that_is_no_lead_writes_no_policy(desk_on_each: Desk) -> None:
    desk = desk_on_each
    held = {"principal": "ana", "tenant": "acme", "source": "local", "granted_by": "admin", "granted_us": 0}
    with desk.store.write() as connection:
        connection.execute(insert(account).values(principal="ana", display_name="Ana", created_us=0, failed_count=0))
        connection.execute(insert(account_role).values(**held, role="responder"))
    with pytest.raises(RefusedError, match="is no lead of tenant 'acme'"):
        desk.activate(1)
    assert desk.entries() == []

    with desk.store.write() as connection:
        connection.execute(insert(account_role).values(**held, role="lead"))
    assert desk.activate(1).is_new
