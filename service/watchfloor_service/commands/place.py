"""Where a command works: the settings of its invocation, and the store and tenant in them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from watchfloor_core.errors import NotFoundError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_service.invocation import current_settings

TenantOption: TypeAlias = Annotated[
    str | None, typer.Option("--tenant", help="The tenant; default: setting `tenant`.", show_default=False)
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]


@dataclass(frozen=True, slots=True)
class Place:
    settings: Settings
    store: Store

    @property
    def tenant(self) -> str:
        return self.settings.tenant


def command(settings: Settings, tenant: str, words: str) -> str:
    """A whole command for this store and tenant, to be pasted anywhere."""
    return (
        f"watchfloor --data-dir {shlex.quote(str(settings.data_dir.absolute()))} {words} --tenant {shlex.quote(tenant)}"
    )


@contextmanager
def at(tenant: str | None, *, makes_store: bool = False) -> Iterator[Place]:
    """The store of this invocation, at the newest schema.

    Raises `NotFoundError` where there is none yet, unless ``makes_store``.
    """
    settings = current_settings(tenant=tenant)
    if not makes_store and settings.database_url is None and not _store_file(settings).exists():
        raise NotFoundError(
            f"there is no store in {str(settings.data_dir)!r} yet; start with `watchfloor demo`, `watchfloor up` or "
            "`watchfloor run FILE`, or name another folder by --data-dir"
        )
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    try:
        yield Place(settings, store)
    finally:
        store.close()


def _store_file(settings: Settings) -> Path:
    return Path(settings.store_url.removeprefix("sqlite:///"))
