"""The operator's own token: lets the command line speak to the API as the user of this machine who owns the store.

Whoever can read the data directory can read and write the store in it, so the file gives nobody new rights; it makes
the command line take the same authenticated way as everyone else, under the principal ``local:<user>``.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.store.engine import Store
from watchfloor_service.access.tokens import (
    LOCAL,
    PrincipalKind,
    Scope,
    create_token,
    load_token,
    token_id,
    verify_token,
)

FILE: Final = "operator.token"


def operator_token(store: Store, data_dir: Path, tenant: str) -> str:
    """The text of the operator's token for ``tenant``; made on first use, and again when it has expired.

    ``operator.token`` belongs to the tenant it was first made for, ``operator-<tenant>.token`` to any other.
    Raises `ConfigurationError` where the file is not private or its token was revoked.
    """
    for path in (data_dir / FILE, data_dir / f"operator-{tenant}.token"):
        text = _read(path)
        if text is None:
            return _make(store, path, tenant)
        with store.read() as connection:
            token = load_token(connection, token_id(text) or "")
            if token is not None and token.tenant != tenant:
                continue
            live = verify_token(connection, text)
        if live is not None and live.scopes == frozenset(Scope):
            return text
        if token is not None and token.revoked_us is not None:
            raise ConfigurationError(
                f"the operator's token in {str(path)!r} was revoked; delete the file to have a new one made"
            )
        # Expired, of a store that is no more, or made before there were all of today's scopes.
        path.unlink(missing_ok=True)
        return _make(store, path, tenant)
    raise ConfigurationError(f"{str(data_dir / FILE)!r} holds a token of another tenant; delete the file")


def local_principal() -> str:
    """``local:<user>`` for the effective user of this process."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = str(os.geteuid())
    return LOCAL + re.sub(r"[^A-Za-z0-9._-]", "-", name)[:48]


def _make(store: Store, path: Path, tenant: str) -> str:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with store.write() as connection:
            issued = create_token(connection, tenant, local_principal(), PrincipalKind.PERSON, tuple(Scope))
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(issued.text + "\n")
            # A link fails where another process was first; then this transaction, and its token, never happened.
            os.link(draft, path)
        return issued.text
    except FileExistsError:
        text = _read(path)
        if text is None:
            raise ConfigurationError(f"{str(path)!r} vanished while it was read; try again") from None
        return text
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read ({error.strerror}); delete it") from error
    with os.fdopen(descriptor) as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_mode & 0o077 or state.st_uid != os.geteuid():
            raise ConfigurationError(
                f"{str(path)!r} must be a file that only its owner can read, and yours; chmod 600 it or delete it"
            )
        return file.read(512).strip()
