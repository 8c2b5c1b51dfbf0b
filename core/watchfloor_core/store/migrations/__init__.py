"""The schema's history, one revision a module; `HEAD` is the last."""

from __future__ import annotations

from typing import Final

HEAD: Final = "0006"
"""Kept here so that a process whose database is up to date need not load Alembic."""
