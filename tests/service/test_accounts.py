"""Accounts: passwords, the brake on guessing them, one-time links, roles, and what each leaves in the ledger."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable
from typing import Literal

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from watchfloor_core.canonical import parse_canonical
from watchfloor_core.errors import ConfigurationError, ConflictError, NotFoundError, RefusedError
from watchfloor_core.ledger import verify_store
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import api_token, ledger_entry
from watchfloor_core.store.schema_identity import account, account_role, login_link, login_session
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import Role, Scope
from watchfloor_service.access.accounts import (
    AccountChanges,
    RoleSource,
    changing_accounts,
    list_accounts,
    load_account,
)
from watchfloor_service.access.caller import Caller, caller_of_token
from watchfloor_service.access.lockout import FREE, LONGEST_LOCK_US, begin_attempt, lock_us
from watchfloor_service.access.login_links import LIFE_US, first_link, make_link, principal_of_link, use_link
from watchfloor_service.access.passwords import MEMORY_KIB, MIN_LENGTH, Match, Passwords, faults
from watchfloor_service.access.sign_in import SignedIn, sign_in_by_password
from watchfloor_service.access.tokens import IssuedToken, create_token, verify_token

NOW = 1_700_000_000_000_000
GOOD = "blue kettle orbit"
CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


def make(store: Store, principal: str = "ana", role: Role = Role.ANALYST, tenant: str = "default") -> None:
    with changing_accounts(store, tenant, "local:root", now=NOW) as changes:
        changes.create(principal, principal.title())
        changes.grant(principal, tenant, role)


def change(store: Store, action: Callable[[AccountChanges], object], tenant: str = "default") -> None:
    with changing_accounts(store, tenant, "local:root", now=NOW) as changes:
        action(changes)


def with_password(store: Store, principal: str = "ana", password: str = GOOD) -> None:
    make(store, principal)
    with store.write() as connection:
        connection.execute(
            update(account).where(account.c.principal == principal).values(password_hash=CHEAP.hash(password))
        )


def sign_in(
    store: Store, password: str = GOOD, *, principal: str = "ana", now: int = NOW, tenant: str | None = None
) -> SignedIn | None:
    return sign_in_by_password(store, CHEAP, principal, password, tenant=tenant, home="default", now=now)


def events(store: Store, tenant: str = "default") -> list[str]:
    with store.read() as connection:
        bodies = connection.execute(
            select(ledger_entry.c.body)
            .where(ledger_entry.c.tenant == tenant, ledger_entry.c.chain == "control")
            .order_by(ledger_entry.c.seq)
        ).scalars()
        return [parse_canonical(body.encode())["body"]["event"] for body in bodies]  # type: ignore[index,call-overload,misc]  # the ledger's own JSON


def issue(store: Store, *scopes: Scope, principal: str = "ana", tenant: str = "default") -> IssuedToken:
    with store.write() as connection:
        return create_token(connection, tenant, principal, PrincipalKind.PERSON, scopes, now=NOW)


def caller(store: Store, token: IssuedToken) -> Caller | None:
    with store.read() as connection:
        live = verify_token(connection, token.text, now=NOW)
        assert live is not None
        return caller_of_token(connection, live)


class TestPasswords:
    def test_the_hash_is_argon2id_with_the_parameters_of_rfc_9106(self) -> None:
        kept = Passwords().hash(GOOD)
        assert kept.startswith(f"$argon2id$v=19$m={MEMORY_KIB},t=3,p=4$")
        assert Passwords().compare(kept, GOOD) is Match.RIGHT

    def test_two_hashes_of_one_password_differ(self) -> None:
        assert CHEAP.hash(GOOD) != CHEAP.hash(GOOD)

    def test_a_password_fits_however_the_keyboard_composed_it(self) -> None:
        composed = "très élégant café"
        assert CHEAP.compare(CHEAP.hash(unicodedata.normalize("NFD", composed)), composed) is Match.RIGHT

    def test_a_hash_with_other_parameters_is_right_and_weak(self) -> None:
        weak = PasswordHasher(time_cost=2, memory_cost=64, parallelism=1).hash(GOOD)
        assert CHEAP.compare(weak, GOOD) is Match.RIGHT_BUT_WEAK

    @pytest.mark.parametrize("kept", [None, "", "$argon2id$nonsense", "plain text"])
    def test_what_is_no_hash_fits_nothing(self, kept: str | None) -> None:
        assert CHEAP.compare(kept, GOOD) is Match.WRONG

    def test_the_dummy_that_stands_in_for_nobody_costs_the_same_and_fits_nothing(self) -> None:
        compared: list[str] = []

        class Counting(PasswordHasher):
            def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 -- argon2's own name
                compared.append(str(hash))
                return super().verify(hash, password)

        passwords = Passwords(Counting())
        assert passwords.compare(None, GOOD) is Match.WRONG
        assert compared[0].startswith(f"$argon2id$v=19$m={MEMORY_KIB},t=3,p=4$")

    @given(st.text(max_size=300))
    def test_any_text_is_answered_and_a_wrong_one_never_fits(self, text: str) -> None:
        kept = "$argon2id$v=19$m=64,t=1,p=1$QUFBQUFBQUFBQUFBQUFBQQ$" + "A" * 43
        assert CHEAP.compare(kept, text) is Match.WRONG

    @pytest.mark.parametrize(
        "password",
        [
            "short",
            "eleven chars"[:11],
            "x" * 257,
            "aaaaaaaaaaaaa",
            "abababababab",
            "Password1234!",
            "password2026!!",
            "123456789012",
            "!!!!....2026",
            "ana.example-2026",
            "AnaExample99",
            "watchfloor2026",
            "line\nbreak and more",
        ],
    )
    def test_a_password_that_is_guessed_first_is_not_taken(self, password: str) -> None:
        wrong = faults(password, "ana.example")
        assert wrong
        assert all(password not in one for one in wrong)

    @pytest.mark.parametrize("password", [GOOD, "x9 Ünïcode wörds", "correct horse 4 you all"])
    def test_others_are(self, password: str) -> None:
        assert faults(password, "ana") == []

    def test_the_length_is_counted_after_normalisation(self) -> None:
        text = "éüöäéüöäé" + "bcd"
        assert len(text) == MIN_LENGTH
        assert faults(unicodedata.normalize("NFD", text), "ana") == []
        assert faults(unicodedata.normalize("NFD", text[:-1]), "ana")


class TestLockout:
    def test_each_further_failure_doubles_the_lock_up_to_an_hour(self) -> None:
        assert [lock_us(n) // 1_000_000 for n in range(3, 10)] == [0, 0, 30, 60, 120, 240, 480]
        assert lock_us(10**9) == LONGEST_LOCK_US

    def test_five_wrong_passwords_lock_the_account_for_the_right_one_too_and_time_opens_it(self, store: Store) -> None:
        with_password(store)
        assert [sign_in(store, "wrong password!") for _ in range(FREE)] == [None] * FREE
        assert sign_in(store) is None
        assert sign_in(store, now=NOW + lock_us(FREE) - 1) is None
        assert sign_in(store, now=NOW + lock_us(FREE)) is not None

    def test_a_right_password_forgives_earlier_failures(self, sqlite_store: Store) -> None:
        with_password(sqlite_store)
        for _ in range(3):
            for _ in range(FREE - 1):
                assert sign_in(sqlite_store, "wrong password!") is None
            assert sign_in(sqlite_store) is not None

    def test_attempts_while_it_is_locked_do_not_lengthen_the_lock(self, sqlite_store: Store) -> None:
        with_password(sqlite_store)
        for _ in range(FREE + 20):
            sign_in(sqlite_store, "wrong password!")
        assert sign_in(sqlite_store, now=NOW + lock_us(FREE)) is not None

    def test_guesses_at_the_same_time_are_counted_each(self, store: Store) -> None:
        with_password(store)
        together, granted = threading.Barrier(12), []

        def guess() -> None:
            together.wait()
            granted.append(begin_attempt(store, "ana", NOW))

        threads = [threading.Thread(target=guess) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(one is not None for one in granted) == FREE

    def test_it_outlives_a_restart(self, sqlite_store: Store) -> None:
        with_password(sqlite_store)
        for _ in range(FREE):
            sign_in(sqlite_store, "wrong password!")
        with sqlite_store.read() as connection:
            found = load_account(connection, "ana")
        assert found is not None
        assert found.locked_until_us == NOW + lock_us(FREE)


class TestSigningIn:
    def test_the_right_password_opens_a_session_in_the_persons_tenant(self, store: Store) -> None:
        with_password(store)
        entered = sign_in(store)
        assert entered is not None
        assert entered.issued.session.tenant == "default"
        assert entered.issued.text not in repr(entered)
        assert events(store)[-1] == "signed_in"

    @pytest.mark.parametrize("principal", ["nobody", "ANA", "ana ", "", "'; drop table account --"])
    def test_another_name_does_not(self, sqlite_store: Store, principal: str) -> None:
        with_password(sqlite_store)
        assert sign_in(sqlite_store, principal=principal) is None

    def test_an_account_without_a_password_has_none_that_fits(self, sqlite_store: Store) -> None:
        make(sqlite_store)
        assert [sign_in(sqlite_store, password) for password in ("", "None", GOOD)] == [None] * 3

    def test_a_disabled_account_does_not_come_in_with_the_right_password(self, store: Store) -> None:
        with_password(store)
        change(store, lambda changes: changes.disable("ana"))
        assert sign_in(store) is None
        change(store, lambda changes: changes.enable("ana"))
        assert sign_in(store) is not None

    def test_a_tenant_where_the_person_has_no_role_is_refused(self, sqlite_store: Store) -> None:
        with_password(sqlite_store)
        with pytest.raises(RefusedError, match="no role in tenant 'acme'"):
            sign_in(sqlite_store, tenant="acme")
        change(sqlite_store, lambda changes: changes.revoke("ana", "default", Role.ANALYST))
        with pytest.raises(RefusedError, match="no role in any tenant"):
            sign_in(sqlite_store)

    def test_a_weak_hash_is_made_anew_by_the_right_password_only(self, sqlite_store: Store) -> None:
        make(sqlite_store)
        weak = PasswordHasher(time_cost=2, memory_cost=64, parallelism=1).hash(GOOD)
        with sqlite_store.write() as connection:
            connection.execute(update(account).values(password_hash=weak))

        def kept() -> str | None:
            with sqlite_store.read() as connection:
                found: str | None = connection.execute(select(account.c.password_hash)).scalar_one()
                return found

        assert sign_in(sqlite_store, "wrong password!") is None
        assert kept() == weak
        assert sign_in(sqlite_store) is not None
        renewed = kept()
        assert renewed != weak
        assert CHEAP.compare(renewed, GOOD) is Match.RIGHT


class TestLinks:
    def link(self, store: Store, principal: str = "ana") -> str:
        with changing_accounts(store, "default", "local:root", now=NOW) as changes:
            return make_link(changes, principal)

    def use(self, store: Store, token: str, password: str = GOOD, now: int = NOW) -> str:
        return use_link(store, CHEAP, token, password, "default", now)

    def test_it_sets_the_password_once(self, store: Store) -> None:
        make(store)
        token = self.link(store)
        assert self.use(store, token) == "ana"
        assert sign_in(store) is not None
        with pytest.raises(RefusedError):
            self.use(store, token, "another long password")
        assert sign_in(store) is not None
        assert events(store)[-4:-2] == ["link_made", "password_set"]

    def test_looking_at_it_uses_nothing_up(self, sqlite_store: Store) -> None:
        make(sqlite_store)
        token = self.link(sqlite_store)
        with sqlite_store.read() as connection:
            assert [principal_of_link(connection, token, NOW) for _ in range(3)] == ["ana"] * 3
        assert self.use(sqlite_store, token) == "ana"

    def test_of_several_at_the_same_time_one_succeeds(self, store: Store) -> None:
        make(store)
        token = self.link(store)
        together, done = threading.Barrier(6), []

        def use(number: int) -> None:
            together.wait()
            try:
                done.append((number, self.use(store, token, f"{GOOD} {number}")))
            except (RefusedError, ConflictError):
                return

        threads = [threading.Thread(target=use, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 1
        assert sign_in(store, f"{GOOD} {done[0][0]}") is not None

    def test_it_dies_after_a_day(self, sqlite_store: Store) -> None:
        make(sqlite_store)
        token = self.link(sqlite_store)
        with pytest.raises(RefusedError):
            self.use(sqlite_store, token, now=NOW + LIFE_US)
        assert self.use(sqlite_store, token, now=NOW + LIFE_US - 1) == "ana"

    def test_a_password_that_is_not_taken_leaves_it_good(self, sqlite_store: Store) -> None:
        make(sqlite_store)
        token = self.link(sqlite_store)
        with pytest.raises(ConfigurationError):
            self.use(sqlite_store, token, "password1234")
        assert self.use(sqlite_store, token) == "ana"

    def test_a_new_one_ends_the_earlier_and_so_does_disabling(self, sqlite_store: Store) -> None:
        make(sqlite_store)
        first, second = self.link(sqlite_store), self.link(sqlite_store)
        with pytest.raises(RefusedError):
            self.use(sqlite_store, first)
        change(sqlite_store, lambda changes: changes.disable("ana"))
        change(sqlite_store, lambda changes: changes.enable("ana"))
        with pytest.raises(RefusedError):
            self.use(sqlite_store, second)

    def test_it_opens_a_lock_and_ends_the_sessions(self, sqlite_store: Store) -> None:
        with_password(sqlite_store)
        assert sign_in(sqlite_store) is not None
        for _ in range(FREE):
            sign_in(sqlite_store, "wrong password!")
        self.use(sqlite_store, self.link(sqlite_store), "another long password")
        with sqlite_store.read() as connection:
            assert connection.execute(select(login_session.c.revoked_us)).scalars().all() == [NOW]
        assert sign_in(sqlite_store, "another long password") is not None

    def test_a_disabled_account_gets_none(self, sqlite_store: Store) -> None:
        make(sqlite_store)
        change(sqlite_store, lambda changes: changes.disable("ana"))
        with pytest.raises(ConfigurationError, match="disabled"):
            self.link(sqlite_store)

    def test_the_store_holds_no_token(self, sqlite_store: Store) -> None:
        make(sqlite_store)
        token = self.link(sqlite_store)
        with sqlite_store.read() as connection:
            assert token.encode() not in repr(connection.execute(select(login_link)).all()).encode()
            assert token not in repr(connection.execute(select(ledger_entry.c.body)).all())

    def test_the_first_start_makes_one_account_for_all_that_start_together(self, store: Store) -> None:
        together, made = threading.Barrier(4), []

        def start() -> None:
            together.wait()
            made.append(first_link(store, "acme", "local:root"))

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(one is not None for one in made) == 1
        assert first_link(store, "acme", "local:root") is None
        with store.read() as connection:
            (found,) = list_accounts(connection, "acme")
        assert found.roles == {"acme": frozenset({Role.ADMIN, Role.LEAD})}


class TestAccounts:
    @pytest.mark.parametrize(
        "principal", ["Ana", "", "a b", "local:root", "oidc:0123", "x" * 65, "ana\n", "-ana", "a\u0430na"]
    )
    def test_a_name_that_could_be_taken_for_another_is_refused(self, sqlite_store: Store, principal: str) -> None:
        with pytest.raises(ConfigurationError):
            change(sqlite_store, lambda changes: changes.create(principal, "Somebody"))

    def test_a_name_is_given_once(self, store: Store) -> None:
        make(store)
        with pytest.raises(ConflictError):
            make(store)
        assert events(store) == ["account_created", "role_granted"]

    def test_a_program_and_a_person_never_share_a_name(self, sqlite_store: Store) -> None:
        make(sqlite_store)
        with sqlite_store.write() as connection:
            create_token(connection, "default", "edge", PrincipalKind.SERVICE, [Scope.ALERTS_WRITE])
            for kind in (PrincipalKind.SERVICE, PrincipalKind.AGENT):
                with pytest.raises(ConfigurationError, match="person's account"):
                    create_token(connection, "default", "ANA", kind, [Scope.INCIDENTS_READ])
            with pytest.raises(ConfigurationError, match="spell it"):
                create_token(connection, "default", "Ana", PrincipalKind.PERSON, [Scope.INCIDENTS_READ])
        with pytest.raises(ConfigurationError, match="service or an agent"):
            make(sqlite_store, "edge")

    def test_roles_are_granted_and_taken_back_in_one_tenant(self, store: Store) -> None:
        make(store)
        change(store, lambda changes: changes.grant("ana", "acme", Role.LEAD), "acme")
        change(store, lambda changes: changes.revoke("ana", "default", Role.ANALYST))
        with store.read() as connection:
            found = load_account(connection, "ana")
            assert [one.principal for one in list_accounts(connection, "acme")] == ["ana"]
            assert list_accounts(connection, "default") == []
        assert found is not None
        assert found.roles == {"acme": frozenset({Role.LEAD})}
        assert events(store, "acme") == ["role_granted"]
        assert events(store) == ["account_created", "role_granted", "role_revoked"]
        with store.read() as connection:
            assert verify_store(connection, "default").ok

    def test_a_change_that_is_none_leaves_no_entry(self, sqlite_store: Store) -> None:
        make(sqlite_store)
        before = events(sqlite_store)
        change(sqlite_store, lambda changes: changes.grant("ana", "default", Role.ANALYST))
        change(sqlite_store, lambda changes: changes.revoke("ana", "default", Role.LEAD))
        change(sqlite_store, lambda changes: changes.enable("ana"))
        assert events(sqlite_store) == before

    def test_a_role_that_the_provider_gave_is_not_taken_back_by_hand_and_the_other_way_round(
        self, sqlite_store: Store
    ) -> None:
        make(sqlite_store)
        change(sqlite_store, lambda changes: changes.grant("ana", "default", Role.ANALYST, RoleSource.OIDC))
        change(sqlite_store, lambda changes: changes.revoke("ana", "default", Role.ANALYST, RoleSource.OIDC))
        with sqlite_store.read() as connection:
            found = load_account(connection, "ana")
        assert found is not None
        assert found.roles == {"default": frozenset({Role.ANALYST})}

    def test_nobody_who_is_not_there_gets_anything(self, sqlite_store: Store) -> None:
        for action in (
            lambda changes: changes.grant("nobody", "default", Role.LEAD),
            lambda changes: changes.disable("nobody"),
            lambda changes: make_link(changes, "nobody"),
        ):
            with pytest.raises(NotFoundError):
                change(sqlite_store, action)

    def test_a_role_of_a_newer_version_allows_nothing(self, sqlite_store: Store) -> None:
        make(sqlite_store)
        with sqlite_store.write() as connection:
            connection.execute(update(account_role).values(role="emperor"))
        with sqlite_store.read() as connection:
            found = load_account(connection, "ana")
        assert found is not None
        assert found.roles == {}


class TestTokensOfPeople:
    def test_a_token_gives_what_both_it_and_the_role_allow(self, store: Store) -> None:
        make(store, role=Role.VIEWER)
        token = issue(store, Scope.INCIDENTS_READ, Scope.APPROVALS_DECIDE, Scope.ALERTS_WRITE)
        found = caller(store, token)
        assert found is not None
        assert (found.scopes, found.roles) == (frozenset({Scope.INCIDENTS_READ}), frozenset({Role.VIEWER}))
        change(store, lambda changes: changes.grant("ana", "default", Role.RESPONDER))
        found = caller(store, token)
        assert found is not None
        assert found.scopes == frozenset({Scope.INCIDENTS_READ, Scope.APPROVALS_DECIDE})

    def test_a_role_in_another_tenant_gives_nothing_in_this_one(self, sqlite_store: Store) -> None:
        make(sqlite_store, role=Role.LEAD, tenant="acme")
        found = caller(sqlite_store, issue(sqlite_store, Scope.INCIDENTS_READ, tenant="default"))
        assert found is not None
        assert (found.scopes, found.roles) == (frozenset(), frozenset())

    def test_of_a_disabled_account_it_is_dead(self, store: Store) -> None:
        make(store)
        token = issue(store, Scope.INCIDENTS_READ)
        change(store, lambda changes: changes.disable("ana"))
        assert caller(store, token) is None

    def test_without_an_account_the_roles_are_those_that_the_scopes_amount_to(self, sqlite_store: Store) -> None:
        found = caller(sqlite_store, issue(sqlite_store, *Scope, principal="local:root"))
        assert found is not None
        assert found.roles == frozenset(Role)
        few = caller(sqlite_store, issue(sqlite_store, Scope.APPROVALS_DECIDE, principal="bo"))
        assert few is not None
        assert few.roles == frozenset()


@pytest.mark.parametrize("kind", ["service", "agent", "deity"])
def test_a_row_that_gives_a_program_a_persons_scopes_gives_it_none_of_them(store: Store, kind: str) -> None:
    token = issue(store, *Scope)
    with store.write() as connection:
        connection.execute(update(api_token).values(kind=kind))
    found = caller(store, token)
    assert found is not None
    assert found.kind is not PrincipalKind.PERSON
    assert found.roles == frozenset()
    assert not found.scopes & {
        Scope.INCIDENTS_DECIDE, Scope.APPROVALS_DECIDE, Scope.KILL_ENGAGE, Scope.POLICY_WRITE, Scope.ACCOUNTS_WRITE
    }  # fmt: skip
    if kind == "deity":
        assert found.scopes == frozenset()


def test_an_account_made_by_hand_in_a_programs_name_gives_the_program_no_role(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        issued = create_token(connection, "default", "edge", PrincipalKind.SERVICE, [Scope.ALERTS_WRITE], now=NOW)
        connection.execute(
            insert(account).values(principal="edge", display_name="Edge", created_us=NOW, failed_count=0)
        )
        connection.execute(
            insert(account_role).values(
                principal="edge", tenant="default", role="lead", source="local", granted_by="x", granted_us=NOW
            )
        )
    found = caller(sqlite_store, issued)
    assert found is not None
    assert (found.scopes, found.roles) == (frozenset({Scope.ALERTS_WRITE}), frozenset())
