"""Putting a signed policy bundle in force: everything is checked first, and nothing changes where anything is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text

from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, Problem, RefusedError
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_guardrails.bundle import PolicyContent, check_bundle
from watchfloor_guardrails.bundle_signature import SIGNATURE_FILE, Manifest, verify_bundle
from watchfloor_guardrails.roles import Role
from watchfloor_workflows.authority.voters import roles_still_held
from watchfloor_workflows.policy_folder import one_at_a_time, point_to, read_folder, write_version
from watchfloor_workflows.policy_records import ActivatedPolicy, keep_activated, last_activated, read_key

CONTROL_CHAIN: Final = "control"


@dataclass(frozen=True, slots=True)
class Activation:
    """What was put in force."""

    policy: ActivatedPolicy
    is_new: bool
    """False where this very bundle was in force already, and only its folder was put right."""


def activate_policy(store: Store, settings: Settings, folder: Path, activated_by: str) -> Activation:
    """Put the bundle in ``folder`` in force, on behalf of an authenticated person.

    Raises `ConfigurationError` with every mistake in its files and every example that does not hold, and `RefusedError`
    where its signature does not count or its version is not newer than the last one.
    """
    files = read_folder(folder)
    content = checked_content(files, str(folder))
    with one_at_a_time(settings.data_dir):
        with store.write() as connection:
            done = _kept(connection, settings, files, content, activated_by)
        # Only once the store has it: a crash in between leaves a policy that is refused, and doing it again mends that.
        point_to(settings.data_dir, done.policy.version)
    return done


def _kept(
    connection: Connection, settings: Settings, files: Mapping[str, bytes], content: PolicyContent, activated_by: str
) -> Activation:
    _lock(connection)
    now = now_us()
    manifest = verify_bundle(files, partial(read_key, connection), now)
    envelope = files[SIGNATURE_FILE].decode()
    last = last_activated(connection)
    if last is not None and manifest.version <= last.version:
        if (last.version, last.envelope) != (manifest.version, envelope):
            raise RefusedError(
                f"version {manifest.version} is not newer than version {last.version} of {last.author!r}, which was "
                f"put in force here; sign it as version {last.version + 1} or later"
            )
        write_version(settings.data_dir, last.version, files)
        return Activation(last, is_new=False)
    if not roles_still_held(connection, settings.tenant, manifest.author, (Role.LEAD.value,)):
        raise RefusedError(
            f"{manifest.author!r} is no lead of tenant {settings.tenant!r}, and a lead answers for what agents may do; "
            "have a lead sign it, or grant the role: watchfloor account grant-role"
        )
    policy = ActivatedPolicy(manifest.version, content.digest, manifest.author, envelope, activated_by, now)
    write_version(settings.data_dir, policy.version, files)
    keep_activated(connection, policy, {name: data.decode() for name, data in files.items()})
    record_decisions(connection, settings.tenant, [_decision(policy, manifest, last)])
    return Activation(policy, is_new=True)


def checked_content(files: Mapping[str, bytes], folder: str) -> PolicyContent:
    """What the bundle says, once nothing is wrong with it and its examples hold. Raises `ConfigurationError`."""
    report = check_bundle(files, folder)
    problems = list(report.problems)
    for test in report.tests:
        problems += [Problem(f"test {test.name!r}: {failure}", test.file, test.line) for failure in test.failures]
    if problems or report.content is None:
        raise ConfigurationError(problems)
    return report.content


def _lock(connection: Connection) -> None:
    """One activation at a time: else two could each see the other's version as not yet there."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE policy_version IN SHARE ROW EXCLUSIVE MODE"))


def _decision(policy: ActivatedPolicy, manifest: Manifest, last: ActivatedPolicy | None) -> Decision:
    return Decision(
        chain=CONTROL_CHAIN,
        kind="policy",
        body={
            "act": "activate",
            "version": policy.version,
            "previous_version": None if last is None else last.version,
            "digest": policy.digest,
            "author": policy.author,
            "made_us": manifest.made_us,
            "files": dict(manifest.files),
            "signature": hashlib.sha256(policy.envelope.encode()).hexdigest(),
            "activated_by": policy.activated_by,
        },
        name=SpanName.POLICY,
        start_us=policy.activated_us,
        end_us=policy.activated_us,
        attributes={SpanAttribute.PRINCIPAL: policy.activated_by, SpanAttribute.POLICY_DIGEST: policy.digest},
    )
