"""``webhooks.yaml``: which webhooks exist, whose they are, and where their secrets are found.

The file never holds a secret, only the name of an environment variable or of a file that does::

    webhooks:
      - name: edge-siem
        tenant: default
        connector: suricata
        secret_env: EDGE_SIEM_WEBHOOK_SECRET
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import JsonValue, SecretBytes

from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_guardrails.yaml_source import Document, read_yaml
from watchfloor_guardrails.yaml_source import Path as Place
from watchfloor_service.access.tokens import TENANT

FILE: Final = "webhooks.yaml"
MIN_SECRET_BYTES: Final = 32
MAX_SECRET_BYTES: Final = 4096
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FIELDS: Final = ("name", "tenant", "connector", "secret_env", "secret_file")
_REQUIRED: Final = ("name", "tenant", "connector")


@dataclass(frozen=True, slots=True)
class Webhook:
    """One sender of alerts that signs what it sends."""

    name: str
    tenant: str
    connector: str
    secret: SecretBytes


def load_webhooks(path: Path, connectors: frozenset[str]) -> Mapping[str, Webhook]:
    """The webhooks by name; none where there is no such file.

    Raises `ConfigurationError` with every mistake in the file, and every secret that cannot be had, at once.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            [Problem(f"cannot be read ({error}); make it a readable UTF-8 file", str(path))]
        ) from error
    document = read_yaml(text, str(path))
    reader = _Reader(document, path.parent, connectors, list(document.problems), {})
    reader.read()
    if reader.problems:
        raise ConfigurationError(sorted(reader.problems, key=lambda problem: problem.line or 0))
    return reader.found


@dataclass(frozen=True, slots=True)
class _Reader:
    document: Document
    folder: Path
    """Where relative secret files are looked for."""
    connectors: frozenset[str]
    problems: list[Problem]
    found: dict[str, Webhook]

    def read(self) -> None:
        content = self.document.content
        if not isinstance(content, dict) or not isinstance(content.get("webhooks"), list):
            self._wrong((), "expected one key `webhooks` with a list of webhooks")
            return
        for key in content:
            if key != "webhooks":
                self._wrong((key,), f"unknown key {key!r}; expected `webhooks` only")
        rows = content["webhooks"]
        if isinstance(rows, list):
            for index, row in enumerate(rows):
                self._read_row(row, ("webhooks", index))

    def _read_row(self, row: JsonValue, place: Place) -> None:
        before = len(self.problems)
        if not isinstance(row, dict):
            self._wrong(place, f"expected a webhook with the keys {', '.join(_FIELDS)}")
            return
        for key, value in row.items():
            if key not in _FIELDS:
                self._wrong((*place, key), f"unknown key {key!r}; expected {', '.join(_FIELDS)}")
            elif not isinstance(value, str) or not value:
                self._wrong((*place, key), f"expected a text, not {value!r}")
        for key in _REQUIRED:
            if key not in row:
                self._wrong(place, f"{key} is missing")
        if len(self.problems) == before:
            self._check_names(row, place)
        secret = self._secret(row, place)
        if len(self.problems) == before and secret is not None:
            name = str(row["name"])
            self.found[name] = Webhook(name, str(row["tenant"]), str(row["connector"]), SecretBytes(secret))

    def _check_names(self, row: Mapping[str, JsonValue], place: Place) -> None:
        name, tenant, connector = (str(row[key]) for key in _REQUIRED)
        if not NAME.fullmatch(name):
            self._wrong((*place, "name"), f"{name!r} is not a name: lower-case letters, digits, _ and - (64 at most)")
        if name in self.found:
            self._wrong((*place, "name"), f"a second webhook {name!r}; names are unique")
        if not TENANT.fullmatch(tenant):
            self._wrong((*place, "tenant"), f"{tenant!r} is not a tenant's name")
        if connector not in self.connectors:
            known = ", ".join(sorted(self.connectors))
            self._wrong((*place, "connector"), f"unknown connector {connector!r}; expected one of {known}")

    def _secret(self, row: Mapping[str, JsonValue], place: Place) -> bytes | None:
        variable, file = row.get("secret_env"), row.get("secret_file")
        if (variable is None) == (file is None):
            self._wrong(place, "name the secret by secret_env or by secret_file, one of the two")
            return None
        if variable is not None:
            # The operator names the variable, so the settings cannot: this is the one further place that reads one.
            secret = os.environb.get(os.fsencode(str(variable)))
            if secret is None:
                self._wrong((*place, "secret_env"), f"environment variable {str(variable)!r} is not set")
            return self._checked(secret, (*place, "secret_env"))
        try:
            with (self.folder / str(file)).open("rb") as source:
                secret = source.read(MAX_SECRET_BYTES + 2).rstrip(b"\r\n")
        except (OSError, ValueError) as error:
            self._wrong((*place, "secret_file"), f"secret file {str(file)!r} cannot be read ({error})")
            return None
        return self._checked(secret, (*place, "secret_file"))

    def _checked(self, secret: bytes | None, place: Place) -> bytes | None:
        if secret is None:
            return None
        if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
            self._wrong(
                place,
                f"the secret has {len(secret)} bytes; expected {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES}, "
                "for instance from `openssl rand -hex 32`",
            )
            return None
        return secret

    def _wrong(self, place: Place, message: str) -> None:
        self.problems.append(self.document.problem(place, message))
