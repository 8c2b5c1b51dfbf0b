"""From a reference in the settings to the source of the secret."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.keys.sources import (
    EnvironmentReference,
    FileReference,
    FixedSecret,
    GivenFile,
    SecretSource,
    VaultReference,
    parse_reference,
)
from watchfloor_core.settings import Settings, environment_secret

if TYPE_CHECKING:
    from watchfloor_connectors.secrets.vault import VaultAccess


def secret_source(reference: str, settings: Settings) -> SecretSource:
    """The source that ``reference`` names. Nothing is read over a network yet.

    Raises `ConfigurationError` where the reference is of no known form, its variable is not set, or a setting that the
    source needs is missing.
    """
    match place := parse_reference(reference):
        case FileReference():
            return GivenFile(place.path)
        case EnvironmentReference():
            value = environment_secret(place.name)
            if not value:
                raise ConfigurationError(f"{reference!r}: the environment has no variable {place.name}; set it")
            return FixedSecret(reference, value.get_secret_value().encode())
        case VaultReference():
            # Imported here: the client is slow to import, and few need it.
            from watchfloor_connectors.secrets.vault import VaultSecret

            return VaultSecret(_vault_access(reference, settings), place)
        case _:
            assert_never(place)


def secret_text(settings: Settings) -> Callable[[str], str]:
    """Reads what a reference names, as text without the line's end. It raises `ConfigurationError`, and
    `UnavailableError` where a store does not answer."""
    return lambda reference: secret_source(reference, settings).read().decode("utf-8", "replace").strip()


def _vault_access(reference: str, settings: Settings) -> VaultAccess:
    from watchfloor_connectors.secrets.vault import VaultAccess

    if settings.vault_address is None:
        raise ConfigurationError(f"{reference!r} needs the setting vault_address, e.g. https://vault.example.org:8200")
    if (settings.vault_token is None) == (settings.vault_token_file is None):
        raise ConfigurationError(f"{reference!r} needs one of the settings vault_token and vault_token_file")

    def token() -> str:
        if settings.vault_token_file is not None:
            return GivenFile(settings.vault_token_file.absolute()).read().decode("ascii", "replace").strip()
        return settings.vault_token.get_secret_value() if settings.vault_token else ""

    return VaultAccess(
        settings.vault_address,
        token,
        namespace=settings.vault_namespace,
        tls=_trusting(settings.vault_ca) if settings.vault_ca else None,
    )


def _trusting(path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"vault_ca: {str(path)!r} holds no certificates in PEM ({error})") from error
