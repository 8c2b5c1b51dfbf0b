"""The operator's files: the autonomy matrix, mappings and third-party connectors."""

from __future__ import annotations

from watchfloor_connectors.registry import Registry
from watchfloor_core.settings import Settings
from watchfloor_guardrails.autonomy import load_matrix
from watchfloor_service.doctor import Finding, Health
from watchfloor_workflows.policy import policy_path


def autonomy(settings: Settings) -> Finding:
    """The matrix in force parses; all its mistakes at once where it does not."""
    path = policy_path(settings)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Finding(
            Health.FAIL, f"{path} cannot be read ({error})", "mend it, or name another by WATCHFLOOR_AUTONOMY_FILE"
        )
    matrix = load_matrix(text, str(path))
    return Finding(Health.OK, f"{path}, {len(matrix.rows)} rows, digest {matrix.digest[:12]}")


def connectors(settings: Settings) -> Finding:
    names = Registry.load(settings).names()
    return Finding(Health.OK, f"{len(names)}: {', '.join(sorted(names))}")
