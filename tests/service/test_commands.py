"""The sub-commands that look: what they print, as tables and as JSON, and their exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner, Result

from watchfloor_core.settings import Settings
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_service.cli import app
from watchfloor_service.testing import eve_lines, plant_incidents

HOSTILE = "ET \x1b[31mred [bold]big[/bold] \u202egpj.exe"
Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings) -> Run:
    """The command line over the test's data directory."""
    runner = CliRunner()

    def invoke(*arguments: str) -> Result:
        return runner.invoke(app, ["--data-dir", str(settings.data_dir), *arguments])

    return invoke


@pytest.fixture
def planted(settings: Settings) -> Store:
    """Two incidents, some duplicates and a dead letter, with hostile text in them."""
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    body = eve_lines(60, signature=HOSTILE) + eve_lines(3, signature=HOSTILE) + b'{broken "\x1b[2J\n'
    plant_incidents(store, settings, "default", body)
    return store


@pytest.fixture
def incident_id(planted: Store) -> str:
    with planted.read() as connection:
        found: str = (
            connection.execute(select(schema.incident.c.id).order_by(schema.incident.c.id)).scalars().first() or ""
        )
    planted.close()
    return found


def answer(result: Result) -> Any:  # JSON of many shapes
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ("incident", "list"),
        ("incident", "show", "inc-0123456789abcdef"),
        ("deadletter", "list"),
        ("ledger", "verify"),
        ("alert", "show", "0" * 32),
        ("token", "list"),
        ("retention", "apply"),
    ],
    ids=" ".join,
)
def test_without_a_store_every_command_says_how_to_begin_and_makes_none(
    run: Run, settings: Settings, arguments: tuple[str, ...]
) -> None:
    result = run(*arguments)
    assert result.exit_code == 3
    assert "watchfloor demo" in result.stderr
    assert list(settings.data_dir.iterdir()) == []


def test_empty_tables_say_what_to_do_next(run: Run, settings: Settings) -> None:
    migrate(settings.store_url)
    assert "watchfloor run FILE" in run("incident", "list").stdout
    assert "every record could be read" in run("deadletter", "list").stdout
    assert "watchfloor token create" in run("token", "list").stdout
    assert "No open dead letters" in run("deadletter", "retry", "--all").stdout


@pytest.mark.parametrize("group", ["incident", "alert", "deadletter", "autonomy", "ledger", "token", "retention"])
def test_every_group_explains_itself(run: Run, group: str) -> None:
    result = run(group, "--help")
    assert result.exit_code == 0
    assert "Commands" in result.stdout


class TestIncident:
    def test_the_queue_holds_what_waits_with_the_likeliest_attack_first(self, run: Run, incident_id: str) -> None:
        found = answer(run("incident", "queue", "--json"))
        order = [(one["status"] != "escalated", -(one["probability"] or 0.0)) for one in found["incidents"]]
        assert incident_id in [one["incident_id"] for one in found["incidents"]]
        assert order == sorted(order)
        assert found["total"] == len(found["incidents"])
        assert incident_id in run("incident", "queue").stdout
        assert "waits for a person" in run("incident", "queue", "--tenant", "nobody").stdout

    def test_list_shows_the_queue(self, run: Run, incident_id: str) -> None:
        assert incident_id in run("incident", "list").stdout
        assert incident_id in run("incident", "list", "--status", "open").stdout
        assert "`watchfloor incident list` shows all" in run("incident", "list", "--status", "merged").stdout
        found = answer(run("incident", "list", "--limit", "1", "--json"))
        rest = answer(run("incident", "list", "--cursor", found["next"], "--json"))
        assert {incident["incident_id"] for incident in (*found["incidents"], *rest["incidents"])} >= {incident_id}

    def test_alerts_that_wait_are_told_apart_from_no_alerts(
        self, run: Run, incident_id: str, settings: Settings
    ) -> None:
        store = open_store(settings.store_url)
        with store.write() as connection:
            connection.execute(update(schema.incident).values(tenant="elsewhere"))
            connection.execute(update(schema.alert).values(tick=None))
        store.close()
        assert "60 alerts of tenant default wait for correlation" in run("incident", "list").stdout

    def test_show_prints_verdict_reasons_entities_timeline_joins_and_ruling(self, run: Run, incident_id: str) -> None:
        result = run("incident", "show", incident_id)
        assert result.exit_code == 0, result.output
        for expected in (
            "probability of TruePositive",
            "certainty",
            "Why",
            "prior",
            "10.1.0.",
            "Timeline: the first 20 of 30",
            "shares ip",
            "Ruling",
            "level: L2",
            "policy:",
        ):
            assert expected in result.stdout, expected
        assert "Decisions" not in result.stdout

    def test_trace_prints_the_decision_tree(self, run: Run, incident_id: str) -> None:
        result = run("incident", "show", incident_id, "--trace")
        assert "Decisions" in result.stdout
        assert "correlate" in result.stdout
        assert "ruling" in result.stdout
        assert answer(run("incident", "show", incident_id, "--trace", "--json"))["trace"]["decisions"]

    @pytest.mark.parametrize("arguments", [("incident", "list"), ("deadletter", "list"), ("deadletter", "show", "1")])
    def test_hostile_text_reaches_the_terminal_as_visible_text(
        self, run: Run, incident_id: str, arguments: tuple[str, ...]
    ) -> None:
        for result in (run(*arguments), run("incident", "show", incident_id, "--trace")):
            assert "\x1b" not in result.output
            assert "\u202e" not in result.output
        # Markup of the terminal library is text like any other.
        assert "[bold]big[/bold]" in run("incident", "list").stdout

    def test_an_unknown_incident_is_exit_code_3(self, run: Run, incident_id: str) -> None:
        for unknown in ("inc-ffffffffffffffff", "nonsense\x1b[2J"):
            result = run("incident", "show", unknown)
            assert result.exit_code == 3
            assert "\x1b" not in result.stderr

    def test_another_tenants_incident_is_unknown(self, run: Run, incident_id: str) -> None:
        assert run("incident", "show", incident_id, "--tenant", "acme").exit_code == 3

    def test_deciding_needs_a_running_stack(self, run: Run, incident_id: str) -> None:
        result = run("incident", "decide", incident_id, "--verdict", "FalsePositive", "--comment", "seen")
        assert result.exit_code == 75
        assert "watchfloor up" in result.stderr


class TestDeadletter:
    def test_list_and_show_give_reason_and_record(self, run: Run, incident_id: str) -> None:
        assert "not valid JSON" in run("deadletter", "list").stdout
        found = answer(run("deadletter", "list", "--json"))
        assert (found["total"], found["dead_letters"][0]["position"]) == (1, 64)
        assert '"{broken' in run("deadletter", "show", "1").stdout
        assert answer(run("deadletter", "show", "1", "--json"))["raw_base64"]
        assert run("deadletter", "show", "99").exit_code == 3

    def test_retry_settles_what_can_be_read_now_and_exits_1_for_the_rest(
        self, run: Run, incident_id: str, settings: Settings
    ) -> None:
        failed = run("deadletter", "retry", "1")
        assert failed.exit_code == 1
        assert "1 of 1 still cannot be read" in failed.stderr
        mend(settings, eve_lines(1, first=200).strip())
        assert "alert" in run("deadletter", "retry", "--all").stdout
        store = open_store(settings.store_url)
        with store.read() as connection:
            assert connection.execute(select(schema.alert.c.tick).where(schema.alert.c.tick.is_(None))).all()
            entries = connection.execute(
                select(schema.ledger_entry.c.body).where(schema.ledger_entry.c.kind == "ingest_batch")
            ).scalars()
            assert any('"key":"retry:1"' in body for body in entries)
        store.close()
        assert answer(run("deadletter", "retry", "1", "--json"))["results"][0]["outcome"] == "settled"
        assert run("ledger", "verify").exit_code == 0

    def test_retry_with_another_connector(self, run: Run, incident_id: str, settings: Settings) -> None:
        mend(settings, b'{"event_type": "flow", "timestamp": "2024-06-13T09:00:00.0+0000"}')
        assert run("deadletter", "retry", "1", "--connector", "nonsense").exit_code == 2
        assert run("deadletter", "retry", "1", "--connector", "wazuh").exit_code == 1
        assert answer(run("deadletter", "retry", "1", "--json"))["results"][0]["outcome"] == "ignored"

    def test_retry_wants_ids_or_all(self, run: Run, incident_id: str) -> None:
        assert run("deadletter", "retry").exit_code == 2
        assert run("deadletter", "retry", "1", "--all").exit_code == 2


def mend(settings: Settings, record: bytes) -> None:
    """As if the connector could read it now: the record is one that it can."""
    from watchfloor_core.store.originals import compress

    store = open_store(settings.store_url)
    with store.write() as connection:
        connection.execute(update(schema.dead_letter).values(raw=compress(record)))
    store.close()


class TestAlert:
    @pytest.fixture
    def duplicated(self, incident_id: str, settings: Settings) -> str:
        """The fingerprint of an alert that came twice."""
        store = open_store(settings.store_url)
        with store.read() as connection:
            found = connection.execute(
                select(schema.record.c.fingerprint).where(schema.record.c.position == 61)
            ).scalar_one()
        store.close()
        return bytes(found).hex()

    def test_show_explains_why_records_are_one_alert_and_gives_the_bytes(self, run: Run, duplicated: str) -> None:
        result = run("alert", "show", duplicated)
        assert result.exit_code == 0, result.output
        assert "2 records count as this alert" in result.stdout
        assert "duplicate" in result.stdout
        assert "\\u{202E}gpj.exe" in result.stdout
        assert "\x1b" not in result.stdout
        found = answer(run("alert", "show", duplicated, "--json"))
        assert [record["position"] for record in found["records"]] == [1, 61]

    def test_undo_makes_the_duplicate_an_alert_once(self, run: Run, duplicated: str) -> None:
        assert len(answer(run("alert", "undo-dedup", duplicated, "--json"))["alerts"]) == 1
        assert "no duplicates" in run("alert", "undo-dedup", duplicated).stdout
        assert "1 records count" in run("alert", "show", duplicated).stdout
        assert run("ledger", "verify").exit_code == 0

    @pytest.mark.parametrize(("fingerprint", "code"), [("abc", 2), ("zz" * 16, 2), ("0" * 32, 3)])
    def test_what_is_no_fingerprint_and_what_is_nobodys(
        self, run: Run, incident_id: str, fingerprint: str, code: int
    ) -> None:
        assert run("alert", "show", fingerprint).exit_code == code


class TestLedger:
    def test_a_whole_ledger_is_exported_and_verifies_from_the_file_alone(
        self, run: Run, incident_id: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "ledger.ndjson"
        written = answer(run("ledger", "export", str(file), "--json"))
        found = answer(run("ledger", "verify", str(file), "--json"))
        assert found["ok"] is True
        assert (found["entries"], found["root"]) == (written["entries"], written["root"])
        assert run("ledger", "verify", str(file), "--root", written["root"]).exit_code == 0
        assert run("ledger", "verify", str(file), "--root", "0" * 64).exit_code == 1

    def test_an_edited_entry_is_exit_code_1_and_named(self, run: Run, incident_id: str, tmp_path: Path) -> None:
        file = tmp_path / "ledger.ndjson"
        run("ledger", "export", str(file), "--chain", incident_id)
        text = file.read_text().replace('"kind":"verdict"', '"kind":"closure"')
        file.write_text(text)
        result = run("ledger", "verify", str(file))
        assert result.exit_code == 1
        assert incident_id in result.stderr
        assert "altered" in result.stderr
        as_json = run("ledger", "verify", str(file), "--json")
        assert (as_json.exit_code, json.loads(as_json.stdout)["fault_kind"]) == (1, "altered")

    def test_a_missing_file_is_exit_code_2_and_an_unknown_chain_3(
        self, run: Run, incident_id: str, tmp_path: Path
    ) -> None:
        assert run("ledger", "verify", str(tmp_path / "missing")).exit_code == 2
        assert run("ledger", "export", str(tmp_path / "x"), "--chain", "inc-ffffffffffffffff").exit_code == 3


class TestAutonomy:
    def test_show_prints_the_matrix_in_force(self, run: Run, settings: Settings) -> None:
        shown = run("autonomy", "show").stdout
        assert "alert_triage" in shown
        assert "risk_management" in shown
        assert "digest" in shown
        (settings.data_dir / "autonomy.yaml").write_text(
            Path(answer(run("autonomy", "show", "--json"))["file"]).read_text()
        )
        assert answer(run("autonomy", "show", "--json"))["file"] == str(settings.data_dir / "autonomy.yaml")

    def test_show_for_a_tenant_leaves_out_what_never_holds_for_it(self, run: Run) -> None:
        whole, part = (answer(run("autonomy", "show", *more, "--json")) for more in ((), ("--tenant", "acme")))
        assert len(part["rows"]) < len(whole["rows"])
        assert part["digest"] == whole["digest"]
        assert whole["digest"] in run("autonomy", "show", "--tenant", "acme").stdout

    def test_check_names_every_mistake_with_its_line(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "mine.yaml"
        file.write_text("rows:\n  - function: alert_triage\n    level: L7\n  - function: nonsense\n    level: L1\n")
        result = run("autonomy", "check", str(file))
        assert result.exit_code == 2
        assert "mine.yaml:3" in result.stderr
        assert "mine.yaml:4" in result.stderr
        assert run("autonomy", "check", str(tmp_path / "missing.yaml")).exit_code == 2

    def test_check_accepts_what_show_shows(self, run: Run) -> None:
        file = answer(run("autonomy", "show", "--json"))["file"]
        assert "is right" in run("autonomy", "check", file).stdout

    def test_explain_says_why_and_who_is_needed(self, run: Run, incident_id: str, settings: Settings) -> None:
        shown = run("autonomy", "explain", incident_id).stdout
        assert "L2: a person decides every time" in shown
        assert "needed: one person" in shown
        store = open_store(settings.store_url)
        with store.write() as connection:
            connection.execute(update(schema.incident).values(ruling=None))
        store.close()
        assert "has not been ruled on yet" in run("autonomy", "explain", incident_id).stdout


class TestToken:
    def test_the_token_alone_is_on_standard_output(self, run: Run) -> None:
        made = run("token", "create", "--principal", "edge", "--scope", "alerts:write")
        assert made.exit_code == 0, made.output
        assert made.stdout.startswith("wf_")
        assert made.stdout.count("\n") == 1
        identifier = made.stdout.split("_")[1]
        assert identifier in run("token", "list").stdout
        assert made.stdout.strip() not in run("token", "list", "--json").stdout
        assert "revoked" in run("token", "revoke", identifier).stdout
        assert answer(run("token", "list", "--json"))[0]["revoked_at"]
        assert run("token", "revoke", "0" * 16).exit_code == 3

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--principal", "local:root", "--scope", "alerts:write"),
            ("--principal", "edge", "--scope", "incidents:decide"),
            ("--principal", "edge", "--scope", "alerts:write", "--days", "366"),
            ("--principal", "a b", "--scope", "alerts:write"),
            ("--principal", "edge", "--scope", "everything"),
        ],
        ids=" ".join,
    )
    def test_tokens_that_must_not_be_are_refused(self, run: Run, arguments: tuple[str, ...]) -> None:
        assert run("token", "create", *arguments).exit_code == 2


class TestRetention:
    def test_dry_run_counts_and_deletes_nothing(self, run: Run, incident_id: str, settings: Settings) -> None:
        assert "Nothing is old enough" in run("retention", "apply").stdout
        store = open_store(settings.store_url)
        with store.write() as connection:
            connection.execute(update(schema.batch).values(received_us=1))
            connection.execute(update(schema.alert).values(received_us=1))
            connection.execute(update(schema.incident).values(status="closed"))
        dry = answer(run("retention", "apply", "--dry-run", "--json"))
        assert dry["tenants"]["default"]["alerts"] == 60
        done = answer(run("retention", "apply", "--all-tenants", "--json"))
        assert done["tenants"]["default"]["alerts"] == 60
        with store.read() as connection:
            assert connection.execute(select(schema.alert)).all() == []
        store.close()
        assert run("ledger", "verify").exit_code == 0
