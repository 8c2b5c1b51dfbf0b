"""What agents may ask, by the operator's two files: log sources and sources of context."""

from __future__ import annotations

from typing import Final

from watchfloor_connectors.context.config import FILE as CONTEXT_FILE
from watchfloor_connectors.context.config import ContextSettings, load_context_settings
from watchfloor_connectors.context.opening import ContextShelf
from watchfloor_connectors.logs.config import FILE as LOG_FILE
from watchfloor_connectors.logs.config import LogSettings, load_log_settings
from watchfloor_connectors.logs.opening import LogShelf
from watchfloor_connectors.secrets.resolve import secret_text
from watchfloor_core.settings import Settings

LOADED_FOLDER: Final = "loaded-logs"
"""Where what was read of log files is kept, so that a restart need not read them again."""


def log_settings(settings: Settings) -> LogSettings:
    """Raises `ConfigurationError` where the file is wrong, or missing though a setting names it."""
    named = settings.logs_file
    return load_log_settings(named or settings.data_dir / LOG_FILE, is_required=named is not None)


def context_settings(settings: Settings) -> ContextSettings:
    """Raises `ConfigurationError` where the file is wrong, or missing though a setting names it."""
    named = settings.context_file
    return load_context_settings(named or settings.data_dir / CONTEXT_FILE, is_required=named is not None)


def log_shelf(settings: Settings, logs: LogSettings) -> LogShelf:
    """Opens the log sources when they are first asked."""
    return LogShelf(
        logs, settings.data_dir / LOADED_FOLDER, secret_text(settings), allowed=settings.log_sources_allowed
    )


def context_shelf(settings: Settings, context: ContextSettings) -> ContextShelf:
    """Opens the sources of context when they are first asked."""
    return ContextShelf(context, secret_text(settings), allowed=settings.context_sources_allowed)
