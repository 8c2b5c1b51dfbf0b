"""Real files: taken out of reach and put back, whatever somebody does to their names meanwhile."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from watchfloor_connectors.targets.base import BadTargetError, NeverError, NotReadyError, Slot
from watchfloor_connectors.targets.manifest import CONTENT, Manifest
from watchfloor_connectors.targets.quarantine import Quarantine, QuarantineOptions
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError

Key = Callable[[str], str]

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder below which files may be contained."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def tool(slot: Slot, home: Path) -> Quarantine:
    return Quarantine(slot, QuarantineOptions(roots=(str(home),), never=(str(home / "keep"), str(home / "keep.txt"))))


@pytest.fixture
def far_tool(slot: Slot, home: Path) -> Iterator[Quarantine]:
    """A quarantine on another file system."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        if os.stat(folder).st_dev == os.stat(home).st_dev:
            pytest.skip("the shared memory is no other file system here")
        yield Quarantine(slot, QuarantineOptions(roots=(str(home),), folder=f"{folder}/quarantine"))


@pytest.fixture
def malware(home: Path) -> Path:
    file = home / "evil.bin"
    file.write_bytes(b"MZ" * 1000)
    file.chmod(0o4751 if AS_ROOT else 0o751)
    if AS_ROOT:
        os.chown(file, 1234, 2345)
        file.chmod(0o4751)
    os.utime(file, ns=(1_700_000_000_000_000_001, 1_600_000_000_000_000_002))
    return file


def contain(path: Path | str) -> Action:
    return Action("contain file", "tool", Target(TargetKind.FILE, str(path)), {})


def restore(path: Path | str, of: str | None = None) -> Action:
    return Action("restore file", "tool", Target(TargetKind.FILE, str(path)), {} if of is None else {"of": of})


def attributes(file: Path) -> tuple[int, int, int, int, int]:
    at = file.lstat()
    return at.st_mode, at.st_uid, at.st_gid, at.st_atime_ns, at.st_mtime_ns


def test_a_quarantine_keeps_the_contract_of_tools(tool: Quarantine, malware: Path, permit_for: PermitFor) -> None:
    odd = malware.parent / "Rechnung März (1); rm -rf.pdf.exe"
    odd.write_text("x")
    samples = [Sample("contain file", Target(TargetKind.FILE, str(file))) for file in (malware, odd)]
    outside = ("/etc/passwd", "/", str(malware.parent), f"{malware.parent}-2/x", f"{malware.parent}/keep/x")
    never = [Target(TargetKind.FILE, path) for path in outside]
    # By name, and by roots that were narrowed since: either can come after the act.
    named = Quarantine(tool.slot, tool.options.model_copy(update={"never": (str(malware.parent),)}))
    narrowed = Quarantine(tool.slot, tool.options.model_copy(update={"roots": ("/srv/elsewhere",)}))
    check_target(tool, samples, permit_for, never, protecting=named)
    check_target(tool, samples, permit_for, protecting=narrowed)


def test_a_file_that_took_the_place_of_a_contained_one_is_not_contained_once_it_is_protected(
    tool: Quarantine, malware: Path, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(contain(malware), key("a")))
    malware.write_text("the real one, from a backup")
    protecting = Quarantine(tool.slot, tool.options.model_copy(update={"never": (str(malware),)}))
    with pytest.raises(NeverError):
        protecting.act(permit_for(contain(malware), key("b")))
    assert malware.read_text() == "the real one, from a backup"


def test_looking_makes_no_quarantine_and_leaves_the_times_alone(tool: Quarantine, malware: Path) -> None:
    before = attributes(malware)
    tool.read_state(Target(TargetKind.FILE, str(malware)))
    assert attributes(malware) == before
    assert not Path(tool.folder).exists()


@pytest.mark.parametrize("where", ["tool", "far_tool"])
def test_a_contained_file_is_out_of_reach_and_comes_back_as_it_was(
    where: str, malware: Path, permit_for: PermitFor, key: Key, request: pytest.FixtureRequest
) -> None:
    tool: Quarantine = request.getfixturevalue(where)
    before, content = attributes(malware), malware.read_bytes()
    os.utime(malware, ns=before[3:])
    tool.act(permit_for(contain(malware), key("a")))
    held = Path(tool.folder, key("a"), CONTENT)
    assert not malware.exists()
    assert [path.name for path in malware.parent.iterdir()] == []
    assert stat.S_IMODE(held.stat().st_mode) == 0
    assert stat.S_IMODE(held.parent.stat().st_mode) == stat.S_IMODE(Path(tool.folder).stat().st_mode) == 0o700
    assert tool.read_back(contain(malware), key("a")).effect is Effect.APPLIED
    tool.act(permit_for(restore(malware), key("b")))
    assert tool.read_back(restore(malware), key("b")).effect is Effect.APPLIED
    assert attributes(malware) == before
    assert malware.read_bytes() == content
    assert list(Path(tool.folder).iterdir()) == []
    assert [path.name for path in malware.parent.iterdir()] == [malware.name]


def test_extended_attributes_go_along(far_tool: Quarantine, malware: Path, permit_for: PermitFor, key: Key) -> None:
    try:
        os.setxattr(malware, "user.origin", b"mail")
    except OSError as error:
        pytest.skip(f"the file system of the test has no extended attributes: {error.strerror}")
    far_tool.act(permit_for(contain(malware), key("a")))
    far_tool.act(permit_for(restore(malware), key("b")))
    if "user.origin" not in os.listxattr(malware):
        pytest.skip("shared memory has no extended attributes of users on this kernel")
    assert os.getxattr(malware, "user.origin") == b"mail"


def test_a_place_that_is_taken_is_not_taken_over(
    tool: Quarantine, malware: Path, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(contain(malware), key("a")))
    malware.write_text("dropped again")
    back = tool.read_back(contain(malware), key("a"))
    assert (back.effect, "another file has taken its place" in back.text) == (Effect.APPLIED, True)
    with pytest.raises(NotDoneError, match="is taken by another file"):
        tool.act(permit_for(restore(malware), key("b")))
    assert malware.read_text() == "dropped again"
    assert stat.S_IMODE(Path(tool.folder, key("a"), CONTENT).stat().st_mode) == 0
    assert tool.read_back(restore(malware), key("b")).effect is Effect.NOT_APPLIED


def test_a_file_that_is_dropped_again_is_contained_again_and_each_comes_back_by_its_key(
    tool: Quarantine, malware: Path, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(contain(malware), key("a")))
    malware.write_text("second")
    tool.act(permit_for(contain(malware), key("b")))
    with pytest.raises(NotDoneError, match="say which by 'of'"):
        tool.act(permit_for(restore(malware), key("c")))
    tool.act(permit_for(restore(malware, of=key("b")), key("d")))
    assert malware.read_text() == "second"
    malware.unlink()
    tool.act(permit_for(restore(malware), key("e")))
    assert malware.read_bytes() == b"MZ" * 1000


def test_what_changed_in_quarantine_does_not_come_back(
    tool: Quarantine, malware: Path, permit_for: PermitFor, key: Key
) -> None:
    with malware.open("ab") as held_open:
        tool.act(permit_for(contain(malware), key("a")))
        held_open.write(b"more")
        held_open.flush()
        with pytest.raises(NotDoneError, match="is not what was put there"):
            tool.act(permit_for(restore(malware), key("b")))
    assert not malware.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "dangling"])
def test_no_link_is_followed(tool: Quarantine, home: Path, permit_for: PermitFor, key: Key, kind: str) -> None:
    victim = home.parent / "outside"
    victim.mkdir()
    (victim / "shadow").write_text("secret")
    path = home / "link"
    match kind:
        case "file":
            path.symlink_to(victim / "shadow")
        case "folder":
            path.symlink_to(victim)
            path = path / "shadow"
        case "dangling":
            path.symlink_to(victim / "nothing")
    with pytest.raises(BadTargetError, match="is a link"):
        tool.read_state(Target(TargetKind.FILE, str(path)))
    with pytest.raises(BadTargetError):
        tool.act(permit_for(contain(path), key("a")))
    assert (victim / "shadow").read_text() == "secret"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(
    tool: Quarantine, home: Path, permit_for: PermitFor, key: Key, make: Callable[[Path], None]
) -> None:
    make(home / "odd")
    with pytest.raises(BadTargetError, match="no regular file"):
        tool.act(permit_for(contain(home / "odd"), key("a")))
    assert (home / "odd").exists()


def test_a_file_of_several_names_is_left_to_people(
    tool: Quarantine, malware: Path, permit_for: PermitFor, key: Key
) -> None:
    other = malware.with_name("other")
    other.hardlink_to(malware)
    before = attributes(malware)
    with pytest.raises(NotDoneError, match="has 2 names"):
        tool.act(permit_for(contain(malware), key("a")))
    assert attributes(other)[0:3] == before[0:3]


@pytest.mark.parametrize(
    "path", ["../etc/passwd", "{}/../x", "{}//x", "{}/./x", "{}/x/", "x", "{}/a\nb", "{}/\u202egpj"]
)
def test_a_path_that_is_not_plain_is_refused(tool: Quarantine, home: Path, path: str) -> None:
    with pytest.raises(BadTargetError):
        tool.read_state(Target(TargetKind.FILE, path.replace("{}", str(home))))


def test_nothing_outside_of_the_roots_in_never_or_in_quarantine_is_touched(
    tool: Quarantine, slot: Slot, home: Path, permit_for: PermitFor, key: Key
) -> None:
    (home / "keep").mkdir()
    for path in ("/etc/hostname", str(home / "keep/x"), str(home / "keep.txt"), f"{home}2/x", str(home)):
        with pytest.raises(NeverError):
            tool.act(permit_for(contain(path), key("a")))
    inside = Quarantine(slot, QuarantineOptions(roots=(str(home),), folder=str(home / "q")))
    with pytest.raises(NeverError):
        inside.read_state(Target(TargetKind.FILE, str(home / "q" / key("a") / CONTENT)))


def test_a_file_that_is_too_large_to_look_at_in_time_is_refused(slot: Slot, home: Path, malware: Path) -> None:
    tool = Quarantine(slot, QuarantineOptions(roots=(str(home),), max_bytes=1999))
    with pytest.raises(NeverError, match="has 2000 bytes"):
        tool.read_state(Target(TargetKind.FILE, str(malware)))


def test_a_quarantine_that_others_can_enter_is_not_used(
    tool: Quarantine, malware: Path, permit_for: PermitFor, key: Key
) -> None:
    Path(tool.folder).mkdir(parents=True)
    Path(tool.folder).chmod(0o750)
    with pytest.raises(NotReadyError, match="others can enter"):
        tool.act(permit_for(contain(malware), key("a")))
    assert malware.exists()


def test_a_file_that_is_nowhere_is_not_found(tool: Quarantine, home: Path, permit_for: PermitFor, key: Key) -> None:
    with pytest.raises(NotFoundError):
        tool.read_state(Target(TargetKind.FILE, str(home / "nothing")))
    for action in (contain(home / "nothing"), restore(home / "nothing")):
        with pytest.raises(NotDoneError):
            tool.act(permit_for(action, key("a")))


@pytest.mark.parametrize("where", ["tool", "far_tool"])
@pytest.mark.parametrize("exchange", ["file", "link", "folder"])
def test_a_name_exchanged_in_the_very_moment_moves_nothing_else(
    where: str, exchange: str, malware: Path, permit_for: PermitFor, key: Key, request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tool: Quarantine = request.getfixturevalue(where)
    precious = malware.with_name("precious")
    precious.mkdir() if exchange == "folder" else precious.write_text("precious")
    rename, is_done = os.rename, False

    def racing(source: str, destination: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        """The attacker's exchange in the last moment before the tool's rename."""
        nonlocal is_done
        if source == malware.name and not is_done and (src_dir_fd != dst_dir_fd or destination.startswith(".wf-")):
            if where == "far_tool" and src_dir_fd != dst_dir_fd:
                rename(source, destination, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            is_done = True
            rename(malware, malware.with_name("elsewhere"))
            malware.symlink_to(precious) if exchange == "link" else rename(precious, malware)
        rename(source, destination, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", racing)
    with pytest.raises((NotDoneError, UnavailableError)) as found:
        tool.act(permit_for(contain(malware), key("a")))
    assert is_done
    assert malware.with_name("elsewhere").read_bytes() == b"MZ" * 1000
    assert tool.read_back(contain(malware), key("a")).effect is not Effect.APPLIED if exchange == "folder" else True
    match exchange:
        case "file":
            assert isinstance(found.value, NotDoneError)
            assert malware.read_text() == "precious"
            assert stat.S_IMODE(malware.stat().st_mode) != 0
        case "link":
            assert isinstance(found.value, NotDoneError)
            assert os.readlink(malware) == str(precious)
            assert precious.read_text() == "precious"
        case "folder":
            # It cannot be put back without a risk to what stands there: it is kept, and the outcome is open.
            assert not isinstance(found.value, NotDoneError)
            assert "look at it" in str(found.value) or "could not be put back" in str(found.value)


@pytest.mark.parametrize("where", ["near", "far"])
@pytest.mark.parametrize("action_class", ["contain file", "restore file"])
def test_a_crash_at_any_step_leaves_the_file_here_or_there_and_whole(
    crash_everywhere: Callable[[str], list[Path]], slot: Slot, permit_for: PermitFor, key: Key, where: str,
    action_class: str, far_tool: Quarantine,
) -> None:  # fmt: skip
    far = str(Path(far_tool.folder).parent)
    places = crash_everywhere(f"""
def tool(place):
    folder = {far!r} + "/" + place.name if {where!r} == "far" else str(place / "q")
    return Quarantine(Slot("tool", "default", place), QuarantineOptions(roots=(str(place / "home"),), folder=folder))
def target(place):
    return Target(TargetKind.FILE, str(place / "home" / "evil"))
def prepare(place):
    (place / "home").mkdir()
    (place / "home/evil").write_text("evil")
    (place / "home/evil").chmod(0o640)
    if {action_class!r} == "restore file":
        act(tool(place), "contain file", target(place), {key("a")!r})
def crash(place):
    act(tool(place), {action_class!r}, target(place), {key("b")!r})
""")
    seen = set()
    for place in places:
        folder = f"{far}/{place.name}" if where == "far" else str(place / "q")
        left = Quarantine(replace(slot, data_dir=place), QuarantineOptions(roots=(str(place / "home"),), folder=folder))
        file = place / "home/evil"
        action = replace(contain(file), action_class=action_class)
        effect = left.read_back(action, key("b")).effect
        seen.add(effect)
        copies = [path for path in (*Path(folder).rglob("*"), *file.parent.iterdir()) if path.is_file()]
        assert any(path.name != "manifest.json" and path.stat().st_size == 4 for path in copies)
        match effect, action_class:
            case (Effect.UNKNOWN, _):
                # Only on the way between two file systems, where no single step can do both.
                assert where == "far"
                assert not file.exists()
                continue
            case (Effect.APPLIED, "contain file"):
                assert not file.exists()
                left.act(permit_for(restore(file), key("c")))
            case (Effect.NOT_APPLIED, "contain file"):
                assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("evil", 0o640)
                left.act(permit_for(contain(file), key("c")))
                left.act(permit_for(restore(file), key("d")))
            case (Effect.NOT_APPLIED, "restore file"):
                if not file.exists():
                    left.act(permit_for(restore(file), key("c")))
        assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("evil", 0o640)
        # Whatever the crash left over, the file can be contained and restored again.
        left.act(permit_for(contain(file), key("e")))
        assert left.read_back(contain(file), key("e")).effect is Effect.APPLIED
        left.act(permit_for(restore(file), key("f")))
        assert [path.name for path in file.parent.iterdir()] == ["evil"]
    assert {Effect.APPLIED, Effect.NOT_APPLIED} <= seen


def test_a_manifest_that_names_another_path_restores_nothing(
    tool: Quarantine, malware: Path, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(contain(malware), key("a")))
    file = Path(tool.folder, key("a"), "manifest.json")
    manifest = Manifest.read(file.read_bytes())
    assert manifest is not None
    file.write_text(manifest.model_copy(update={"key": key("x")}).model_dump_json())
    with pytest.raises(NotDoneError):
        tool.act(permit_for(restore(malware), key("b")))
    assert not malware.exists()


def test_an_error_of_the_system_before_the_move_means_that_nothing_was_done(
    tool: Quarantine, malware: Path, permit_for: PermitFor, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("watchfloor_connectors.targets.quarantine.replace_in", full)
    with pytest.raises(NotDoneError, match="No space left"):
        tool.act(permit_for(contain(malware), key("a")))
    assert malware.exists()


def test_an_error_of_the_system_after_the_move_leaves_the_outcome_open(
    tool: Quarantine, malware: Path, permit_for: PermitFor, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: fsync(fd) if malware.exists() else broken())
    with pytest.raises(UnavailableError, match="was moved, and then") as found:
        tool.act(permit_for(contain(malware), key("a")))
    assert not isinstance(found.value, NotDoneError)
    monkeypatch.undo()
    assert tool.read_back(contain(malware), key("a")).effect is Effect.APPLIED


def broken() -> None:
    raise OSError(5, "Input/output error")
