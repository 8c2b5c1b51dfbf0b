"""Ties a child's life to its parent's: ``python -I -S leash.py PARENT COMMAND …`` becomes COMMAND and dies with PARENT.

The kernel sends SIGKILL when the parent is gone, however it went: a supervisor killed with -9 leaves no orphan that
holds a port or a database. A plain file without imports of the project, so that it costs one bare interpreter start.
Linux only; elsewhere the command starts untied.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""From ``linux/prctl.h``; the setting outlives ``execve``."""


def main() -> None:
    """Become the command, or end where the parent is gone already."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before the call above; then nobody would ever send the signal.
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - the supervisor's own command line, no shell


if __name__ == "__main__":
    main()
