"""What `up` says of a policy that cannot be used."""

from __future__ import annotations

from watchfloor_core.settings import Settings
from watchfloor_core.store.migrate import migrate
from watchfloor_service.up import policy_problem
from watchfloor_workflows.policy import OPERATORS_FILE


def test_a_policy_that_cannot_be_used_is_told_and_one_that_can_is_not(settings: Settings) -> None:
    migrate(settings.store_url)
    assert policy_problem(settings) is None
    (settings.data_dir / OPERATORS_FILE).write_text("alert_triage: [\n")
    problem = policy_problem(settings)
    assert problem is not None
    assert OPERATORS_FILE in problem
