"""The lock on a data directory, the description of a running stack, its logs and its ports."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.settings import Settings
from watchfloor_service.supervision.claim import Claim, is_claimed
from watchfloor_service.supervision.environment import settings_environment
from watchfloor_service.supervision.listening import claimed_port, free_port
from watchfloor_service.supervision.rotation import RotatingLog
from watchfloor_service.supervision.running import RunningStack, find_running

STACK = RunningStack(
    pid=1,
    command="up",
    since_us=0,
    temporal_address="127.0.0.1:7233",
    api_url=None,
    autonomy_file=None,
    store="sqlite:////tmp/watchfloor.db",
)

HOLD = """
import sys
from pathlib import Path
from watchfloor_service.supervision.claim import Claim
claim = Claim.take(Path(sys.argv[1]), "up")
if "heir" in sys.argv:
    import subprocess
    subprocess.Popen(["cat"], pass_fds=(claim.descriptor,), stdout=subprocess.DEVNULL)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(data_dir: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the directory until its input closes."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data_dir), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_claim_names_the_holder_and_the_remedy(tmp_path: Path) -> None:
    with holder(tmp_path) as process, pytest.raises(ConfigurationError) as refusal:
        Claim.take(tmp_path, "run")
    said = str(refusal.value)
    assert f"in use by `watchfloor up` (pid {process.pid}, since 20" in said
    assert f"`kill {process.pid}`" in said
    assert "--data-dir" in said


def test_a_claim_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        assert is_claimed(tmp_path)
        process.kill()
        process.wait()
    assert not is_claimed(tmp_path)
    Claim.take(tmp_path, "up").release()


def test_a_claim_waits_for_the_children_of_a_dead_supervisor(tmp_path: Path) -> None:
    with holder(tmp_path, "heir") as process:
        process.kill()
        process.wait()
        # The heir reads the pipe that this process still holds open for writing.
        assert is_claimed(tmp_path)
        assert process.stdin is not None
        process.stdin.close()
        Claim.take(tmp_path, "up").release()


def test_a_directory_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot be written \(Not a directory\); give another by --data-dir"):
        Claim.take(tmp_path / "file" / "data", "up")


def test_the_description_of_a_killed_stack_is_not_believed(tmp_path: Path) -> None:
    claim = Claim.take(tmp_path, "up")
    STACK.write(tmp_path)
    assert find_running(tmp_path) == STACK
    claim.release()
    assert (tmp_path / "run.json").exists()
    assert find_running(tmp_path) is None


def test_the_description_is_readable_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "run.json").touch(0o644)
    STACK.write(tmp_path)
    assert stat.S_IMODE((tmp_path / "run.json").stat().st_mode) == 0o600


def test_a_log_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "worker.log", max_bytes=100, kept=3)
    for number in range(50):
        log.write(f"line {number:02}\n".encode())
    log.write(b"x" * 1000)
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["worker.log", "worker.log.1", "worker.log.2"]
    assert all(file.stat().st_size <= 100 for file in files)
    assert (tmp_path / "worker.log.1").read_text().splitlines()[-1] == "line 49"


def test_a_port_in_use_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port} .*WATCHFLOOR_API_PORT, 0 for any that is free"):
            claimed_port("127.0.0.1", port, "api_port")


def test_port_zero_becomes_one_that_is_free() -> None:
    port = claimed_port("127.0.0.1", 0, "api_port")
    assert port != 0
    assert claimed_port("127.0.0.1", free_port(), "api_port") > 0


def test_children_read_the_settings_of_their_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WATCHFLOOR_TENANT", "acme")
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "database_url": "postgresql://watchfloor:secret@db/watchfloor",
            "temporal_tls": True,
            "connectors_allowed": ["acme_edr", "other"],
            "debounce_s": 0.5,
            "retention_raw_days": 0,
        }
    )
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
    assert os.environ["WATCHFLOOR_TENANT"] == "acme"
