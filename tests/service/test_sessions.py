"""Sessions over HTTP: cookies, their life, forged requests, tenants, one-time links, and what refusals leave behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import select, update

from watchfloor_core.canonical import parse_canonical
from watchfloor_core.store.schema import ledger_entry, span
from watchfloor_core.store.schema_identity import account, login_session
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import Role, Scope
from watchfloor_service.access.accounts import changing_accounts
from watchfloor_service.access.login_links import make_link
from watchfloor_service.access.sessions import IDLE_US, LIFE_US, SEEN_EVERY_US
from watchfloor_service.access.testing import PASSWORD, Browser, add_person, signed_in
from watchfloor_service.api.refusals import RECORDED
from watchfloor_service.api.throttle import FAILURES
from watchfloor_service.testing import Api, eve_lines, plant_incidents

WHO = "/v1/session"
LINK = "/v1/first-login"


@pytest.fixture
def ana(api: Api) -> Iterator[Browser]:
    """Responder in two tenants, signed in to the first."""
    add_person(api.store, "ana", Role.RESPONDER)
    add_person(api.store, "ana", Role.VIEWER, tenant="acme")
    with signed_in(api, "ana") as browser:
        yield browser


def kind_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:watchfloor:problem:")


def refusals(api: Api, tenant: str = "default") -> list[dict[str, object]]:
    with api.store.read() as connection:
        rows = connection.execute(
            select(ledger_entry.c.body)
            .where(ledger_entry.c.tenant == tenant, ledger_entry.c.kind == "refusal")
            .order_by(ledger_entry.c.seq)
        ).scalars()
        found = []
        for row in rows:
            entry = parse_canonical(row.encode())
            assert isinstance(entry, dict)
            body = entry["body"]
            assert isinstance(body, dict)
            found.append(dict(body))
        return found


def age(api: Api, **columns: int) -> None:
    """Make the session older by so many microseconds."""
    with api.store.write() as connection:
        connection.execute(
            update(login_session).values(
                {name: getattr(login_session.c, name) - microseconds for name, microseconds in columns.items()}
            )
        )


def try_to_sign_in(api: Api, password: str = PASSWORD, *, principal: str = "ana", **headers: str) -> httpx.Response:
    return api.stranger().post(WHO, json={"principal": principal, "password": password}, headers=headers)


class TestSigningIn:
    def test_the_cookie_is_for_this_host_and_no_script(self, api: Api) -> None:
        add_person(api.store, "ana", Role.VIEWER)
        cookie = try_to_sign_in(api).headers["set-cookie"]
        name, *attributes = cookie.split("; ")
        assert name.startswith("watchfloor=")
        assert set(attributes) == {"Max-Age=43200", "Path=/", "HttpOnly", "SameSite=Strict"}

    def test_over_tls_it_is_bound_to_the_host_and_secure(self, api: Api) -> None:
        add_person(api.store, "ana", Role.VIEWER)
        # As a proxy on this machine says; the server takes the scheme from it.
        answer = try_to_sign_in(api, **{"X-Forwarded-Proto": "https", "Host": "soc.example"})
        name, *attributes = answer.headers["set-cookie"].split("; ")
        assert name.startswith("__Host-watchfloor=")
        assert set(attributes) == {"Max-Age=43200", "Path=/", "HttpOnly", "SameSite=Strict", "Secure"}
        assert answer.headers["strict-transport-security"]

    def test_over_plain_http_from_elsewhere_there_is_no_session(self, api: Api) -> None:
        add_person(api.store, "ana", Role.VIEWER)
        answer = try_to_sign_in(api, Host="soc.example")
        assert kind_of(answer) == (403, "forbidden")
        assert "set-cookie" not in answer.headers

    def test_a_cookie_of_the_one_kind_is_worth_nothing_on_the_other(self, ana: Browser, api: Api) -> None:
        for headers in (
            {"Cookie": f"watchfloor={ana.cookie}", "Host": "soc.example"},
            {"Cookie": f"watchfloor={ana.cookie}", "X-Forwarded-Proto": "https"},
            {"Cookie": f"__Host-watchfloor={ana.cookie}"},
        ):
            assert api.stranger().get(WHO, headers=headers).status_code == 401

    def test_wrong_name_wrong_password_lock_and_disabled_say_the_same(self, api: Api) -> None:
        for name in ("ana", "bo", "cy"):
            add_person(api.store, name, Role.VIEWER)
        with changing_accounts(api.store, "default", "local:test") as changes:
            changes.disable("bo")
            changes.connection.execute(update(account).where(account.c.principal == "cy").values(locked_until_us=2**62))
        answers = [
            try_to_sign_in(api, "wrong password!"),
            *(try_to_sign_in(api, principal=name) for name in ("nobody", "bo", "cy")),
        ]
        assert {kind_of(answer) for answer in answers} == {(401, "unauthenticated")}
        assert len({answer.json()["detail"] for answer in answers}) == 1
        assert all("set-cookie" not in answer.headers for answer in answers)

    def test_an_address_that_keeps_guessing_is_told_to_wait(self, api: Api) -> None:
        answers = [try_to_sign_in(api, principal=f"nobody{number}") for number in range(FAILURES + 1)]
        assert {answer.status_code for answer in answers[:-1]} == {401}
        assert kind_of(answers[-1]) == (429, "too-many-failures")

    def test_a_page_of_another_site_cannot_sign_a_browser_in(self, api: Api) -> None:
        add_person(api.store, "ana", Role.VIEWER)
        for headers in (
            {"Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": f"http://127.0.0.1:{api.port + 1}"},
            {"Origin": "null"},
        ):
            assert kind_of(try_to_sign_in(api, **headers)) == (403, "forbidden")
        form = api.stranger().post(WHO, data={"principal": "ana", "password": PASSWORD})
        assert kind_of(form) == (415, "unsupported-media")

    def test_the_session_that_the_browser_had_before_ends(self, ana: Browser) -> None:
        before = ana.cookie
        again = ana.client.post(WHO, json={"principal": "ana", "password": PASSWORD})
        assert again.status_code == 200
        assert ana.cookie != before
        assert httpx.get(str(again.url), headers={"Cookie": f"watchfloor={before}"}).status_code == 401
        assert ana.get(WHO).status_code == 200

    def test_a_cookie_that_was_planted_is_not_taken_up(self, api: Api) -> None:
        add_person(api.store, "ana", Role.VIEWER)
        planted = "0123456789abcdef_" + "A" * 43
        answer = try_to_sign_in(api, Cookie=f"watchfloor={planted}")
        assert answer.status_code == 200
        assert planted not in answer.headers["set-cookie"]

    @pytest.mark.parametrize(
        "body", [b"{", b"[]", b'{"principal": "ana"}', b"x" * 5_000, b'{"principal":1,"password":2}']
    )
    def test_a_malformed_body_is_refused_without_an_echo(self, api: Api, body: bytes) -> None:
        answer = api.stranger().post(WHO, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (413, 422)
        assert PASSWORD not in answer.text

    def test_the_store_holds_no_cookie(self, ana: Browser, api: Api) -> None:
        secret = ana.cookie.split("_", 1)[1]
        with api.store.read() as connection:
            assert secret not in repr(connection.execute(select(login_session)).all())
            assert secret not in repr(connection.execute(select(ledger_entry.c.body)).all())


class TestLife:
    def test_who_am_i_tells_roles_scopes_tenants_and_the_token_for_forms(self, ana: Browser) -> None:
        me = ana.get(WHO).json()
        assert (me["principal"], me["display_name"], me["kind"], me["via"]) == ("ana", "Ana", "person", "session")
        assert (me["tenant"], me["roles"]) == ("default", ["responder"])
        assert me["tenants"] == {"acme": ["viewer"], "default": ["responder"]}
        assert "approvals:decide" in me["scopes"]
        assert me["csrf_token"] == ana.headers["X-Watchfloor-CSRF"]
        assert me["idle_seconds"] == 1800

    def test_by_token_it_tells_the_same_without_a_session(self, api: Api) -> None:
        me = api.client(Scope.INCIDENTS_READ, principal="edge").get(WHO).json()
        assert (me["principal"], me["kind"], me["via"]) == ("edge", "service", "token")
        assert (me["tenants"], me["csrf_token"], me["expires_at"]) == ({"default": []}, None, None)

    def test_it_ends_when_signed_out(self, ana: Browser, api: Api) -> None:
        cookie = ana.cookie
        out = ana.delete(WHO)
        assert out.status_code == 204
        assert "watchfloor=; Max-Age=0" in out.headers["set-cookie"]
        assert api.stranger().get(WHO, headers={"Cookie": f"watchfloor={cookie}"}).status_code == 401

    def test_a_token_is_not_signed_out(self, api: Api) -> None:
        assert kind_of(api.client(Scope.INCIDENTS_READ).delete(WHO)) == (409, "refused")

    def test_it_ends_when_it_is_not_used(self, ana: Browser, api: Api) -> None:
        age(api, last_seen_us=IDLE_US - 5_000_000)
        assert ana.get(WHO).status_code == 200
        age(api, last_seen_us=IDLE_US)
        assert ana.get(WHO).status_code == 401

    def test_use_keeps_it_alive_until_its_day_is_over(self, ana: Browser, api: Api) -> None:
        for _ in range(3):
            age(api, last_seen_us=IDLE_US - SEEN_EVERY_US, created_us=IDLE_US, expires_us=IDLE_US)
            assert ana.get(WHO).status_code == 200
        age(api, expires_us=LIFE_US)
        assert ana.get(WHO).status_code == 401

    def test_one_that_has_ended_does_not_count_as_a_guess(self, ana: Browser, api: Api) -> None:
        age(api, expires_us=LIFE_US)
        assert {ana.get(WHO).status_code for _ in range(FAILURES + 5)} == {401}
        assert try_to_sign_in(api).status_code == 200

    def test_guessed_cookies_do(self, api: Api) -> None:
        guesses = [
            api.stranger().get(WHO, headers={"Cookie": f"watchfloor={number:016x}_{'A' * 43}"}).status_code
            for number in range(FAILURES + 1)
        ]
        assert guesses == [401] * FAILURES + [429]

    def test_it_ends_at_once_when_the_account_is_disabled(self, ana: Browser, api: Api) -> None:
        with changing_accounts(api.store, "default", "local:test") as changes:
            changes.disable("ana")
        assert ana.get(WHO).status_code == 401

    def test_a_role_that_is_taken_away_is_gone_with_the_next_request(self, ana: Browser, api: Api) -> None:
        assert ana.get("/v1/incidents").status_code == 200
        with changing_accounts(api.store, "default", "local:test") as changes:
            changes.revoke("ana", "default", Role.RESPONDER)
        assert kind_of(ana.get("/v1/incidents")) == (403, "forbidden")

    def test_a_cookie_and_a_token_together_are_refused(self, ana: Browser, api: Api) -> None:
        token = api.token(Scope.INCIDENTS_READ)
        answer = ana.get("/v1/incidents", Authorization=f"Bearer {token}")
        assert kind_of(answer) == (401, "unauthenticated")
        assert ana.get("/v1/incidents", Authorization="Basic eDp5").status_code == 401


class TestForgedRequests:
    """A browser sends its cookie whoever wrote the page."""

    def decide(self, api: Api, ana: Browser, headers: dict[str, str]) -> httpx.Response:
        ids = plant_incidents(api.store, api.settings, "default", eve_lines(12))
        body = {"verdict": "FalsePositive", "comment": "seen", "revision": 1, "close": True}
        return ana.client.post(f"/v1/incidents/{ids[0]}/decision", json=body, headers=headers)

    def test_our_own_page_may_change_something(self, api: Api, ana: Browser) -> None:
        assert self.decide(api, ana, ana.headers).status_code in (200, 409)
        assert refusals(api) == []

    def test_so_may_a_program_that_shows_the_token(self, api: Api, ana: Browser) -> None:
        only = {"X-Watchfloor-CSRF": ana.headers["X-Watchfloor-CSRF"]}
        assert self.decide(api, ana, only).status_code in (200, 409)

    @pytest.mark.parametrize(
        "change",
        [
            {"X-Watchfloor-CSRF": ""},
            {"X-Watchfloor-CSRF": "0" * 64},
            {"X-Watchfloor-CSRF": "\xff"},
            {"Origin": "https://evil.example"},
            {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
            {"Origin": "http://127.0.0.1:1"},
            {"Origin": "https://127.0.0.1"},
        ],
        ids=str,
    )
    def test_another_page_may_not_and_leaves_a_trace(self, api: Api, ana: Browser, change: dict[str, str]) -> None:
        headers = {**ana.headers, **change}
        answer = self.decide(api, ana, {name: value.encode("latin-1") for name, value in headers.items()})  # type: ignore[misc]  # httpx takes bytes as well
        assert kind_of(answer) == (403, "forbidden")
        (refusal,) = refusals(api)
        assert (refusal["code"], refusal["principal"], refusal["via"]) == ("csrf", "ana", "session")

    def test_the_token_of_another_session_does_not_fit(self, api: Api, ana: Browser) -> None:
        with signed_in(api, "ana") as other:
            assert kind_of(self.decide(api, ana, other.headers)) == (403, "forbidden")

    def test_a_token_in_the_header_needs_none_of_it(self, api: Api) -> None:
        incident = plant_incidents(api.store, api.settings, "default", eve_lines(12))[0]
        answer = api.person().post(
            f"/v1/incidents/{incident}/reopen", json={"comment": "x"}, headers={"Origin": "https://evil.example"}
        )
        assert kind_of(answer) == (409, "refused")


class TestTenants:
    def test_a_session_works_in_one_tenant_and_can_be_moved(self, ana: Browser) -> None:
        assert ana.post(f"{WHO}/tenant", {"tenant": "acme"}).json()["tenant"] == "acme"
        me = ana.get(WHO).json()
        assert (me["tenant"], me["roles"]) == ("acme", ["viewer"])

    def test_a_request_may_name_another_of_the_persons_tenants(self, ana: Browser) -> None:
        assert ana.get(WHO, **{"X-Watchfloor-Tenant": "acme"}).json()["roles"] == ["viewer"]
        assert ana.get(WHO).json()["tenant"] == "default"

    def test_the_roles_of_one_tenant_give_nothing_in_the_other(self, ana: Browser, api: Api) -> None:
        incident = plant_incidents(api.store, api.settings, "acme", eve_lines(12))[0]
        where = {"X-Watchfloor-Tenant": "acme"}
        assert ana.get(f"/v1/incidents/{incident}", **where).status_code == 200
        assert kind_of(ana.post(f"/v1/incidents/{incident}/reopen", {"comment": "x"}, **where)) == (403, "forbidden")

    @pytest.mark.parametrize("named", ["globex", "", "DEFAULT", "default,acme"])
    def test_any_other_tenant_is_refused_and_traced_where_the_person_is_at_home(
        self, ana: Browser, api: Api, named: str
    ) -> None:
        assert kind_of(ana.get(WHO, **{"X-Watchfloor-Tenant": named})) == (403, "forbidden")
        assert kind_of(ana.post(f"{WHO}/tenant", {"tenant": named})) == (403, "forbidden")
        assert [one["code"] for one in refusals(api)] == ["tenant", "tenant"]
        assert refusals(api, "globex") == []

    def test_a_token_stays_in_its_own(self, api: Api) -> None:
        client = api.client(Scope.INCIDENTS_READ)
        assert client.get("/v1/incidents", headers={"X-Watchfloor-Tenant": "default"}).status_code == 200
        assert kind_of(client.get("/v1/incidents", headers={"X-Watchfloor-Tenant": "acme"})) == (403, "forbidden")
        assert kind_of(client.post(f"{WHO}/tenant", json={"tenant": "acme"})) == (409, "refused")

    def test_signing_in_may_name_the_tenant(self, api: Api, ana: Browser) -> None:
        answer = api.stranger().post(WHO, json={"principal": "ana", "password": PASSWORD, "tenant": "acme"})
        assert answer.json()["tenant"] == "acme"
        answer = api.stranger().post(WHO, json={"principal": "ana", "password": PASSWORD, "tenant": "globex"})
        assert kind_of(answer) == (403, "forbidden")


class TestRefusals:
    def test_a_known_caller_leaves_an_entry_and_a_span_of_one_id(self, api_on_each: Api) -> None:
        api = api_on_each
        assert api.client(Scope.HEALTH_READ, principal="edge").get("/v1/incidents/inc-1").status_code == 403
        (refusal,) = refusals(api)
        assert refusal["credential"]
        assert {name: refusal[name] for name in ("code", "principal", "kind", "via", "method", "route")} == {
            "code": "scope",
            "principal": "edge",
            "kind": "service",
            "via": "token",
            "method": "GET",
            "route": "/v1/incidents/{incident_id}",
        }
        with api.store.read() as connection:
            entry = connection.execute(select(ledger_entry).where(ledger_entry.c.kind == "refusal")).one()
            traced = connection.execute(select(span).where(span.c.span_id == entry.id)).one()
        assert (entry.chain, traced.name) == ("control", "watchfloor.refusal")

    def test_whoever_repeats_it_fills_no_ledger(self, api: Api) -> None:
        client = api.client(Scope.HEALTH_READ, principal="edge")
        for _ in range(3 * RECORDED):
            assert client.get("/v1/incidents").status_code == 403
        assert len(refusals(api)) == RECORDED
        # Another principal still has its own.
        api.client(Scope.HEALTH_READ, principal="core").get("/v1/incidents")
        assert len(refusals(api)) == RECORDED + 1

    def test_a_stranger_leaves_a_line_in_the_log_and_nothing_in_the_ledger(
        self, api: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            api.stranger().get("/v1/incidents", headers={"Authorization": "Bearer wf_forged\x1b[2J"})
            try_to_sign_in(api, "a secret that must not be logged", principal="somebody-secret")
        lines = [r.getMessage() for r in caplog.records if r.name == "watchfloor_service.api.refusals"]
        assert [line.split(" (")[0] for line in lines] == [
            "refused credential from 127.0.0.1 at GET /v1/incidents",
            "refused sign_in from 127.0.0.1 at POST /v1/session",
        ]
        assert "secret" not in caplog.text
        assert refusals(api) == []


class TestLinks:
    @pytest.fixture
    def link(self, api: Api) -> str:
        with changing_accounts(api.store, "default", "local:test") as changes:
            changes.create("ana", "Ana <b>")
            changes.grant("ana", "default", Role.VIEWER)
            return make_link(changes, "ana")

    def test_whatever_opens_it_first_uses_nothing_up(self, api: Api, link: str) -> None:
        stranger = api.stranger()
        for _ in range(3):
            assert stranger.get(LINK, params={"token": link}).json()["principal"] == "ana"
            assert stranger.head(LINK, params={"token": link}).status_code == 405
        page = stranger.get(LINK, params={"token": link}, headers={"Accept": "text/html"})
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert 'method="post"' in page.text
        assert "script" not in page.text
        assert stranger.post(LINK, json={"token": link, "password": PASSWORD}).status_code == 200

    def test_the_form_of_a_browser_that_names_no_origin_works(self, api: Api, link: str) -> None:
        # Our pages send no referrer, and so the browser calls their origin null.
        answer = api.stranger().post(
            LINK,
            data={"token": link, "username": "ana", "password": PASSWORD},
            headers={"Origin": "null", "Sec-Fetch-Site": "same-origin"},
        )
        assert answer.status_code == 200
        assert try_to_sign_in(api).status_code == 200

    def test_it_works_once(self, api: Api, link: str) -> None:
        stranger = api.stranger()
        assert stranger.post(LINK, json={"token": link, "password": PASSWORD}).json() == {"principal": "ana"}
        assert kind_of(stranger.post(LINK, json={"token": link, "password": "another long one"})) == (404, "not-found")
        assert kind_of(stranger.get(LINK, params={"token": link})) == (404, "not-found")
        assert try_to_sign_in(api).status_code == 200

    def test_a_weak_password_is_told_and_the_link_stays_good(self, api: Api, link: str) -> None:
        answer = api.stranger().post(LINK, json={"token": link, "password": "ana2026"})
        assert kind_of(answer) == (422, "invalid-request")
        assert len(answer.json()["errors"]) == 2
        assert "ana2026" not in answer.text
        assert api.stranger().post(LINK, json={"token": link, "password": PASSWORD}).status_code == 200

    def test_another_sites_page_cannot_use_it(self, api: Api, link: str) -> None:
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
            answer = api.stranger().post(LINK, data={"token": link, "password": PASSWORD}, headers=headers)
            assert kind_of(answer) == (403, "forbidden")

    def test_guessed_links_are_slowed_down(self, api: Api) -> None:
        stranger = api.stranger()
        codes = [stranger.get(LINK, params={"token": "A" * 43}).status_code for _ in range(FAILURES + 1)]
        assert codes == [404] * FAILURES + [429]


def test_roles_bind_a_persons_token_too(api: Api) -> None:
    add_person(api.store, "ana", Role.VIEWER)
    client = api.client(*Scope, kind=PrincipalKind.PERSON, principal="ana")
    assert client.get("/v1/incidents").status_code == 200
    assert kind_of(client.get("/v1/deadletters")) == (403, "forbidden")
    with changing_accounts(api.store, "default", "local:test") as changes:
        changes.disable("ana")
    assert kind_of(client.get("/v1/incidents")) == (401, "unauthenticated")
