"""API tokens: what is kept of them, what opens a door, and when they stop doing so."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy import select, update

from watchfloor_core.errors import ConfigurationError, NotFoundError
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import api_token
from watchfloor_service.access.operator_token import operator_token
from watchfloor_service.access.tokens import (
    DAY_US,
    IssuedToken,
    PrincipalKind,
    Scope,
    create_token,
    list_tokens,
    revoke_token,
    verify_token,
)

NOW = 1_700_000_000_000_000


def issue(store: Store, tenant: str = "default", principal: str = "edge-siem", *, days: int = 90) -> IssuedToken:
    with store.write() as connection:
        return create_token(
            connection, tenant, principal, PrincipalKind.SERVICE, [Scope.ALERTS_WRITE], days=days, now=NOW
        )


def test_a_token_verifies_and_tells_whose_it_is(store: Store) -> None:
    issued = issue(store, "acme")
    with store.read() as connection:
        token = verify_token(connection, issued.text, now=NOW)
    assert token == issued.token
    assert (token.tenant, token.principal, token.scopes) == ("acme", "edge-siem", frozenset({Scope.ALERTS_WRITE}))


def test_the_store_holds_no_secret(sqlite_store: Store) -> None:
    issued = issue(sqlite_store)
    secret = issued.text.split("_", 2)[2]
    with sqlite_store.read() as connection:
        row = connection.execute(select(api_token)).one()
    assert secret.encode() not in b"".join(
        bytes(value) if isinstance(value, bytes) else str(value).encode() for value in row
    )
    assert secret not in repr(issued)
    assert len(secret) == 43


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"),
        lambda text: text.replace("wf_", "xx_", 1),
        lambda text: text + "=",
        lambda text: text.rsplit("_", 1)[0],
        lambda text: "wf_0000000000000000_" + text.split("_", 2)[2],
        lambda text: "",
        lambda text: "wf__",
        lambda text: "wf_" + "\u00e9" * 16 + "_x",
        lambda text: "wf_\udcff" + "0" * 15 + "_\udcff",
    ],
)
def test_any_other_text_opens_nothing(sqlite_store: Store, damage: object) -> None:
    issued = issue(sqlite_store)
    assert callable(damage)
    with sqlite_store.read() as connection:
        assert verify_token(connection, damage(issued.text), now=NOW) is None


def test_a_token_dies_at_its_expiry(sqlite_store: Store) -> None:
    issued = issue(sqlite_store, days=1)
    with sqlite_store.read() as connection:
        assert verify_token(connection, issued.text, now=NOW + DAY_US - 1) is not None
        assert verify_token(connection, issued.text, now=NOW + DAY_US) is None


def test_a_revoked_token_opens_nothing_from_that_moment(store: Store) -> None:
    issued = issue(store)
    with store.write() as connection:
        revoke_token(connection, "default", issued.token.id, now=NOW + 1)
        again = revoke_token(connection, "default", issued.token.id, now=NOW + 9)
    assert again.revoked_us == NOW + 1
    with store.read() as connection:
        assert verify_token(connection, issued.text, now=NOW + 2) is None


def test_another_tenant_can_neither_revoke_nor_list_a_token(sqlite_store: Store) -> None:
    issued = issue(sqlite_store, "acme")
    with sqlite_store.write() as connection:
        with pytest.raises(NotFoundError):
            revoke_token(connection, "other", issued.token.id)
        assert list_tokens(connection, "other") == []
        assert [token.id for token in list_tokens(connection, "acme")] == [issued.token.id]


def test_everything_wrong_with_a_request_is_said_at_once(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection, pytest.raises(ConfigurationError) as raised:
        create_token(connection, "A B", "x\n", PrincipalKind.SERVICE, [Scope.INCIDENTS_DECIDE], days=366)
    assert len(raised.value.problems) == 4


def test_only_a_persons_token_may_decide(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        with pytest.raises(ConfigurationError, match="only a person decides"):
            create_token(connection, "default", "bot", PrincipalKind.SERVICE, [Scope.INCIDENTS_DECIDE])
        create_token(connection, "default", "ana", PrincipalKind.PERSON, [Scope.INCIDENTS_DECIDE])


def test_a_scope_of_a_newer_version_allows_nothing(sqlite_store: Store) -> None:
    issued = issue(sqlite_store)
    with sqlite_store.write() as connection:
        connection.execute(update(api_token).values(scopes=["everything:do", "alerts:write"]))
    with sqlite_store.read() as connection:
        token = verify_token(connection, issued.text, now=NOW)
    assert token is not None
    assert token.scopes == frozenset({Scope.ALERTS_WRITE})


class TestOperatorToken:
    def test_it_is_made_once_private_and_for_the_user_of_this_machine(
        self, sqlite_store: Store, tmp_path: Path
    ) -> None:
        first = operator_token(sqlite_store, tmp_path, "default")
        file = tmp_path / "operator.token"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text().strip() == first
        assert operator_token(sqlite_store, tmp_path, "default") == first
        with sqlite_store.read() as connection:
            token = verify_token(connection, first)
        assert token is not None
        assert token.kind is PrincipalKind.PERSON
        assert token.principal.startswith("local:")

    def test_each_tenant_has_its_own(self, sqlite_store: Store, tmp_path: Path) -> None:
        ours, theirs = (operator_token(sqlite_store, tmp_path, tenant) for tenant in ("default", "demo"))
        assert ours != theirs
        assert operator_token(sqlite_store, tmp_path, "demo") == theirs
        assert (tmp_path / "operator-demo.token").read_text().strip() == theirs

    def test_a_file_that_others_can_read_is_refused(self, sqlite_store: Store, tmp_path: Path) -> None:
        operator_token(sqlite_store, tmp_path, "default")
        (tmp_path / "operator.token").chmod(0o644)
        with pytest.raises(ConfigurationError, match="chmod 600"):
            operator_token(sqlite_store, tmp_path, "default")

    def test_a_link_in_its_place_is_refused(self, sqlite_store: Store, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_text("wf_x_y")
        elsewhere.chmod(0o600)
        (tmp_path / "operator.token").symlink_to(elsewhere)
        with pytest.raises(ConfigurationError):
            operator_token(sqlite_store, tmp_path, "default")

    def test_an_expired_one_is_replaced_and_a_revoked_one_is_not(self, sqlite_store: Store, tmp_path: Path) -> None:
        first = operator_token(sqlite_store, tmp_path, "default")
        with sqlite_store.write() as connection:
            connection.execute(update(api_token).values(expires_us=1))
        second = operator_token(sqlite_store, tmp_path, "default")
        assert second != first
        with sqlite_store.write() as connection:
            revoke_token(connection, "default", second.split("_")[1])
        with pytest.raises(ConfigurationError, match="revoked"):
            operator_token(sqlite_store, tmp_path, "default")

    def test_one_from_before_there_were_all_of_todays_scopes_is_replaced(
        self, sqlite_store: Store, tmp_path: Path
    ) -> None:
        first = operator_token(sqlite_store, tmp_path, "default")
        with sqlite_store.write() as connection:
            connection.execute(update(api_token).values(scopes=["alerts:write", "incidents:decide"]))
        second = operator_token(sqlite_store, tmp_path, "default")
        assert second != first
        with sqlite_store.read() as connection:
            token = verify_token(connection, second)
        assert token is not None
        assert token.scopes == frozenset(Scope)

    def test_starts_at_the_same_time_end_with_one_file_whose_token_is_live(
        self, sqlite_store: Store, tmp_path: Path
    ) -> None:
        together = threading.Barrier(4)
        texts: list[str] = []

        def start() -> None:
            together.wait()
            texts.append(operator_token(sqlite_store, tmp_path, "default"))

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with sqlite_store.read() as connection:
            assert all(verify_token(connection, text) for text in texts)
            assert verify_token(connection, (tmp_path / "operator.token").read_text().strip())
        assert [name for name in os.listdir(tmp_path) if name.startswith(".operator")] == []
