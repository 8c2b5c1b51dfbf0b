"""What a quarantine keeps beside a file: where it came from and what it was like, to put it back as it was."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from watchfloor_connectors.targets.files import sha256_of
from watchfloor_core.canonical import JsonValue

NAME = "manifest.json"
CONTENT = "content"
"""The file itself, beside its manifest."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One file at one moment: which it is, and what is in it."""

    device: int
    inode: int
    sha256: str
    size: int
    links: int
    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int

    @classmethod
    def of(cls, descriptor: int) -> Identity:
        """Reads the whole file."""
        at = os.fstat(descriptor)
        return cls(
            at.st_dev, at.st_ino, sha256_of(descriptor), at.st_size, at.st_nlink, stat.S_IMODE(at.st_mode), at.st_uid,
            at.st_gid, at.st_atime_ns, at.st_mtime_ns,
        )  # fmt: skip

    def is_at(self, folder: int, name: str) -> bool:
        """Whether the name leads to this very file."""
        try:
            at = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (at.st_dev, at.st_ino) == (self.device, self.inode)

    def state(self) -> dict[str, JsonValue]:
        return {
            "device": str(self.device), "inode": str(self.inode), "sha256": self.sha256, "size": self.size,
            "links": self.links, "mode": f"{self.mode:04o}", "uid": self.uid, "gid": self.gid,
        }  # fmt: skip


class Manifest(BaseModel):
    """``manifest.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    key: str
    sha256: str
    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    contained_us: int

    @classmethod
    def of(cls, path: str, key: str, found: Identity, now_us: int) -> Manifest:
        return cls(
            path=path, key=key, sha256=found.sha256, mode=found.mode, uid=found.uid, gid=found.gid,
            atime_ns=found.atime_ns, mtime_ns=found.mtime_ns, contained_us=now_us,
        )  # fmt: skip

    def describes(self, found: Identity) -> bool:
        """Whether a file is the one that was contained, in all that a copy keeps."""
        kept = (found.sha256, found.mode, found.uid, found.gid, found.mtime_ns)
        return kept == (self.sha256, self.mode, self.uid, self.gid, self.mtime_ns)

    @classmethod
    def read(cls, text: bytes) -> Manifest | None:
        """None where the text is no manifest."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None

    def restore_attributes(self, descriptor: int) -> None:
        """Owner, then mode (a change of owner takes set-uid bits away), then times."""
        at = os.fstat(descriptor)
        if (at.st_uid, at.st_gid) != (self.uid, self.gid):
            os.fchown(descriptor, self.uid, self.gid)
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != self.mode:
            os.fchmod(descriptor, self.mode)
        os.utime(descriptor, ns=(self.atime_ns, self.mtime_ns))
