"""Making checkpoints: what they state, that they only grow, and that nothing bad is signed."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, func, select, update

from watchfloor_core.dsse import Signer
from watchfloor_core.errors import LedgerError, RefusedError
from watchfloor_core.ledger import (
    GENESIS,
    Checkpoint,
    Decision,
    FaultKind,
    Trust,
    entry_hash,
    export_ledger,
    last_checkpoint,
    ledger_tenants,
    make_checkpoint,
    open_checkpoint,
    read_checkpoints,
    record_decisions,
    sign_checkpoint,
    verify_file,
    verify_store,
)
from watchfloor_core.ledger.checkpoint_store import read_reaches
from watchfloor_core.ledger.heads import Head
from watchfloor_core.ledger.merkle import merkle_root, root_of
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.schema import ledger_entry, ledger_head
from watchfloor_core.store.schema_authority import ledger_checkpoint, ledger_checkpoint_chain

TENANT = "acme"
FIRST, SECOND = "inc-0000000000000001", "inc-0000000000000002"
PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "ledger-format.md"
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(b"\x01" * 32))
TRUST = Trust({SIGNER.key_id: SIGNER.public_key})


def record(store: Store, *chains: str, tenant: str = TENANT) -> None:
    with store.write() as connection:
        record_decisions(
            connection,
            tenant,
            [Decision(chain, "verdict", {"n": n}, "verdict", n, n) for n, chain in enumerate(chains)],
        )


def make(store: Store) -> Checkpoint:
    made = make_checkpoint(store, TENANT, SIGNER)
    assert made is not None
    return made


def bodies(store: Store) -> dict[tuple[str, int], bytes]:
    with store.read() as connection:
        rows = connection.execute(select(ledger_entry.c.chain, ledger_entry.c.seq, ledger_entry.c.body)).all()
    return {(chain, seq): body.encode() for chain, seq, body in rows}


def test_a_checkpoint_states_the_heads_and_exactly_the_entries_that_came_since_the_last(store: Store) -> None:
    record(store, FIRST, FIRST, "ingest")
    one = make(store)
    record(store, SECOND, FIRST)
    two = make(store)
    kept = bodies(store)

    first = [kept[FIRST, 1], kept[FIRST, 2], kept["ingest", 1]]
    assert (one.number, one.entries, one.chains, one.added, one.prev) == (1, 3, 2, 3, GENESIS)
    assert one.tree == merkle_root(first).hex()
    assert one.root == root_of(
        TENANT, {FIRST: Head(2, entry_hash(kept[FIRST, 2])), "ingest": Head(1, entry_hash(kept["ingest", 1]))}
    )
    assert (two.number, two.entries, two.chains, two.added, two.prev) == (2, 5, 3, 2, one.digest)
    assert two.tree == merkle_root([kept[FIRST, 3], kept[SECOND, 1]]).hex()
    with store.read() as connection:
        assert read_reaches(connection, TENANT, 1) == [(FIRST, 2), ("ingest", 1)]
        assert read_reaches(connection, TENANT, 2) == [(FIRST, 3), (SECOND, 1)]
        assert last_checkpoint(connection, TENANT) == two
        (signed, _) = read_checkpoints(connection, TENANT)
    assert open_checkpoint(signed.envelope, signed.public_key, TRUST.keys) == (one, SIGNER.key_id)


def test_where_nothing_came_there_is_no_checkpoint(store: Store) -> None:
    assert make_checkpoint(store, TENANT, SIGNER) is None
    record(store, FIRST)
    make(store)
    assert make_checkpoint(store, TENANT, SIGNER) is None
    record(store, FIRST, tenant="globex")
    assert make_checkpoint(store, TENANT, SIGNER) is None


def test_each_tenant_has_checkpoints_of_its_own(store: Store) -> None:
    record(store, FIRST)
    record(store, FIRST, SECOND, tenant="globex")
    make(store)
    other = make_checkpoint(store, "globex", SIGNER)
    assert other is not None
    assert (other.number, other.entries) == (1, 2)
    with store.read() as connection:
        assert ledger_tenants(connection) == [TENANT, "globex"]
        for tenant in (TENANT, "globex"):
            assert verify_store(connection, tenant, TRUST).ok


def test_a_clock_that_was_set_back_does_not_turn_the_order_of_checkpoints(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([5_000, 3_000])
    monkeypatch.setattr("watchfloor_core.ledger.checkpoint_store.now_us", lambda: next(times))
    record(store, FIRST)
    assert make(store).at_us == 5_000
    record(store, FIRST)
    assert make(store).at_us == 5_000


def test_a_store_and_its_export_say_what_checkpoints_vouch_for(store: Store, tmp_path: Path) -> None:
    record(store, FIRST, SECOND)
    make(store)
    record(store, SECOND)
    last = make(store)
    record(store, FIRST)
    with store.read() as connection:
        written = export_ledger(connection, TENANT, tmp_path / "ledger.ndjson")
        in_place = verify_store(connection, TENANT, TRUST)
    in_file = verify_file(tmp_path / "ledger.ndjson", trust=TRUST)
    assert in_file == in_place
    assert in_file.ok
    assert (in_file.entries, written.checkpoints) == (4, 2)
    assert in_file.coverage is not None
    assert (in_file.coverage.checkpoints, in_file.coverage.entries, in_file.coverage.digest) == (2, 3, last.digest)
    assert (in_file.coverage.key_ids, in_file.coverage.is_pinned) == ((SIGNER.key_id,), True)
    unpinned = verify_file(tmp_path / "ledger.ndjson").coverage
    assert unpinned is not None
    assert (unpinned.key_ids, unpinned.is_pinned) == ((SIGNER.key_id,), False)


def test_a_checkpoint_of_thousands_of_chains_takes_several_lines(sqlite_store: Store, tmp_path: Path) -> None:
    chains = [f"inc-{number:016x}" for number in range(2_500)]
    record(sqlite_store, *chains)
    make(sqlite_store)
    path = tmp_path / "ledger.ndjson"
    with sqlite_store.read() as connection:
        export_ledger(connection, TENANT, path)
    lines = path.read_bytes().splitlines(keepends=True)
    reached = [index for index, line in enumerate(lines) if line.startswith(b'{"reached"')]
    assert len(reached) == 3
    assert verify_file(path, trust=TRUST).ok
    for changed in (lines[: reached[0]] + lines[reached[1] :], lines[: reached[2]] + lines[reached[2] + 1 :]):
        path.write_bytes(b"".join(changed))
        fault = verify_file(path).fault
        assert fault is not None
        assert fault.kind is FaultKind.CHECKPOINT


def test_key_rotation_keeps_earlier_checkpoints_verifiable(store: Store) -> None:
    new = Signer(Ed25519PrivateKey.from_private_bytes(b"\x02" * 32))
    record(store, FIRST)
    make(store)
    record(store, FIRST)
    assert make_checkpoint(store, TENANT, new) is not None
    both = Trust({SIGNER.key_id: SIGNER.public_key, new.key_id: new.public_key})
    with store.read() as connection:
        assert verify_store(connection, TENANT, both).ok
        fault = verify_store(connection, TENANT, TRUST).fault
    assert fault is not None
    assert fault.kind is FaultKind.SIGNATURE
    assert new.key_id in fault.found


def test_a_checkpoint_under_another_number_is_named_in_the_store(sqlite_store: Store) -> None:
    record(sqlite_store, FIRST)
    make(sqlite_store)
    with sqlite_store.write() as connection:
        for table in (ledger_checkpoint, ledger_checkpoint_chain):
            connection.execute(update(table).values(number=4))
    with sqlite_store.read() as connection:
        fault = verify_store(connection, TENANT, TRUST).fault
    assert fault is not None
    assert (fault.kind, fault.found) == (FaultKind.COLUMN, "4 in the column")


def test_an_export_of_one_chain_has_no_checkpoints_and_says_so_where_a_key_is_given(
    store: Store, tmp_path: Path
) -> None:
    record(store, FIRST, SECOND)
    make(store)
    with store.read() as connection:
        export_ledger(connection, TENANT, tmp_path / "one.ndjson", FIRST)
    report = verify_file(tmp_path / "one.ndjson")
    assert (report.ok, report.coverage) == (True, None)
    fault = verify_file(tmp_path / "one.ndjson", trust=TRUST).fault
    assert fault is not None
    assert (fault.kind, fault.found) == (FaultKind.SIGNATURE, f"an export of chain {FIRST}, which has none")


WRITER = """
import sys
from watchfloor_core.ledger import Decision, record_decisions
from watchfloor_core.store.engine import open_store
store = open_store(sys.argv[1])
for number in range(60):
    with store.write() as connection:
        decisions = [Decision(f"inc-{n}", "verdict", {"n": n}, "verdict", n, n) for n in (number % 7, number)]
        record_decisions(connection, "acme", sorted(decisions, key=lambda one: one.chain))
"""


def test_makers_at_the_same_time_and_beside_writers_leave_no_gap_and_no_lie(store: Store, store_url: str) -> None:
    """Three makers race each other while two processes record decisions."""
    failures: list[Exception] = []
    done = threading.Event()

    def keep_making() -> None:
        mine = open_store(store_url)
        try:
            while not done.is_set():
                make_checkpoint(mine, TENANT, SIGNER)
        except Exception as error:  # noqa: BLE001  whatever it is, the test must see it
            failures.append(error)
        finally:
            mine.close()

    makers = [threading.Thread(target=keep_making) for _ in range(3)]
    for maker in makers:
        maker.start()
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, store_url]) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    done.set()
    for maker in makers:
        maker.join()
    assert failures == []
    make_checkpoint(store, TENANT, SIGNER)

    with store.read() as connection:
        numbers = connection.execute(select(ledger_checkpoint.c.number).order_by(ledger_checkpoint.c.number))
        numbers_found = list(numbers.scalars())
        report = verify_store(connection, TENANT, TRUST)
    assert numbers_found == list(range(1, len(numbers_found) + 1))
    assert len(numbers_found) > 2
    assert report.fault is None
    assert report.coverage is not None
    assert report.coverage.entries == report.entries == 240


def test_the_second_of_two_makers_of_one_number_has_made_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    record(store, FIRST)

    def sign_late(checkpoint: Checkpoint, signer: Signer) -> object:
        monkeypatch.undo()
        make(store)
        return sign_checkpoint(checkpoint, signer)

    monkeypatch.setattr("watchfloor_core.ledger.checkpoint_store.sign_checkpoint", sign_late)
    assert make_checkpoint(store, TENANT, SIGNER) is None
    with store.read() as connection:
        assert connection.scalar(select(func.count()).select_from(ledger_checkpoint)) == 1
        assert connection.scalar(select(func.count()).select_from(ledger_checkpoint_chain)) == 1


class TestNothingBadIsSigned:
    @pytest.fixture
    def filled(self, sqlite_store: Store) -> Store:
        record(sqlite_store, FIRST, FIRST, SECOND)
        make(sqlite_store)
        record(sqlite_store, FIRST, FIRST)
        return sqlite_store

    def test_an_edited_new_entry(self, filled: Store) -> None:
        with filled.write() as connection:
            connection.execute(
                update(ledger_entry)
                .where(ledger_entry.c.chain == FIRST, ledger_entry.c.seq == 3)
                .values(body=func.replace(ledger_entry.c.body, '"n":0', '"n":9'))
            )
        with pytest.raises(LedgerError, match=r"entry 3 of chain 'inc-0000000000000001' was changed"):
            make_checkpoint(filled, TENANT, SIGNER)

    def test_a_missing_new_entry(self, filled: Store) -> None:
        with filled.write() as connection:
            connection.execute(delete(ledger_entry).where(ledger_entry.c.chain == FIRST, ledger_entry.c.seq == 4))
        with pytest.raises(LedgerError, match=r"ends with entry 3, not as its head says"):
            make_checkpoint(filled, TENANT, SIGNER)

    def test_a_new_entry_that_does_not_follow_what_was_signed(self, filled: Store) -> None:
        with filled.write() as connection:
            connection.execute(
                update(ledger_entry).where(ledger_entry.c.chain == FIRST, ledger_entry.c.seq == 2).values(hash="0" * 64)
            )
        with pytest.raises(LedgerError, match=r"entry 3 of chain"):
            make_checkpoint(filled, TENANT, SIGNER)

    def test_a_deleted_chain_behind_more_new_entries_than_it_had(self, filled: Store) -> None:
        with filled.write() as connection:
            connection.execute(delete(ledger_head).where(ledger_head.c.chain == SECOND))
        with pytest.raises(LedgerError, match=r"a chain or a mark of the checkpoint is missing"):
            make_checkpoint(filled, TENANT, SIGNER)

    def test_fewer_entries_than_were_signed(self, filled: Store) -> None:
        with filled.write() as connection:
            connection.execute(update(ledger_head).where(ledger_head.c.chain == FIRST).values(seq=1))
        with pytest.raises(LedgerError, match=r"has 2 entries, its last checkpoint 3: entries are missing"):
            make_checkpoint(filled, TENANT, SIGNER)

    def test_behind_a_changed_checkpoint(self, filled: Store) -> None:
        with filled.write() as connection:
            connection.execute(update(ledger_checkpoint).values(envelope="{}"))
        with pytest.raises(LedgerError, match=r"checkpoint 1 of tenant 'acme' was changed in the store: not a DSSE"):
            make_checkpoint(filled, TENANT, SIGNER)

    def test_behind_a_renumbered_checkpoint(self, filled: Store) -> None:
        with filled.write() as connection:
            connection.execute(update(ledger_checkpoint).values(number=7))
        with pytest.raises(LedgerError, match=r"has checkpoint 1 of tenant 'acme' as number 7"):
            make_checkpoint(filled, TENANT, SIGNER)


@pytest.mark.parametrize(
    "change",
    [
        lambda envelope: envelope.replace('{"payload"', '{ "payload"'),
        lambda envelope: envelope.replace("json", "text"),
        lambda envelope: envelope.replace('"signatures":[', '"signatures":[{"keyid":"x","sig":"AA=="},'),
        lambda envelope: envelope.replace('=="}]', '==","x":1}]'),
        lambda _: "",
        lambda _: "[]",
    ],
)
def test_an_envelope_has_one_spelling(change: object) -> None:
    assert callable(change)
    checkpoint = Checkpoint(TENANT, 1, 5, 1, 1, "a" * 64, 1, "b" * 64, GENESIS)
    signed = sign_checkpoint(checkpoint, SIGNER)
    assert open_checkpoint(signed.envelope, signed.public_key) == (checkpoint, SIGNER.key_id)
    changed = change(signed.envelope)
    assert changed != signed.envelope
    with pytest.raises(RefusedError):
        open_checkpoint(changed, signed.public_key)


def test_the_verifiers_on_the_page_about_the_format_take_an_export_and_refuse_a_forged_one(
    store: Store, tmp_path: Path
) -> None:
    record(store, FIRST, SECOND, FIRST)
    make(store)
    record(store, FIRST, "ingest")
    make(store)
    record(store, SECOND)
    path = tmp_path / "ledger.ndjson"
    with store.read() as connection:
        export_ledger(connection, TENANT, path)
    chains, checkpoints = re.findall(r"(?ms)^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"))

    def passes(program: str) -> bool:
        done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
        return done.returncode == 0

    assert passes(chains)
    assert passes(checkpoints)
    whole = path.read_bytes()
    last = whole.index(b'"hash"', whole.index(b'"chain":"' + FIRST.encode() + b'","id"'))
    path.write_bytes(whole[: last + 8] + b"0" * 64 + whole[last + 72 :])
    assert not passes(chains)
    assert not passes(checkpoints)
