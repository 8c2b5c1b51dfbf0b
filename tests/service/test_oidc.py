"""Single sign-on against an identity provider on a real socket: the good way in, and every attack on it we know."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, OctKey, RSAKey
from pydantic import SecretStr
from sqlalchemy import func, select, update

from watchfloor_core.errors import ConfigurationError, ConflictError, UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_identity import account, login_session, oidc_identity, oidc_login
from watchfloor_guardrails.roles import Role
from watchfloor_service.access import oidc_sign_in
from watchfloor_service.access.accounts import changing_accounts, list_accounts, load_account
from watchfloor_service.access.oidc_provider import KEYS_AT_MOST_EVERY_S, OidcProvider, SignInRefusedError
from watchfloor_service.access.oidc_settings import MappedRole, is_secure_url, oidc_settings
from watchfloor_service.access.oidc_sign_in import LIFE_US, link_identity
from watchfloor_service.access.sign_in import SignedIn
from watchfloor_service.testing import TLS, Api, served

CLIENT, SECRET = "watchfloor-soc", "s3cret with %&"
RSA, OTHER_RSA, EC = (RSAKey.generate_key(2048), RSAKey.generate_key(2048), ECKey.generate_key("P-256"))
WEAK_RSA = rsa.generate_private_key(65_537, 1024)  # noqa: S505 -- that it is not taken is what is tested


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """Signs everybody in as ``claims`` says, by the standard; a test bends one thing."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.claims: dict[str, object] = {"sub": "s-1", "groups": ["soc-leads"], "name": "Ana <script>"}
        self.key: Key = RSA
        self.header: dict[str, object] = {"alg": "RS256", "kid": "rsa"}
        self.published: list[dict[str, object]] = [
            {**RSA.as_dict(private=False), "kid": "rsa"},
            {**EC.as_dict(private=False), "kid": "ec"},
        ]
        self.sign: Callable[[dict[str, object]], str] = lambda claims: jwt.encode(
            self.header, claims, self.key, algorithms=[str(self.header["alg"])]
        )
        self.discovery: dict[str, object] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.wrong_clients = 0

    def configuration(self) -> dict[str, object]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            **self.discovery,
        }

    def authorize(self, query: dict[str, str]) -> str:
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = b64(hashlib.sha256(query["state"].encode()).digest())
        self.codes[code] = query
        return f"{query['redirect_uri']}?code={code}&state={query['state']}"

    def token(self, form: dict[str, str], authorization: str | None) -> tuple[int, dict[str, object]]:
        expected = "Basic " + base64.b64encode(b"watchfloor-soc:s3cret%20with%20%25%26").decode()
        if authorization != expected:
            self.wrong_clients += 1
            return 401, {"error": "invalid_client"}
        begun = self.codes.pop(form["code"], None)
        challenge = b64(hashlib.sha256(form["code_verifier"].encode()).digest())
        if begun is None or begun["code_challenge"] != challenge or begun["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": begun["nonce"], **self.claims}
        return 200, {
            "access_token": "unused",
            "token_type": "Bearer",
            "id_token": self.sign({name: value for name, value in claims.items() if value is not None}),
        }


@contextmanager
def provider_on_a_socket() -> Iterator[Provider]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            running.asked.append(address.path)
            if address.path == "/authorize":
                query = {name: values[0] for name, values in parse_qs(address.query).items()}
                self.send_response(302)
                self.send_header("Location", running.authorize(query))
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif address.path == "/keys":
                self.answer(200, {"keys": running.published})
            else:
                self.answer(200, running.configuration())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self.answer(*running.token(form, self.headers.get("Authorization")))

        def answer(self, status: int, content: dict[str, object]) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Provider(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provider_on_a_socket() as running:
        yield running


def settings_for(provider: Provider, folder: Path) -> Settings:
    return Settings(
        data_dir=folder,
        oidc_issuer=provider.url,
        oidc_client_id=CLIENT,
        oidc_client_secret=SecretStr(SECRET),
        # The test goes back to the API itself: its port is not known before it listens.
        oidc_redirect_url="http://127.0.0.1:1/v1/oidc/callback",
        oidc_role_mapping=("soc-leads=lead", "cn=admins,dc=soc=admin", "acme=acme/viewer"),
    )


@pytest.fixture
def api(sqlite_store: Store, settings: Settings, provider: Provider) -> Iterator[Api]:
    with served(sqlite_store, settings_for(provider, settings.data_dir)) as running:
        yield running


@pytest.fixture
def browser(api: Api) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api.url, timeout=30, verify=TLS) as client:
        yield client


def to_callback(browser: httpx.Client) -> str:
    """Begin, go to the provider, and give the address it sends the browser back to (path and query)."""
    begun = browser.get("/v1/oidc/login")
    assert begun.status_code == 302, begun.text
    back = httpx.get(begun.headers["location"])
    assert back.status_code == 302
    address = urlsplit(back.headers["location"])
    return f"{address.path}?{address.query}"


def sign_in(browser: httpx.Client) -> httpx.Response:
    return browser.get(to_callback(browser))


def is_refused(answer: httpx.Response, browser: httpx.Client) -> bool:
    """401 that tells nothing of the reason, and no session."""
    assert answer.status_code == 401, answer.text
    assert answer.json()["detail"].startswith("the identity provider's answer signs nobody in here")
    return "watchfloor" not in browser.cookies and browser.get("/v1/session").status_code == 401


class TestTheWayIn:
    def test_a_mapped_group_gets_an_account_a_role_and_a_session(self, api: Api, browser: httpx.Client) -> None:
        answer = sign_in(browser)
        assert answer.status_code == 200
        assert "<script>" not in answer.text
        assert "SameSite=Strict" in answer.headers["set-cookie"]
        me = browser.get("/v1/session").json()
        assert me["principal"].startswith("oidc:")
        assert (me["display_name"], me["roles"], me["tenants"]) == (
            "Ana <script>",
            ["lead"],
            {"default": ["lead"]},
        )
        # The sign-in's own cookie is gone.
        assert [cookie.name for cookie in browser.cookies.jar] == ["watchfloor"]

    def test_the_same_subject_is_the_same_person_whatever_its_name(
        self, api: Api, browser: httpx.Client, provider: Provider
    ) -> None:
        sign_in(browser)
        first = browser.get("/v1/session").json()["principal"]
        provider.claims |= {"name": "Somebody else", "email": "ana@soc.example"}
        sign_in(browser)
        assert browser.get("/v1/session").json()["principal"] == first
        provider.claims["sub"] = "s-2"
        sign_in(browser)
        assert browser.get("/v1/session").json()["principal"] != first

    def test_an_address_of_mail_that_is_an_accounts_name_gives_nobody_that_account(
        self, api: Api, browser: httpx.Client, provider: Provider
    ) -> None:
        with changing_accounts(api.store, "default", "local:test") as changes:
            changes.create("ana@soc.example", "Ana")
            changes.grant("ana@soc.example", "default", Role.ADMIN)
        provider.claims |= {"email": "ana@soc.example", "preferred_username": "ana@soc.example", "email_verified": True}
        sign_in(browser)
        me = browser.get("/v1/session").json()
        assert (me["principal"].partition(":")[0], me["roles"]) == ("oidc", ["lead"])

    def test_an_account_that_was_linked_needs_no_group(
        self, api: Api, browser: httpx.Client, provider: Provider
    ) -> None:
        with changing_accounts(api.store, "default", "local:test") as changes:
            changes.create("ana", "Ana")
            changes.grant("ana", "default", Role.AUDITOR)
            link_identity(changes, "ana", provider.url, "s-1")
        provider.claims["groups"] = ["canteen"]
        assert sign_in(browser).status_code == 200
        me = browser.get("/v1/session").json()
        assert (me["principal"], me["roles"]) == ("ana", ["auditor"])

    def test_roles_follow_the_groups_at_each_sign_in_and_those_granted_here_stay(
        self, api: Api, browser: httpx.Client, provider: Provider
    ) -> None:
        sign_in(browser)
        principal = browser.get("/v1/session").json()["principal"]
        with changing_accounts(api.store, "default", "local:test") as changes:
            changes.grant(principal, "default", Role.AUDITOR)
        provider.claims["groups"] = ["acme", "cn=admins,dc=soc"]
        sign_in(browser)
        assert browser.get("/v1/session").json()["tenants"] == {"acme": ["viewer"], "default": ["admin", "auditor"]}

    def test_es256_is_taken_as_well(self, browser: httpx.Client, provider: Provider) -> None:
        provider.key, provider.header = EC, {"alg": "ES256", "kid": "ec"}
        assert sign_in(browser).status_code == 200

    def test_it_works_on_each_database(self, store: Store, settings: Settings, provider: Provider) -> None:
        with (
            served(store, settings_for(provider, settings.data_dir)) as running,
            httpx.Client(base_url=running.url, verify=TLS) as browser,
        ):
            again = to_callback(browser)
            assert browser.get(again).status_code == 200
            assert browser.get(again).status_code == 401
        with store.read() as connection:
            assert len(list_accounts(connection, "default")) == 1
            assert connection.execute(select(func.count()).select_from(oidc_login)).scalar_one() == 0


FORGERIES: dict[str, tuple[Callable[[Provider], None], str]] = {}
"""What is bent, and what our side says of it: it is to be refused for what is wrong with it."""
Change: TypeAlias = Callable[[Provider], None]


def forgery(reason: str) -> Callable[[Change], Change]:
    def keep(change: Change) -> Change:
        FORGERIES[change.__name__.replace("_", " ")] = (change, reason)
        return change

    return keep


@forgery("another algorithm")
def no_signature(provider: Provider) -> None:
    header = b64(json.dumps({"alg": "none"}).encode())
    provider.sign = lambda claims: f"{header}.{b64(json.dumps(claims).encode())}."


@forgery("another algorithm")
def no_signature_in_capitals(provider: Provider) -> None:
    header = b64(json.dumps({"alg": "nOnE", "kid": "rsa"}).encode())
    provider.sign = lambda claims: f"{header}.{b64(json.dumps(claims).encode())}."


@forgery("another algorithm")
def the_public_key_as_a_shared_secret(provider: Provider) -> None:
    public = RSAKey.import_key(RSA.as_dict(private=False)).as_pem(private=False)
    header = b64(json.dumps({"alg": "HS256", "kid": "rsa"}).encode())

    def sign(claims: dict[str, object]) -> str:
        signed = f"{header}.{b64(json.dumps(claims).encode())}"
        return f"{signed}.{b64(hmac.digest(public, signed.encode(), 'sha256'))}"

    provider.sign = sign


@forgery("another algorithm")
def the_clients_secret_as_a_key(provider: Provider) -> None:
    key = OctKey.import_key(SECRET * 3)
    provider.sign = lambda claims: jwt.encode({"alg": "HS256"}, claims, key, algorithms=["HS256"])


@forgery("another algorithm")
def a_shared_secret_among_the_published_keys(provider: Provider) -> None:
    key = OctKey.import_key("k" * 40)
    provider.published.append({**key.as_dict(), "kid": "oct"})
    provider.sign = lambda claims: jwt.encode({"alg": "HS256", "kid": "oct"}, claims, key, algorithms=["HS256"])


@forgery("no key of the provider fits")
def another_key(provider: Provider) -> None:
    provider.key = OTHER_RSA


@forgery("no key of the provider fits")
def a_key_in_the_header(provider: Provider) -> None:
    own = ECKey.generate_key("P-256")
    provider.key, provider.header = own, {"alg": "ES256", "jwk": own.as_dict(private=False)}


@forgery("no key of the provider fits")
def the_name_of_a_key_of_another_type(provider: Provider) -> None:
    provider.header = {"alg": "RS256", "kid": "ec"}


@forgery("no key of the provider fits")
def an_unknown_key(provider: Provider) -> None:
    provider.header = {"alg": "RS256", "kid": "nowhere"}


@forgery("no key of the provider fits")
def a_key_for_encryption(provider: Provider) -> None:
    provider.published = [{**RSA.as_dict(private=False), "kid": "rsa", "use": "enc"}]


@forgery("no key of the provider fits")
def a_signature_of_other_claims(provider: Provider) -> None:
    def sign(claims: dict[str, object]) -> str:
        token = jwt.encode(provider.header, {**claims, "groups": []}, RSA)
        head, _, signature = token.split(".")
        return f"{head}.{b64(json.dumps(claims).encode())}.{signature}"

    provider.sign = sign


@forgery("cannot be read")
def no_token(provider: Provider) -> None:
    provider.sign = lambda claims: "rubbish"


@forgery("no key of the provider fits")
def claims_that_are_a_list(provider: Provider) -> None:
    provider.sign = lambda claims: jws.serialize_compact({"alg": "RS256", "kid": "rsa"}, b"[1]", RSA)


@forgery("no key of the provider fits")
def a_short_rsa_key(provider: Provider) -> None:
    numbers = WEAK_RSA.public_key().public_numbers()
    provider.published = [{"kty": "RSA", "kid": "rsa", "n": b64(numbers.n.to_bytes(128)), "e": "AQAB"}]
    head = b64(b'{"alg":"RS256","kid":"rsa"}')

    def sign(claims: dict[str, object]) -> str:
        signed = f"{head}.{b64(json.dumps(claims).encode())}"
        return f"{signed}.{b64(WEAK_RSA.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    provider.sign = sign


def claiming(**claims: object) -> Change:
    return lambda provider: provider.claims.update(claims)


for _name, _claims, _wrong in (
    ("another issuer", {"iss": "https://evil.example"}, "iss"),
    ("another audience", {"aud": "another-client"}, "aud"),
    ("no audience", {"aud": None}, "aud"),
    ("an audience of several without a party", {"aud": [CLIENT, "another-client"]}, "azp"),
    ("another party", {"aud": [CLIENT, "another-client"], "azp": "another-client"}, "azp"),
    ("another party for us alone", {"azp": "another-client"}, "azp"),
    ("another nonce", {"nonce": "n" * 43}, "nonce"),
    ("no nonce", {"nonce": None}, "nonce"),
    ("expired", {"exp": int(time.time()) - 61}, "exp"),
    ("no expiry", {"exp": None}, "exp"),
    ("an expiry in words", {"exp": "9999999999"}, "exp"),
    ("from the future", {"iat": int(time.time()) + 3600}, "iat"),
    ("no issue time", {"iat": None}, "iat"),
    ("not yet valid", {"nbf": int(time.time()) + 3600}, "nbf"),
    ("no subject", {"sub": None}, "sub"),
    ("an empty subject", {"sub": ""}, "sub"),
    ("a long subject", {"sub": "s" * 256}, "sub"),
    ("a subject that is a number", {"sub": 1}, "sub"),
):
    FORGERIES[_name] = (claiming(**_claims), f"the ID token's {_wrong} do not hold")


@pytest.fixture
def asked(provider: Provider, settings: Settings) -> Iterator[OidcProvider]:
    """Our side of the conversation with the provider."""
    chosen = oidc_settings(settings_for(provider, settings.data_dir))
    assert chosen is not None
    ours = OidcProvider(chosen)
    yield ours
    ours.close()


def sign_in_below_http(store: Store, asked: OidcProvider) -> SignedIn:
    begun = oidc_sign_in.begin(store, asked)
    back = parse_qs(urlsplit(httpx.get(begun.url).headers["location"]).query)
    return oidc_sign_in.finish(
        store,
        asked,
        state=back["state"][0],
        code=back["code"][0],
        browser=begun.browser,
        issuer=None,
        home="default",
    )


class TestForgedTokens:
    @pytest.mark.parametrize(("change", "reason"), FORGERIES.values(), ids=FORGERIES)
    def test_nobody_comes_in_by(
        self,
        sqlite_store: Store,
        asked: OidcProvider,
        provider: Provider,
        change: Callable[[Provider], None],
        reason: str,
    ) -> None:
        change(provider)
        with pytest.raises(SignInRefusedError, match=reason):
            sign_in_below_http(sqlite_store, asked)
        with sqlite_store.read() as connection:
            for table in (account, oidc_identity, login_session):
                assert connection.execute(select(table)).all() == []

    def test_a_party_that_is_us_among_several_audiences_is_taken(
        self, sqlite_store: Store, asked: OidcProvider, provider: Provider
    ) -> None:
        provider.claims |= {"aud": ["another-client", CLIENT], "azp": CLIENT}
        assert sign_in_below_http(sqlite_store, asked).account.roles


class TestTheWayBack:
    def test_an_answer_that_nobody_waits_for_is_refused(self, browser: httpx.Client) -> None:
        assert is_refused(browser.get("/v1/oidc/callback?state=chosen&code=c"), browser)
        assert is_refused(browser.get("/v1/oidc/callback"), browser)

    def test_another_state_is_refused(self, browser: httpx.Client) -> None:
        address = to_callback(browser)
        assert is_refused(browser.get(address[:-1] + ("A" if address[-1] != "A" else "B")), browser)

    def test_the_same_answer_works_once(self, browser: httpx.Client) -> None:
        address = to_callback(browser)
        assert browser.get(address).status_code == 200
        assert browser.get(address).status_code == 401

    def test_a_code_that_was_used_is_refused_by_another_sign_in_too(self, browser: httpx.Client) -> None:
        first = to_callback(browser)
        code = parse_qs(urlsplit(first).query)["code"][0]
        assert browser.get(first).status_code == 200
        browser.cookies.clear()
        state = parse_qs(urlsplit(to_callback(browser)).query)["state"][0]
        assert is_refused(browser.get("/v1/oidc/callback", params={"state": state, "code": code}), browser)

    def test_a_code_of_another_sign_in_does_not_fit_this_ones_verifier(self, api: Api, browser: httpx.Client) -> None:
        with httpx.Client(base_url=api.url, verify=TLS) as attacker:
            stolen = parse_qs(urlsplit(to_callback(attacker)).query)["code"][0]
        state = parse_qs(urlsplit(to_callback(browser)).query)["state"][0]
        assert is_refused(browser.get("/v1/oidc/callback", params={"state": state, "code": stolen}), browser)

    def test_somebody_elses_answer_signs_no_browser_in(self, api: Api, browser: httpx.Client) -> None:
        # Login CSRF: the attacker begins, and has the victim's browser open the way back.
        with httpx.Client(base_url=api.url, verify=TLS) as attacker:
            address = to_callback(attacker)
            assert is_refused(browser.get(address), browser)
            to_callback(browser)  # nor when the victim has begun as well
            address = to_callback(attacker)
            assert browser.get(address).status_code == 401
            # It is used up for the attacker too.
            assert attacker.get(address).status_code == 401

    def test_an_answer_that_comes_late_is_refused(self, api: Api, browser: httpx.Client) -> None:
        address = to_callback(browser)
        with api.store.write() as connection:
            connection.execute(update(oidc_login).values(expires_us=oidc_login.c.expires_us - LIFE_US))
        assert is_refused(browser.get(address), browser)

    def test_an_answer_of_another_provider_is_refused(self, browser: httpx.Client, provider: Provider) -> None:
        assert is_refused(browser.get(to_callback(browser) + "&iss=https://evil.example"), browser)
        assert browser.get(to_callback(browser) + f"&iss={provider.url}").status_code == 200

    def test_what_waits_is_kept_as_a_hash(self, api: Api, browser: httpx.Client) -> None:
        state = parse_qs(urlsplit(to_callback(browser)).query)["state"][0]
        with api.store.read() as connection:
            kept = repr(connection.execute(select(oidc_login)).all())
        assert state not in kept
        assert browser.cookies["watchfloor-oidc"] not in kept


class TestWhoComesIn:
    @pytest.mark.parametrize(
        "groups", [None, [], ["SOC-LEADS"], ["soc-leads "], {"soc-leads": 1}, [["soc-leads"]], "canteen"]
    )
    def test_nobody_without_an_account_or_a_mapped_group(
        self, api: Api, browser: httpx.Client, provider: Provider, groups: object
    ) -> None:
        provider.claims["groups"] = groups
        assert is_refused(sign_in(browser), browser)
        with api.store.read() as connection:
            assert connection.execute(select(account)).all() == []

    def test_nobody_whose_groups_were_taken_away(self, api: Api, browser: httpx.Client, provider: Provider) -> None:
        sign_in(browser)
        principal = browser.get("/v1/session").json()["principal"]
        browser.cookies.clear()
        provider.claims["groups"] = []
        assert is_refused(sign_in(browser), browser)
        with api.store.read() as connection:
            found = load_account(connection, principal)
        assert found is not None
        assert found.roles == {}

    def test_nobody_whose_account_is_disabled(self, api: Api, browser: httpx.Client) -> None:
        sign_in(browser)
        principal = browser.get("/v1/session").json()["principal"]
        with changing_accounts(api.store, "default", "local:test") as changes:
            changes.disable(principal)
        browser.cookies.clear()
        assert is_refused(sign_in(browser), browser)

    def test_an_identity_is_linked_to_one_account(self, sqlite_store: Store) -> None:
        with changing_accounts(sqlite_store, "default", "local:test") as changes:
            for name in ("ana", "bo"):
                changes.create(name, name)
            link_identity(changes, "ana", "https://id.example", "s-1")
            with pytest.raises(ConflictError):
                link_identity(changes, "bo", "https://id.example", "s-1")
            link_identity(changes, "bo", "https://other.example", "s-1")


class TestTheProvider:
    def test_a_new_key_of_it_is_fetched_when_a_token_names_one_and_not_at_will(
        self, provider: Provider, settings: Settings
    ) -> None:
        chosen = oidc_settings(settings_for(provider, settings.data_dir))
        assert chosen is not None
        now = time.time()
        asked = OidcProvider(chosen, clock=lambda: now)
        claims = {
            "iss": provider.url,
            "aud": CLIENT,
            "sub": "s-1",
            "nonce": "n",
            "iat": int(now),
            "exp": int(now) + 300,
        }
        old, new, unknown = (
            jwt.encode({"alg": "RS256", "kid": kid}, claims, key)
            for kid, key in (("rsa", RSA), ("new", OTHER_RSA), ("nowhere", OTHER_RSA))
        )
        assert asked.verify(old, "n")["sub"] == "s-1"
        provider.published = [{**OTHER_RSA.as_dict(private=False), "kid": "new"}]
        for _ in range(3):
            with pytest.raises(SignInRefusedError):
                asked.verify(new, "n")
        now += KEYS_AT_MOST_EVERY_S
        assert asked.verify(new, "n")["sub"] == "s-1"
        for _ in range(3):
            with pytest.raises(SignInRefusedError):
                asked.verify(unknown, "n")
        with pytest.raises(SignInRefusedError):
            asked.verify(old, "n")
        assert provider.asked.count("/keys") == 2
        assert provider.asked.count("/.well-known/openid-configuration") == 1
        asked.close()

    def test_one_that_calls_itself_otherwise_is_not_used(
        self, sqlite_store: Store, asked: OidcProvider, provider: Provider
    ) -> None:
        provider.discovery = {"issuer": f"{provider.url}/"}
        with pytest.raises(UnavailableError, match="call itself"):
            oidc_sign_in.begin(sqlite_store, asked)

    @pytest.mark.parametrize("endpoint", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
    @pytest.mark.parametrize("url", ["http://id.example/x", "file:" + "///etc/passwd", "", 7])
    def test_an_endpoint_that_others_could_read_is_not_used(
        self, sqlite_store: Store, asked: OidcProvider, provider: Provider, endpoint: str, url: object
    ) -> None:
        provider.discovery = {endpoint: url}
        with pytest.raises(UnavailableError, match="neither https nor loopback"):
            oidc_sign_in.begin(sqlite_store, asked)

    def test_a_public_client_sends_no_secret(self, provider: Provider, settings: Settings, sqlite_store: Store) -> None:
        chosen = oidc_settings(
            settings_for(provider, settings.data_dir).model_copy(update={"oidc_client_secret": None})
        )
        assert chosen is not None
        ours = OidcProvider(chosen)
        with pytest.raises(SignInRefusedError, match="answered 401"):
            sign_in_below_http(sqlite_store, ours)
        assert provider.wrong_clients == 1
        ours.close()

    def test_one_that_is_down_is_a_503_and_stops_no_start(self, sqlite_store: Store, settings: Settings) -> None:
        with provider_on_a_socket() as gone:
            pass
        with served(sqlite_store, settings_for(gone, settings.data_dir)) as api:
            answer = api.stranger().get("/v1/oidc/login")
            assert answer.status_code == 503
            assert gone.url not in answer.text

    def test_without_one_there_is_no_such_way_in(self, sqlite_store: Store, settings: Settings) -> None:
        with served(sqlite_store, settings) as api:
            for path in ("/v1/oidc/login", "/v1/oidc/callback"):
                assert api.stranger().get(path).status_code == 404


class TestSettings:
    def of(self, **changes: object) -> Settings:
        return Settings.model_validate(
            {
                "oidc_issuer": "https://id.example",
                "oidc_client_id": CLIENT,
                "oidc_redirect_url": "https://soc.example/v1/oidc/callback",
                **changes,
            }
        )

    def test_a_mapping_names_group_tenant_and_role(self) -> None:
        # A list as JSON, for a name that holds commas.
        found = oidc_settings(self.of(oidc_role_mapping='["leads=lead", "cn=a,dc=b=acme/admin"]'))
        assert found is not None
        assert found.mapping == (
            MappedRole("leads", "default", Role.LEAD),
            MappedRole("cn=a,dc=b", "acme", Role.ADMIN),
        )

    def test_everything_that_is_wrong_is_said_at_once(self) -> None:
        wrong = self.of(
            oidc_issuer="http://id.example",
            oidc_client_id=None,
            oidc_redirect_url=None,
            oidc_role_mapping=("leads", "=lead", "x=emperor", "x=A B/lead"),
        )
        with pytest.raises(ConfigurationError) as raised:
            oidc_settings(wrong)
        assert len(raised.value.problems) == 7

    @pytest.mark.parametrize(
        ("url", "is_secure"),
        [
            ("https://id.example/realm", True),
            ("http://127.0.0.1:8080", True),
            ("http://[::1]:8080", True),
            ("http://localhost", True),
            ("http://id.example", False),
            ("http://127.0.0.1.id.example", False),
            ("http://localhost.id.example", False),
            ("https://user@id.example", False),
            ("https://", False),
            ("ftp://id.example", False),
            ("https://[", False),
            ("javascript:alert(1)", False),
        ],
    )
    def test_only_what_nobody_in_between_can_read_is_secure(self, url: str, is_secure: bool) -> None:
        assert is_secure_url(url) is is_secure
