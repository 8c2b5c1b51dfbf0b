"""As much autonomy as can be had, for a test or benchmark: a signed policy, and outcomes that bear it out."""

from __future__ import annotations

from sqlalchemy import insert

from watchfloor_core.dsse import Signer
from watchfloor_core.incident import Function
from watchfloor_core.store.schema_authority import certificate
from watchfloor_guardrails.bundle_signature import manifest_of, sign_bundle
from watchfloor_guardrails.catalogue import function_of
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.effect import ActionTarget, tool_pin
from watchfloor_guardrails.proposal import version_digest
from watchfloor_playbooks.playbook import Playbook
from watchfloor_workflows.playbooks.starting import proposer_of
from watchfloor_workflows.policy_activation import activate_policy
from watchfloor_workflows.policy_folder import read_folder
from watchfloor_workflows.testing.actions import ActionBench, Person


def allow_everything(actions: ActionBench, person: Person, *, actions_per_hour: int | None = None) -> None:
    """A policy at L4 that a registered person has signed, without a veto window."""
    folder = actions.settings.data_dir / "mine"
    folder.mkdir()
    rows = "".join(f"  - {{function: {one}, level: L4}}\n" for one in Function if one != Function.RISK_MANAGEMENT)
    (folder / "autonomy.yaml").write_text(f"rows:\n{rows}  - {{function: risk_management, level: L0}}\n")
    budget = "".join(f"  {name}: {actions_per_hour}\n" for name in ("actions_per_hour", "autonomous_actions_per_hour"))
    (folder / "limits.yaml").write_text(f"defaults:\n  veto_window_s: 0\n{budget if actions_per_hour else ''}")
    manifest = manifest_of(read_folder(folder), version=1, author=person.name, made_us=1)
    (folder / "signature.json").write_text(sign_bundle(manifest, Signer(person.key)))
    activate_policy(actions.store, actions.settings, folder, "local:test")


def certify(actions: ActionBench, playbook: Playbook, tool: ActionTarget, *action_classes: str) -> None:
    """Measured outcomes bear out L4 for this version of the playbook with this tool."""
    digest = version_digest(proposer_of(playbook, PrincipalKind.SERVICE, None), tool_pin(tool))
    with actions.store.write() as connection:
        for action_class in action_classes:
            connection.execute(
                insert(certificate).values(
                    tenant=actions.tenant,
                    function=function_of(action_class).value,
                    action_class=action_class,
                    version_digest=digest,
                    level=4,
                    issued_us=0,
                    expires_us=2**52,
                )
            )
