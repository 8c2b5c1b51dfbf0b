"""Corrections of findings as people and programs make and read them: over HTTP, and on the command line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from tests.service.reports import claim, reported
from watchfloor_core.clock import now_us
from watchfloor_core.ledger import verify_store
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema import ledger_entry
from watchfloor_core.store.schema_investigation import finding_correction
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import Role, Scope
from watchfloor_service.access.operator_token import local_principal
from watchfloor_service.access.testing import add_person, signed_in
from watchfloor_service.cli import app
from watchfloor_service.supervision.claim import Claim
from watchfloor_service.supervision.running import RunningStack
from watchfloor_service.supervision.stack import store_place
from watchfloor_service.testing import Api, eve_lines, plant_incidents, served
from watchfloor_workflows.investigation.records import InvestigationKey

HOSTILE = "see [x](http://evil.example) \x1b[31m <b>"


def plant(store: Store, settings: Settings, tenant: str = "default") -> InvestigationKey:
    """Two reports on one incident, of which the later says less."""
    incident_id = plant_incidents(store, settings, tenant, eve_lines(12))[0]
    findings = claim("F1", "T1003.001"), claim("F2", code="process_origin")
    reported(store, settings, InvestigationKey(tenant, incident_id, 7), *findings)
    return reported(store, settings, InvestigationKey(tenant, incident_id, 8), findings[0])


class TestApi:
    @pytest.fixture
    def key(self, api_on_each: Api) -> InvestigationKey:
        return plant(api_on_each.store, api_on_each.settings)

    @pytest.fixture
    def address(self, key: InvestigationKey) -> str:
        return f"/v1/incidents/{key.incident_id}/report/corrections"

    def test_a_person_says_it_and_everyone_who_reads_the_report_sees_it(self, api_on_each: Api, address: str) -> None:
        ana = api_on_each.person(principal="ana@example.org")
        body = {"finding": "F1", "says": "wrong", "technique": "T1003.002", "comment": HOSTILE, "revision": 8}
        answer = ana.post(address, json=body)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert (said["principal"], said["says"], said["technique"]) == ("ana@example.org", "wrong", "T1003.002")

        reader = api_on_each.client(Scope.INCIDENTS_READ)
        report = address.removesuffix("/corrections")
        whole = reader.get(report).json()
        assert whole["corrections"] == [said]
        assert reader.get(address).json()["corrections"] == [said]
        page = reader.get(report, params={"format": "markdown"}).text
        assert r"**corrected by ana\[@\]example.org**: wrong, T1003.002: see \[x\](http\[:\]//evil.example) " in page
        assert "\x1b" not in page
        # What the ledger vouches for, and what is given away, is the report alone.
        content = reader.get(report, params={"format": "json"}).content
        assert hashlib.sha256(content).hexdigest() == whole["sha256"] == reader.get(address).json()["sha256"]
        assert "ana@example.org" not in reader.get(report, params={"format": "stix"}).text
        with api_on_each.store.read() as connection:
            assert verify_store(connection, "default").ok

    def test_the_same_again_is_the_same_and_another_takes_its_place(self, api_on_each: Api, address: str) -> None:
        ana = api_on_each.person()
        body = {"finding": "F1", "says": "wrong", "revision": 8}
        assert ana.post(address, json=body).json() == ana.post(address, json=body).json()
        ana.post(address, json={**body, "says": "right"})
        ana.post(address, json={"says": "missed", "technique": "T1021.002", "revision": 8})
        standing, made = (ana.get(address, params={"history": flag}).json() for flag in (False, True))
        assert [(one["finding_id"], one["says"]) for one in standing["corrections"]] == [
            ("F1", "right"),
            (None, "missed"),
        ]
        assert [one["says"] for one in made["corrections"]] == ["wrong", "right", "missed"]
        assert (standing["total"], made["total"]) == (2, 3)
        ana.post(address, json={"says": "withdrawn", "technique": "T1021.002", "revision": 8})
        assert [one["says"] for one in ana.get(address).json()["corrections"]] == ["right"]

    def test_each_report_has_its_own(self, api_on_each: Api, address: str) -> None:
        ana = api_on_each.person()
        assert ana.post(address, json={"finding": "F2", "says": "wrong", "revision": 7}).status_code == 200
        assert ana.get(address).json()["corrections"] == []
        assert len(ana.get(address, params={"revision": 7}).json()["corrections"]) == 1

    @pytest.mark.parametrize(
        ("body", "status", "reason"),
        [
            ({"finding": "F2", "says": "wrong", "revision": 8}, 404, "the report has no finding 'F2'; it has F1 to F1"),
            ({"finding": "F1\0", "says": "wrong", "revision": 8}, 404, "the report has no finding"),
            ({"finding": "F1", "says": "wrong", "revision": 9}, 404, "no report on revision 9"),
            ({"finding": "F1", "says": "right", "technique": "T1003", "revision": 8}, 409, "takes no technique"),
            ({"finding": "F1", "says": "wrong", "technique": "T9999", "revision": 8}, 409, "no technique of ATT&CK"),
            ({"says": "missed", "technique": "T1003.001", "revision": 8}, 409, "the report has T1003.001"),
            ({"finding": "F1", "says": "withdrawn", "revision": 8}, 409, "says nothing of F1"),
            ({"finding": "F1", "says": "wrong", "comment": "a\0b", "revision": 8}, 409, "holds a NUL"),
        ],
    )
    def test_what_cannot_be_said_is_refused_with_the_reason(
        self, api_on_each: Api, address: str, body: dict[str, object], status: int, reason: str
    ) -> None:
        answer = api_on_each.person().post(address, json=body)
        assert answer.status_code == status
        assert reason in answer.json()["detail"]

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"finding": "F1", "says": "wrong"},
            {"finding": "F1", "says": "maybe", "revision": 8},
            {"finding": "", "says": "wrong", "revision": 8},
            {"finding": "F" * 17, "says": "wrong", "revision": 8},
            {"finding": "F1", "says": "wrong", "technique": "lsass", "revision": 8},
            {"finding": "F1", "says": "wrong", "technique": "T1003.001\n", "revision": 8},
            {"finding": "F1", "says": "wrong", "comment": "x" * 4_001, "revision": 8},
            {"finding": "F1", "says": "wrong", "revision": 2**31},
            {"finding": "F1", "says": "wrong", "revision": 8, "principal": "bo"},
        ],
    )
    def test_malformed_ones_are_422_with_every_mistake(
        self, api_on_each: Api, address: str, body: dict[str, object]
    ) -> None:
        answer = api_on_each.person().post(address, json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"]

    def test_without_a_report_there_is_nothing_to_correct_or_list(self, api_on_each: Api) -> None:
        incident_id = plant_incidents(api_on_each.store, api_on_each.settings, "default", eve_lines(12))[0]
        address = f"/v1/incidents/{incident_id}/report/corrections"
        ana = api_on_each.person()
        assert ana.get(address).status_code == 404
        assert ana.post(address, json={"finding": "F1", "says": "wrong", "revision": 5}).status_code == 404
        assert ana.get(address, params={"revision": 2**31}).status_code == 422

    @pytest.mark.parametrize("kind", [PrincipalKind.SERVICE, PrincipalKind.AGENT])
    def test_a_program_is_refused_and_the_refusal_traced(
        self, api_on_each: Api, address: str, kind: PrincipalKind
    ) -> None:
        token = api_on_each.token(Scope.INCIDENTS_READ, kind=kind, principal="bot")
        answer = api_on_each.bearer(token).post(address, json={"finding": "F1", "says": "wrong", "revision": 8})
        assert answer.status_code == 403
        with api_on_each.store.read() as connection:
            refusals = connection.scalars(select(ledger_entry.c.body).where(ledger_entry.c.kind == "refusal")).all()
            assert connection.execute(select(finding_correction)).all() == []
        [refusal] = [json.loads(one)["body"] for one in refusals]
        assert (refusal["principal"], refusal["code"], refusal["method"]) == ("bot", "not_a_person", "POST")
        assert refusal["route"].endswith("/report/corrections")

    def test_an_analyst_may_and_a_viewer_may_only_look(self, api_on_each: Api, address: str) -> None:
        for name, role, expected in (("vera", Role.VIEWER, 403), ("ana", Role.ANALYST, 200)):
            add_person(api_on_each.store, name, role, tenant="default")
            with signed_in(api_on_each, name) as browser:
                body = {"finding": "F1", "says": "right", "revision": 8}
                assert browser.post(address, json=body).status_code == expected
                assert browser.get(address).status_code == 200

    def test_another_tenant_neither_corrects_nor_sees(self, api_on_each: Api, address: str) -> None:
        api_on_each.person().post(address, json={"finding": "F1", "says": "wrong", "revision": 8})
        stranger = api_on_each.person(tenant="acme")
        assert stranger.get(address).status_code == 404
        assert stranger.post(address, json={"finding": "F1", "says": "right", "revision": 8}).status_code == 404


Run = Callable[..., Result]


class TestCommand:
    @pytest.fixture
    def store(self, settings: Settings) -> Iterator[Store]:
        migrate(settings.store_url)
        opened = open_store(settings.store_url)
        yield opened
        opened.close()

    @pytest.fixture
    def key(self, store: Store, settings: Settings) -> InvestigationKey:
        return plant(store, settings)

    @pytest.fixture
    def running(self, store: Store, settings: Settings) -> Iterator[Api]:
        claimed = Claim.take(settings.data_dir, "up")
        with served(store, settings) as api:
            RunningStack(
                pid=1,
                command="up",
                since_us=now_us(),
                temporal_address="127.0.0.1:1",
                api_url=api.url,
                autonomy_file=None,
                store=store_place(settings),
            ).write(settings.data_dir)
            yield api
        claimed.release()

    @pytest.fixture
    def run(self, settings: Settings) -> Run:
        return lambda *arguments: CliRunner().invoke(app, ["--data-dir", str(settings.data_dir), *arguments])

    def test_it_is_said_as_the_operator_and_what_stands_is_shown(
        self, run: Run, running: Api, key: InvestigationKey
    ) -> None:
        said = run("incident", "correct", key.incident_id, "F1", "wrong", "--technique", "t1003.002", "-m", HOSTILE)
        assert said.exit_code == 0, said.output
        assert "F1" in said.stdout
        assert "T1003.002" in said.stdout
        assert local_principal() in said.stdout
        assert "\x1b" not in said.stdout
        missed = run("incident", "correct", key.incident_id, "--missed", "T1021.002", "--json")
        assert [one["says"] for one in json.loads(missed.stdout)["corrections"]] == ["wrong", "missed"]

        page = run("incident", "report", key.incident_id).stdout
        assert "corrected by" in page
        assert "missed, says" in page
        whole = json.loads(run("incident", "report", key.incident_id, "--json").stdout)
        assert [one["says"] for one in whole["corrections"]] == ["wrong", "missed"]
        content = run("incident", "report", key.incident_id, "--format", "json").stdout.removesuffix("\n")
        assert hashlib.sha256(content.encode()).hexdigest() == whole["sha256"]

    def test_what_was_said_is_taken_back(self, run: Run, running: Api, key: InvestigationKey) -> None:
        run("incident", "correct", key.incident_id, "F1", "right")
        run("incident", "correct", key.incident_id, "--missed", "T1021.002")
        run("incident", "correct", key.incident_id, "--missed", "T1021.002", "--withdraw")
        shown = run("incident", "correct", key.incident_id, "F1", "--withdraw")
        assert shown.exit_code == 0, shown.output
        assert "Nobody says anything of the report on revision 8" in shown.stdout
        assert run("incident", "correct", key.incident_id, "F1", "--withdraw").exit_code == 0
        assert run("incident", "correct", key.incident_id, "--missed", "T1021", "--withdraw").exit_code == 4

    def test_an_earlier_report_is_named_by_its_revision(self, run: Run, running: Api, key: InvestigationKey) -> None:
        assert run("incident", "correct", key.incident_id, "F2", "right").exit_code == 3
        earlier = run("incident", "correct", key.incident_id, "F2", "right", "--revision", "7")
        assert earlier.exit_code == 0, earlier.output
        assert "confirmed by" in run("incident", "report", key.incident_id, "--revision", "7").stdout
        assert "confirmed by" not in run("incident", "report", key.incident_id).stdout

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("F1",),
            ("F1", "maybe"),
            ("F1", "missed"),
            ("F1", "wrong", "--withdraw"),
            ("F1", "wrong", "--missed", "T1021.002"),
            ("--missed", "T1021.002", "--technique", "T1003"),
            ("--missed", "smb"),
            ("F1", "wrong", "--technique", "smb"),
        ],
    )
    def test_a_call_that_does_not_say_one_thing_of_one_thing_is_exit_code_2(
        self, run: Run, running: Api, key: InvestigationKey, arguments: tuple[str, ...]
    ) -> None:
        assert run("incident", "correct", key.incident_id, *arguments).exit_code == 2

    def test_refusals_and_what_is_not_there_have_their_exit_codes(
        self, run: Run, running: Api, key: InvestigationKey
    ) -> None:
        unknown = run("incident", "correct", key.incident_id, "F1", "wrong", "--technique", "T9999")
        assert (unknown.exit_code, "no technique of ATT&CK" in unknown.stderr) == (4, True)
        assert run("incident", "correct", key.incident_id, "F9", "wrong").exit_code == 3
        assert run("incident", "correct", "inc-0000000000000000", "F1", "wrong").exit_code == 3

    def test_without_a_running_stack_it_is_exit_code_75(self, run: Run, key: InvestigationKey) -> None:
        assert run("incident", "correct", key.incident_id, "F1", "wrong").exit_code == 75
