"""``watchfloor policy``: write, check, sign and put in force what the operator decides in advance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import now_us, to_iso
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.settings import Settings
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_guardrails.autonomy import DEFAULT_MATRIX_FILE
from watchfloor_guardrails.bundle import LIMITS_FILE, MATRIX_FILE, TESTS_FILE, BundleReport, check_bundle
from watchfloor_guardrails.bundle_signature import SIGNATURE_FILE, manifest_of, sign_bundle
from watchfloor_guardrails.cedar_schema import SCHEMA
from watchfloor_guardrails.limits import DEFAULT_LIMITS_FILE
from watchfloor_service.access.operator_token import local_principal
from watchfloor_service.commands.outcome import (
    ExitCode,
    answering,
    console,
    fail,
    print_empty,
    print_json,
    print_table,
)
from watchfloor_service.commands.place import JsonOption, at
from watchfloor_service.commands.policy_example import CEDAR, TESTS
from watchfloor_service.commands.signing_key import KeyOption, signing_key
from watchfloor_service.supervision.running import find_running
from watchfloor_workflows.policy import Policy, PolicyFile
from watchfloor_workflows.policy_activation import activate_policy, checked_content
from watchfloor_workflows.policy_folder import current_bundle, read_folder
from watchfloor_workflows.policy_records import ActivatedPolicy, activated_policies

EXAMPLE_FILE: Final = "example.cedar"

app = typer.Typer(no_args_is_help=True, help="Write, check, sign and put in force the operator's policy.")

BundleArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the policy bundle.", file_okay=False)]


@app.command()
def init(folder: BundleArgument) -> None:
    """Write the policy that ships as a bundle, with example policies and examples to test them by."""
    with answering():
        texts = {
            MATRIX_FILE: DEFAULT_MATRIX_FILE.read_text("utf-8"),
            LIMITS_FILE: DEFAULT_LIMITS_FILE.read_text("utf-8"),
            EXAMPLE_FILE: CEDAR,
            TESTS_FILE: TESTS,
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise ConfigurationError(f"{str(folder)!r} is not empty; name a new folder")
            for name, text in texts.items():
                (folder / name).write_text(text, "utf-8")
        except OSError as error:
            raise ConfigurationError(f"{str(folder)!r} cannot be written ({error.strerror})") from error
        console().print(f"{folder} holds {', '.join(texts)}. Change them, then\n  watchfloor policy check {folder}")


@app.command()
def check(
    folder: BundleArgument,
    tests: Annotated[
        Path | None, typer.Option("--tests", help="Examples to run instead of the bundle's own.", dir_okay=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a bundle before it is put in force: every mistake with file and line, and every example."""
    with answering():
        report = check_bundle(
            read_folder(folder), str(folder), tests=None if tests is None else (str(tests), _text(tests))
        )
        if as_json:
            print_json(_report(folder, report))
        else:
            for line in _lines(folder, report):
                console().print(escape_untrusted(line))
        if report.problems:
            raise typer.Exit(ExitCode.MEND)
        if not report.is_right:
            raise typer.Exit(ExitCode.NO)


@app.command()
def sign(
    folder: BundleArgument,
    version: Annotated[int, typer.Option("--version", help="One more than the last one at least.", min=1)],
    author: Annotated[str, typer.Option("--as", help="Whose policy it is: your principal.")],
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a bundle that is right, as its author. You can then approve no action that it rules."""
    with answering():
        files = read_folder(folder)
        content = checked_content(files, str(folder))
        signer = signing_key(key)
        manifest = manifest_of(files, version=version, author=author, made_us=now_us())
        path = folder / SIGNATURE_FILE
        try:
            path.write_text(sign_bundle(manifest, signer), "utf-8")
        except OSError as error:
            raise ConfigurationError(f"{str(path)!r} cannot be written ({error.strerror})") from error
        if as_json:
            shown = {"version": version, "author": author, "key_id": signer.key_id, "digest": content.digest}
            print_json({"folder": str(folder), **shown})
        else:
            console().print(
                f"Version {version} is signed by {author} with key {signer.key_id}.\ndigest {content.digest}\n"
                f"  watchfloor policy activate {folder}"
            )


@app.command()
def activate(folder: BundleArgument, as_json: JsonOption = False) -> None:
    """Put a signed bundle in force, once everything about it has been checked."""
    with answering(), at(None, makes_store=True) as place:
        done = activate_policy(place.store, place.settings, folder, local_principal())
        if as_json:
            print_json({"is_new": done.is_new, **_activated(done.policy)})
        elif done.is_new:
            console().print(
                f"Version {done.policy.version} of {done.policy.author} is in force.\ndigest {done.policy.digest}"
            )
        else:
            console().print(f"Version {done.policy.version} was in force already; its folder is in order.")


@app.command()
def show(as_json: JsonOption = False) -> None:
    """Show what is in force: version, author, limits, policies, digest."""
    with answering(), at(None) as place:
        settings = _as_running(place.settings)
        policy = PolicyFile(settings, place.store).current()
        if as_json:
            print_json(_policy(policy))
        elif policy.problem is None:
            _print_policy(settings, policy)
        if policy.problem is not None:
            fail(f"{policy.problem}\nUntil that is mended, everything asks a person or is denied.", ExitCode.NO)


@app.command()
def history(
    limit: Annotated[int, typer.Option(help="So many versions, the newest first.", min=1, max=1000)] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the signed versions that were put in force here."""
    with answering(), at(None) as place:
        with place.store.read() as connection:
            found = activated_policies(connection, limit=limit)
        if as_json:
            print_json([_activated(policy) for policy in found])
        elif not found:
            print_empty("No signed policy was put in force here. Begin one with\n  watchfloor policy init DIR")
        else:
            print_table(
                ["version", "author", "activated", "by", "digest"],
                [[p.version, p.author, to_iso(p.activated_us)[:19] + "Z", p.activated_by, p.digest] for p in found],
                right=["version"],
                whole=["version", "author", "activated", "by"],
            )


@app.command()
def schema() -> None:
    """Print the Cedar schema: every name that a policy may use."""
    typer.echo(SCHEMA, nl=False)


def _as_running(settings: Settings) -> Settings:
    """What the running stack decides by, where one runs: it may have been started with another file than this call."""
    stack = find_running(settings.data_dir)
    if stack is None or stack.autonomy_file is None:
        return settings
    return settings.model_copy(update={"autonomy_file": Path(stack.autonomy_file)})


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read ({error}); name a readable UTF-8 file") from error


def _lines(folder: Path, report: BundleReport) -> list[str]:
    lines = [str(problem) for problem in report.problems]
    for test in report.tests:
        lines.append(f"{'wrong' if test.failures else 'right'}  {test.name}")
        lines += [f"       {test.file}:{test.line}: {failure}" for failure in test.failures]
    wrong = sum(bool(test.failures) for test in report.tests)
    if report.content is None:
        found = len(report.problems)
        lines.append(f"{folder} has {found} mistake{'' if found == 1 else 's'}.")
    else:
        content = report.content
        said = f"{wrong} of {len(report.tests)} examples do not hold" if wrong else f"{len(report.tests)} examples hold"
        lines.append(
            f"{folder}: {len(content.matrix.rows)} matrix rows, {len(content.limits.rows)} rows of limits, "
            f"{len(content.cedar.rules)} policies; {said}."
        )
        lines.append(f"digest {content.digest}")
    return lines


def _report(folder: Path, report: BundleReport) -> dict[str, object]:
    return {
        "folder": str(folder),
        "ok": report.is_right,
        "digest": None if report.content is None else report.content.digest,
        "problems": [
            {"file": one.file, "line": one.line, "path": one.path, "message": one.message} for one in report.problems
        ],
        "tests": [
            {"name": test.name, "file": test.file, "line": test.line, "failures": list(test.failures)}
            for test in report.tests
        ],
    }


def _print_policy(settings: Settings, policy: Policy) -> None:
    if policy.is_signed:
        console().print(
            f"Version {policy.version} of {policy.author}, signed, from {current_bundle(settings.data_dir)}"
        )
    else:
        console().print("Not signed: actions are held to L2, and the limits are those that ship.")
    if policy.cedar.rules:
        print_table(
            ["policy", "effect", "quorum", "roles", "reason", "where"],
            [
                [
                    rule.id,
                    rule.demand.effect,
                    rule.demand.quorum,
                    " ".join(rule.demand.roles),
                    rule.demand.reason,
                    f"{rule.file}:{rule.line}",
                ]
                for rule in policy.cedar.rules
            ],
        )
    limits = policy.limits
    headers = ["limit", "default", *(str(row.selector) for row in limits.rows)]
    table = [
        [key, value, *(row.limits.content[key] for row in limits.rows)]
        for key, value in limits.defaults.content.items()
    ]
    print_table(headers, table)
    console().print(f"digest {policy.digest}")


def _limit(value: JsonValue) -> str:
    match value:
        case list():
            return ", ".join(_limit(one) for one in value)
        case {"up_to": up_to, "people": people}:
            return f"{people} beyond" if up_to is None else f"{people} up to {up_to}"
        case _:
            return str(value)


def _policy(policy: Policy) -> dict[str, object]:
    return {
        "problem": policy.problem,
        "is_signed": policy.is_signed,
        "version": policy.version,
        "author": policy.author,
        "digest": policy.digest,
        "policies": [
            {
                "id": rule.id,
                "effect": rule.demand.effect.value,
                "quorum": rule.demand.quorum,
                "roles": list(rule.demand.roles),
                "reason": rule.demand.reason,
                "file": rule.file,
                "line": rule.line,
            }
            for rule in policy.cedar.rules
        ],
        "limits": {
            "defaults": policy.limits.defaults.content,
            "rows": [{"selector": str(row.selector), "limits": row.limits.content} for row in policy.limits.rows],
        },
    }


def _activated(policy: ActivatedPolicy) -> dict[str, object]:
    return {
        "version": policy.version,
        "digest": policy.digest,
        "author": policy.author,
        "activated_by": policy.activated_by,
        "activated_at": to_iso(policy.activated_us),
    }
