"""Every table, whichever module describes it: what migrations compare a database with."""

from __future__ import annotations

from typing import Final

from watchfloor_core.store import schema, schema_authority, schema_identity, schema_investigation, schema_playbook

MODULES: Final = (schema, schema_authority, schema_identity, schema_investigation, schema_playbook)
"""Importing them is what puts their tables into the metadata."""

metadata: Final = schema.metadata
