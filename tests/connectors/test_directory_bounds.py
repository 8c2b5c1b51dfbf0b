"""A directory server that is broken, or somebody else's: whatever it sends, a question ends and fits into memory."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from types import SimpleNamespace

import pytest

from watchfloor_connectors.context import directory
from watchfloor_connectors.context.account_names import Condition, Naming
from watchfloor_connectors.context.accounts import Layout
from watchfloor_connectors.context.answer_bounds import MAX_ANSWER_BYTES, MAX_QUESTION_BYTES, Bounds
from watchfloor_connectors.context.directory import BATCH, DirectorySource, Found
from watchfloor_connectors.context.directory_session import Place, ldap_session, trusting
from watchfloor_core.alert import EntityKind
from watchfloor_core.context import ContextKind, Facts, LookUp
from watchfloor_core.errors import UnavailableError
from watchfloor_core.logs.query import EntityRef
from watchfloor_core.logs.source import Health

DN = b"CN=ann,DC=corp"
BIND, UNBIND = 0x60, 0x42
NAMING = Naming(layout=Layout.AD, attribute="sAMAccountName", domain="corp")


def tlv(tag: int, content: bytes) -> bytes:
    """BER, with a length of four bytes."""
    return bytes([tag, 0x84]) + len(content).to_bytes(4, "big") + content


def message(number: int, operation: bytes) -> bytes:
    return tlv(0x30, tlv(0x02, number.to_bytes(4, "big")) + operation)


def success(tag: int) -> bytes:
    return tlv(tag, tlv(0x0A, b"\0") + tlv(0x04, b"") + tlv(0x04, b""))


def entry(attributes: Mapping[str, bytes]) -> bytes:
    """Of an account, with one value of each attribute."""
    told = [tlv(0x30, tlv(0x04, name.encode()) + tlv(0x31, tlv(0x04, value))) for name, value in attributes.items()]
    return tlv(0x64, tlv(0x04, DN) + tlv(0x30, b"".join(told)))


def asked(connection: socket.socket) -> tuple[int, int]:
    """The number of the next request and its kind; none where the client has gone."""
    with connection.makefile("rb", buffering=0) as file:
        head = file.read(2)
        if not head or len(head) < 2:
            return 0, UNBIND
        size = head[1] if head[1] < 0x80 else int.from_bytes(file.read(head[1] & 0x7F) or b"", "big")
        body = b""
        while len(body) < size:
            body += file.read(size - len(body)) or b""
    end = 2 + body[1]
    return int.from_bytes(body[2:end], "big"), body[end]


Answer = Callable[[socket.socket, int], None]
"""Is given the connection, and the number of a search."""


@contextmanager
def answering(answer: Answer) -> Iterator[int]:
    """A server for one connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            # The client hangs up where it has had enough.
            with connection, suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while True:
                    number, kind = asked(connection)
                    if kind == UNBIND:
                        return
                    if kind == BIND:
                        connection.sendall(message(number, success(0x61)))
                    else:
                        answer(connection, number)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def place(port: int, timeout_s: float = 60, *, is_encrypted: bool = False) -> Place:
    return Place(
        host="127.0.0.1",
        port=port,
        tls=trusting(None) if is_encrypted else None,
        start_tls=False,
        base_dn="DC=corp",
        bind_dn="CN=reader",
        timeout_s=timeout_s,
    )


def ask(where: Place) -> Facts:
    source = DirectorySource("corp", NAMING, lambda: ldap_session(where, lambda: "s3cret"), timeout_s=where.timeout_s)
    return source.look_up(users("ann"))


def users(*names: str) -> LookUp:
    return LookUp(kind=ContextKind.DIRECTORY, entities=tuple(EntityRef(EntityKind.USER, one) for one in names))


def dark(facts: Facts, where: Place) -> str:
    assert (facts.facts, facts.coverage.health) == ((), Health.DARK)
    return facts.coverage.reason.removeprefix(f"127.0.0.1:{where.port} ")


ANN = entry({"sAMAccountName": b"ann", "displayName": b"Ann Keane"})


class TestServer:
    def test_one_that_answers_is_understood(self) -> None:
        def answer(connection: socket.socket, number: int) -> None:
            connection.sendall(message(number, ANN) + message(number, success(0x65)))

        with answering(answer) as port:
            found = ask(place(port))
        assert [one.fields["account.display_name"] for one in found.facts] == ["Ann Keane"]
        assert found.coverage.health is Health.WHOLE

    def test_one_that_never_stops_for_long_and_never_ends_is_late(self) -> None:
        def answer(connection: socket.socket, number: int) -> None:
            whole = message(number, entry({"sAMAccountName": b"ann", "displayName": b"A" * 1_000_000}))
            for byte in whole + message(number, success(0x65)):
                connection.sendall(bytes([byte]))

        with answering(answer) as port:
            where = place(port, timeout_s=0.2)
            assert dark(ask(where), where) == "did not answer in time"

    def test_an_answer_without_end_is_not_read_to_its_end(self) -> None:
        sent = 0

        def answer(connection: socket.socket, number: int) -> None:
            nonlocal sent
            other = message(number, entry({"sAMAccountName": b"other", "displayName": b"A" * 20_000}))
            while sent < 4 * MAX_QUESTION_BYTES:
                connection.sendall(other)
                sent += len(other)
            connection.sendall(message(number, success(0x65)))

        with answering(answer) as port:
            where = place(port)
            assert dark(ask(where), where) == "answers one search with more than 2 MiB"
        assert sent < 4 * MAX_QUESTION_BYTES

    def test_one_that_has_ever_more_values_is_not_asked_for_them(self) -> None:
        searches = 0

        def answer(connection: socket.socket, number: int) -> None:
            nonlocal searches
            searches += 1
            if searches > 20:
                raise ConnectionAbortedError
            ranged = entry({"sAMAccountName": b"ann", "memberOf;range=0-1499": b"CN=staff,DC=corp"})
            connection.sendall(message(number, ranged) + message(number, success(0x65)))

        with answering(answer) as port:
            found = ask(place(port))
        assert [one.fields["account.name"] for one in found.facts] == ["ann"]
        assert searches == 3, "one for the account, one for its groups, one for theirs"

    def test_one_that_does_not_even_begin_tls_is_late_and_not_distrusted(self) -> None:
        # It takes connections, and says nothing.
        with socket.create_server(("127.0.0.1", 0)) as listening:
            where = place(listening.getsockname()[1], timeout_s=0.2, is_encrypted=True)
            assert dark(ask(where), where) == "did not answer in time"

    def test_no_address_is_tried_when_the_time_is_over(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            where = place(listening.getsockname()[1], timeout_s=0)
            assert dark(ask(where), where) == "did not answer in time"
            with pytest.raises(BlockingIOError):
                listening.accept()


def test_many_answers_that_are_each_short_enough_are_too_much_together() -> None:
    bounds = Bounds(60)
    for _ in range(MAX_QUESTION_BYTES // MAX_ANSWER_BYTES):
        bounds.begin_answer()
        bounds.count(MAX_ANSWER_BYTES)
    assert bounds.broken() is None
    bounds.begin_answer()
    with pytest.raises(OSError, match="answers one question with more than 16 MiB"):
        bounds.count(1)
    assert bounds.broken() == "answers one question with more than 16 MiB"


class Stalling:
    """A session that answers so many searches, and then none until the time is over."""

    def __init__(self, answers: int, took_s: float) -> None:
        self._answers = answers
        self._took_s = took_s
        self.now_s = 0.0

    def search(
        self, any_of: Sequence[Condition], attributes: Sequence[str], limit: int, object_class: str | None = None
    ) -> Found:
        if self._answers:
            self._answers -= 1
            entries = [(DN.decode(), {"samaccountname": [value.encode()]}) for _, value in any_of[:1]]
            return Found(entries, is_cut=False)
        self.now_s += self._took_s
        raise UnavailableError("it did not answer in time")


class TestStalling:
    """Of a server that ends in the middle of a question, what it has said is told."""

    def stalled(self, monkeypatch: pytest.MonkeyPatch, answers: int, *names: str, took_s: float = 10) -> Facts:
        session = Stalling(answers, took_s)
        monkeypatch.setattr(directory, "time", SimpleNamespace(monotonic=lambda: session.now_s))
        return DirectorySource("corp", NAMING, lambda: nullcontext(session), timeout_s=10).look_up(users(*names))

    def test_accounts_whose_groups_come_too_late_are_told_without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.stalled(monkeypatch, 1, "ann")
        assert [one.fields["account.name"] for one in found.facts] == ["ann"]
        assert found.coverage.health is Health.PARTIAL
        assert found.coverage.reason == "the groups of 1 accounts were not asked for in time"

    def test_accounts_of_the_first_names_are_told_without_the_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.stalled(monkeypatch, 1, *(f"u{number:03}" for number in range(BATCH + 1)))
        assert [one.fields["account.name"] for one in found.facts] == ["u000"]
        assert "not all names were asked for in time" in found.coverage.reason

    @pytest.mark.parametrize(("answers", "took_s"), [(0, 10), (1, 0)], ids=["nothing was said", "there was time"])
    def test_else_nothing_is(self, monkeypatch: pytest.MonkeyPatch, answers: int, took_s: float) -> None:
        found = self.stalled(monkeypatch, answers, "ann", took_s=took_s)
        assert (found.coverage.health, found.coverage.reason) == (Health.DARK, "it did not answer in time")
