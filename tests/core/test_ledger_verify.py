"""Export and verification: a whole ledger verifies, and the first thing wrong in any other is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select, update

from watchfloor_core.errors import ConfigurationError, LedgerError, NotFoundError
from watchfloor_core.ledger import (
    Coverage,
    Decision,
    Fault,
    FaultKind,
    JsonValue,
    VerifyReport,
    canonical,
    entry_hash,
    export_ledger,
    record_decisions,
    trace_id,
    verify_file,
    verify_store,
)
from watchfloor_core.ledger.entry import Kind
from watchfloor_core.ledger.merkle import merkle_root
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.schema import ledger_entry, ledger_head

TENANT = "acme"
FIRST, SECOND = "inc-0000000000000001", "inc-0000000000000002"


def decision(chain: str, kind: Kind, text: str, at: int) -> Decision:
    body: dict[str, JsonValue] = {"text": text, "probability": 1.0, "nested": {"list": [1, None, 1e-7]}}
    return Decision(chain, kind, body, f"watchfloor.{kind}", at, at + 5)


def fill(store: Store) -> None:
    with store.write() as connection:
        record_decisions(
            connection,
            TENANT,
            [
                decision(SECOND, "verdict", "user \u202e named", 3),
                decision(FIRST, "correlate", "joined by host", 1),
                decision(FIRST, "verdict", 'quote " and \\', 2),
                decision("ingest", "ingest_batch", "grüße", 0),
                decision(FIRST, "ruling", "ask", 4),
                decision(SECOND, "queue", "wait", 5),
                decision(FIRST, "closure", "closed", 6),
            ],
        )


@pytest.fixture
def filled(store: Store) -> Store:
    fill(store)
    return store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger")


@pytest.fixture(scope="module")
def exported(folder: Path, migrated_sqlite_file: Path) -> bytes:
    """A whole ledger of three chains."""
    database = folder / "store.db"
    shutil.copyfile(migrated_sqlite_file, database)
    store = open_store(f"sqlite:///{database}")
    fill(store)
    with store.read() as connection:
        export_ledger(connection, TENANT, folder / "whole.ndjson")
    store.close()
    return (folder / "whole.ndjson").read_bytes()


@pytest.fixture(scope="module")
def lines(exported: bytes) -> list[bytes]:
    """The lines, without their line feeds, behind one that is never used: index and line number are the same."""
    return [b"", *exported.splitlines()]


def verify(folder: Path, data: bytes, root: str | None = None) -> VerifyReport:
    path = folder / "changed.ndjson"
    path.write_bytes(data)
    return verify_file(path, root)


def fault_of(folder: Path, lines: list[bytes]) -> Fault:
    report = verify(folder, b"".join(line + b"\n" for line in lines[1:]))
    assert not report.ok
    assert report.root is None
    assert report.fault is not None
    return report.fault


def entry_of(line: bytes) -> dict[str, object]:
    entry: dict[str, object] = orjson.loads(line)["entry"]
    return entry


def resealed(line: bytes, **changes: object) -> bytes:
    """The entry line with other content and a hash that fits it: what a careful forger writes."""
    data = canonical({**entry_of(line), **changes})  # type: ignore[dict-item]  # values of JSON
    return b'{"entry":' + data + b',"hash":"' + entry_hash(data).encode() + b'"}'


def named(fault: Fault) -> tuple[FaultKind, int | None, str | None, int | None]:
    return fault.kind, fault.line, fault.chain, fault.seq


def test_a_whole_ledger_verifies_from_its_file_alone(filled: Store, tmp_path: Path) -> None:
    path = tmp_path / "ledger.ndjson"
    with filled.read() as connection:
        written = export_ledger(connection, TENANT, path)
        in_place = verify_store(connection, TENANT)
    report = verify_file(path)
    uncovered = Coverage(0, 0, None, None, (), is_pinned=False, witnessed=None)
    assert report == VerifyReport(TENANT, 7, 3, written.root, None, uncovered)
    assert (written.entries, written.chains) == (7, 3)
    assert in_place == report
    report.raise_for_fault()


def test_the_file_is_lines_of_canonical_json_in_the_order_of_chains(exported: bytes, lines: list[bytes]) -> None:
    parsed = [orjson.loads(line) for line in lines[1:]]
    assert exported == b"".join(canonical(value) + b"\n" for value in parsed)
    assert parsed[0] == {"ledger": {"format": 2, "tenant": TENANT, "chain": None}}
    places = [(value["entry"]["chain"], value["entry"]["seq"]) for value in parsed if "entry" in value]
    assert places == [(FIRST, 1), (FIRST, 2), (FIRST, 3), (FIRST, 4), (SECOND, 1), (SECOND, 2), ("ingest", 1)]
    heads = [(value["head"]["chain"], value["head"]["seq"]) for value in parsed if "head" in value]
    assert heads == [(FIRST, 4), (SECOND, 2), ("ingest", 1)]
    end = parsed[-1]["end"]
    assert (end["tenant"], end["chain"], end["entries"], end["chains"]) == (TENANT, None, 7, 3)


def test_a_file_of_format_1_verifies_as_it_did(folder: Path, lines: list[bytes]) -> None:
    header = lines[1].replace(b'"format":2', b'"format":1')
    end = lines[-1].replace(b'"checkpoints":0,', b"")
    old = [b"", header, *lines[2:-1], end]
    report = verify(folder, b"".join(line + b"\n" for line in old[1:]))
    assert (report.ok, report.entries, report.coverage) == (True, 7, None)
    assert fault_of(folder, [*old[:-1], lines[-1]]).kind is FaultKind.TOTALS
    assert fault_of(folder, [*old[:3], *old[4:]]).kind is FaultKind.MISSING


def test_one_chain_can_be_exported(filled: Store, tmp_path: Path) -> None:
    with filled.read() as connection:
        written = export_ledger(connection, TENANT, tmp_path / "one.ndjson", chain=FIRST)
        with pytest.raises(NotFoundError, match=r"has no ledger chain 'inc-9'; give an incident's id"):
            export_ledger(connection, TENANT, tmp_path / "none.ndjson", chain="inc-9")
    report = verify_file(tmp_path / "one.ndjson")
    assert (report.ok, report.entries, report.chains, report.root) == (True, 4, 1, written.root)
    assert not (tmp_path / "none.ndjson").exists()


def test_a_ledger_without_entries_verifies(store: Store, tmp_path: Path) -> None:
    with store.read() as connection:
        export_ledger(connection, TENANT, tmp_path / "empty.ndjson")
    report = verify_file(tmp_path / "empty.ndjson")
    assert (report.ok, report.entries, report.chains) == (True, 0, 0)


def test_an_export_is_private_and_appears_only_when_complete(filled: Store, tmp_path: Path) -> None:
    target = tmp_path / "out" / "ledger.ndjson"
    with filled.read() as connection:
        with pytest.raises(ConfigurationError, match=r"cannot be written .*No such file or directory"):
            export_ledger(connection, TENANT, target)
        target.parent.mkdir()
        export_ledger(connection, TENANT, target)
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in target.parent.iterdir()] == ["ledger.ndjson"]


def test_a_file_that_is_not_there_is_the_operators_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.ndjson' cannot be read \(No such file or directory\)"):
        verify_file(tmp_path / "nothing.ndjson")


def test_an_edited_entry_is_named(folder: Path, lines: list[bytes]) -> None:
    changed = [line.replace(b'"ask"', b'"let"') for line in lines]
    fault = fault_of(folder, changed)
    assert fault.kind is FaultKind.ALTERED
    assert (fault.chain, fault.seq, fault.id) == (FIRST, 3, entry_of(lines[fault.line or 0])["id"])
    stated = orjson.loads(lines[fault.line or 0])["hash"]
    assert str(fault).startswith(f'line {fault.line}, chain "{FIRST}", entry 3, id "{fault.id}": altered: expected ')
    assert fault.expected == f"the hash {stated}"


def line_of(lines: list[bytes], chain: str, seq: int) -> int:
    return next(
        number
        for number, line in enumerate(lines)
        if line.startswith(b'{"entry"') and (entry_of(line)["chain"], entry_of(line)["seq"]) == (chain, seq)
    )


def test_an_edited_hash_is_named(folder: Path, lines: list[bytes]) -> None:
    at = line_of(lines, FIRST, 2)
    hash_ = orjson.loads(lines[at])["hash"]
    changed = [*lines[:at], lines[at].replace(hash_.encode(), b"f" * 64), *lines[at + 1 :]]
    assert named(fault_of(folder, changed)) == (FaultKind.ALTERED, at, FIRST, 2)


def test_an_entry_with_a_recomputed_hash_breaks_the_link_of_the_next(folder: Path, lines: list[bytes]) -> None:
    at = line_of(lines, FIRST, 2)
    changed = [*lines[:at], resealed(lines[at], kind="closure"), *lines[at + 1 :]]
    assert named(fault_of(folder, changed)) == (FaultKind.UNLINKED, at + 1, FIRST, 3)


def test_a_last_entry_with_a_recomputed_hash_does_not_fit_the_end_of_its_chain(
    folder: Path, lines: list[bytes]
) -> None:
    at = line_of(lines, FIRST, 4)
    changed = [*lines[:at], resealed(lines[at], at=99), *lines[at + 1 :]]
    assert named(fault_of(folder, changed))[0::2] == (FaultKind.TOTALS, FIRST)


def test_a_deleted_entry_is_named_by_the_one_after_it(folder: Path, lines: list[bytes]) -> None:
    at = line_of(lines, FIRST, 2)
    fault = fault_of(folder, [*lines[:at], *lines[at + 1 :]])
    assert named(fault) == (FaultKind.MISSING, at, FIRST, 3)
    assert (fault.expected, fault.found) == ("entry 2", "entry 3")


def test_the_deleted_last_entry_of_a_chain_is_named(folder: Path, lines: list[bytes]) -> None:
    at = line_of(lines, FIRST, 4)
    fault = fault_of(folder, [*lines[:at], *lines[at + 1 :]])
    assert (fault.kind, fault.chain, fault.seq) == (FaultKind.TRUNCATED, FIRST, 4)
    assert fault.expected.startswith("4 entries that end in the hash ")
    assert fault.found.startswith("3 entries that end in the hash ")


def test_a_deleted_chain_is_named(folder: Path, lines: list[bytes]) -> None:
    kept = [line for line in lines if not (line.startswith(b'{"entry"') and entry_of(line)["chain"] == SECOND)]
    fault = fault_of(folder, kept)
    assert (fault.kind, fault.chain, fault.seq, fault.found) == (FaultKind.TRUNCATED, SECOND, 1, "no entries")


def test_a_chain_deleted_together_with_its_end_does_not_fit_the_totals(folder: Path, lines: list[bytes]) -> None:
    kept = [line for line in lines if SECOND.encode() not in line]
    assert fault_of(folder, kept).kind is FaultKind.TOTALS


def test_a_chain_whose_end_is_not_stated_is_named(folder: Path, lines: list[bytes]) -> None:
    kept = [line for line in lines if not (line.startswith(b'{"head"') and SECOND.encode() in line)]
    fault = fault_of(folder, kept)
    assert (fault.kind, fault.chain) == (FaultKind.TOTALS, SECOND)


def test_a_repeated_entry_is_named(folder: Path, lines: list[bytes]) -> None:
    at = line_of(lines, FIRST, 2)
    fault = fault_of(folder, [*lines[: at + 1], lines[at], *lines[at + 1 :]])
    assert named(fault) == (FaultKind.REPEATED, at + 1, FIRST, 2)


def test_an_inserted_entry_is_named(folder: Path, lines: list[bytes]) -> None:
    at = line_of(lines, FIRST, 2)
    forged = resealed(lines[at], seq=3, id="ab" * 8)
    assert named(fault_of(folder, [*lines[: at + 1], forged, *lines[at + 1 :]])) == (
        FaultKind.UNLINKED,
        at + 1,
        FIRST,
        3,
    )


@pytest.mark.parametrize("foreign", [b"", b"[1,2", b'{"seq":NaN}', b"[" * 100_000])
def test_a_foreign_line_among_the_entries_is_named_and_not_what_follows_it(
    folder: Path, lines: list[bytes], foreign: bytes
) -> None:
    fault = fault_of(folder, [*lines[:4], foreign, *lines[4:]])
    assert (fault.kind, fault.line) == (FaultKind.MALFORMED, 4)


def test_a_file_that_ends_among_the_entries_is_named_by_the_missing_line(folder: Path, lines: list[bytes]) -> None:
    fault = fault_of(folder, lines[:4])
    assert (fault.kind, fault.line) == (FaultKind.TRUNCATED, 4)


def test_swapped_entries_are_named(folder: Path, lines: list[bytes]) -> None:
    at = line_of(lines, FIRST, 2)
    swapped = [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]
    assert named(fault_of(folder, swapped)) == (FaultKind.MISSING, at, FIRST, 3)


def test_a_chain_in_the_wrong_place_is_named(folder: Path, lines: list[bytes]) -> None:
    entries = [line for line in lines[2:] if line.startswith(b'{"entry"')]
    rest = lines[2 + len(entries) :]
    turned = sorted(entries, key=lambda line: entry_of(line)["chain"] != SECOND)
    fault = fault_of(folder, [*lines[:2], *turned, *rest])
    assert (fault.kind, fault.line, fault.chain, fault.seq) == (FaultKind.REORDERED, 4, FIRST, 1)


def test_an_id_used_twice_is_named(folder: Path, lines: list[bytes]) -> None:
    used = entry_of(lines[line_of(lines, FIRST, 1)])["id"]
    at = line_of(lines, SECOND, 1)
    changed = [*lines[:at], resealed(lines[at], id=used), *lines[at + 1 :]]
    fault = fault_of(folder, changed)
    assert named(fault) == (FaultKind.DUPLICATE_ID, at, SECOND, 1)
    assert fault.id == used


def test_an_entry_of_another_tenant_is_named(folder: Path, lines: list[bytes]) -> None:
    at = line_of(lines, SECOND, 1)
    foreign = resealed(lines[at], tenant="globex", trace=trace_id("globex", SECOND))
    fault = fault_of(folder, [*lines[:at], foreign, *lines[at + 1 :]])
    assert named(fault) == (FaultKind.WRONG_TENANT, at, SECOND, 1)
    assert (fault.expected, fault.found) == ('tenant "acme"', '"globex"')


def test_an_entry_of_another_chain_has_no_place_in_the_export_of_one(
    filled: Store, folder: Path, lines: list[bytes]
) -> None:
    path = folder / "second.ndjson"
    with filled.read() as connection:
        export_ledger(connection, TENANT, path, chain=SECOND)
    header, *rest = path.read_bytes().splitlines()
    fault = fault_of(folder, [b"", header, lines[line_of(lines, FIRST, 1)], *rest])
    assert named(fault) == (FaultKind.WRONG_CHAIN, 2, FIRST, 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"v": 2}, "v is 2, expected 1"),
        ({"seq": "1"}, "seq is '1', expected an integer"),
        ({"seq": True}, "seq is True, expected an integer"),
        ({"seq": 0}, "not of its form"),
        ({"kind": "Closure!"}, "not of its form"),
        ({"parent": "x"}, "not of its form"),
        ({"body": []}, "body is [], expected an object"),
        ({"parent": 1}, "parent is 1, expected text"),
        ({"trace": "0" * 32}, "trace is '0000"),
        ({"extra": 1}, "has the unknown fields ['extra']"),
    ],
)
def test_an_entry_that_watchfloor_would_not_write_is_malformed(
    folder: Path, lines: list[bytes], changes: dict[str, object], reason: str
) -> None:
    changed = [*lines[:2], resealed(lines[2], **changes), *lines[3:]]
    fault = fault_of(folder, changed)
    assert (fault.kind, fault.line) == (FaultKind.MALFORMED, 2)
    assert reason in fault.found


def test_an_entry_that_is_not_canonical_is_malformed_even_with_a_fitting_hash(folder: Path, lines: list[bytes]) -> None:
    data = orjson.dumps(entry_of(lines[2]), option=orjson.OPT_INDENT_2).replace(b"\n", b"")
    line = b'{"entry":' + data + b',"hash":"' + entry_hash(data).encode() + b'"}'
    fault = fault_of(folder, [*lines[:2], line, *lines[3:]])
    assert (fault.kind, fault.line) == (FaultKind.MALFORMED, 2)
    assert "not in canonical form" in fault.found


@pytest.mark.parametrize(
    ("data", "kind", "line"),
    [
        (b"", FaultKind.TRUNCATED, 1),
        (b"\n", FaultKind.MALFORMED, 1),
        (b"not json\n", FaultKind.MALFORMED, 1),
        (b'{"ledger":{"chain":null,"format":3,"tenant":"acme"}}\n', FaultKind.MALFORMED, 1),
        (b'{"ledger":{"chain":null,"format":1,"tenant":"acme"}}', FaultKind.TRUNCATED, 1),
        (b'{"ledger":{"chain":null,"format":1,"tenant":"acme"}}\n', FaultKind.TRUNCATED, 2),
        (b'{"ledger":{"chain":null,"format":1,"tenant":"acme"}}\n\xff\xfe\x00\n', FaultKind.MALFORMED, 2),
        (b"\x1f\x8b\x08\x00" * 100, FaultKind.TRUNCATED, 1),
    ],
)
def test_a_file_that_is_no_ledger_is_told_so(folder: Path, data: bytes, kind: FaultKind, line: int) -> None:
    fault = verify(folder, data).fault
    assert fault is not None
    assert (fault.kind, fault.line) == (kind, line)


def test_what_a_forged_file_says_cannot_act_on_a_terminal(folder: Path) -> None:
    fault = verify(folder, b'{"ledger":"\x1b]0;owned\x07"}\n').fault
    assert str(fault).isprintable()


def test_a_ledger_rewritten_as_a_whole_is_found_by_the_root_that_was_kept(folder: Path, exported: bytes) -> None:
    kept = verify(folder, exported).root
    assert verify(folder, exported, root=kept).ok
    fault = verify(folder, exported, root="0" * 64).fault
    assert fault is not None
    assert (fault.kind, fault.found) == (FaultKind.WRONG_ROOT, kept)
    with pytest.raises(LedgerError, match=r"^the ledger: wrong_root: expected the root 000"):
        verify(folder, exported, root="0" * 64).raise_for_fault()


def test_the_merkle_root_is_that_of_rfc_6962() -> None:
    """The test vectors of the Certificate Transparency reference implementation."""
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    leaves = [bytes.fromhex(text) for text in inputs]
    assert [merkle_root(leaves[:size]).hex() for size in range(9)] == roots


@given(data=st.data())
def test_any_changed_byte_is_found(folder: Path, exported: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(exported) - 1))
    new = data.draw(st.binary(max_size=2).filter(lambda new: new != exported[at : at + 1]))
    assert not verify(folder, exported[:at] + new + exported[at + 1 :]).ok


@given(data=st.data())
def test_any_bit_flip_is_found(folder: Path, exported: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(exported) - 1))
    bit = data.draw(st.integers(0, 7))
    changed = bytearray(exported)
    changed[at] ^= 1 << bit
    assert not verify(folder, bytes(changed)).ok


@given(data=st.data())
def test_any_deleted_repeated_or_moved_line_is_found(folder: Path, lines: list[bytes], data: st.DataObject) -> None:
    whole = lines[1:]
    source = data.draw(st.integers(0, len(whole) - 1))
    target = data.draw(st.integers(0, len(whole)))
    change = data.draw(st.sampled_from(["delete", "repeat", "move"]))
    changed = list(whole)
    if change != "repeat":
        del changed[source]
    if change != "delete":
        changed.insert(target, whole[source])
    same = changed == whole
    report = verify(folder, b"".join(line + b"\n" for line in changed))
    assert report.ok is same


@given(data=st.data())
def test_any_cut_is_found(folder: Path, exported: bytes, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(exported) - 1))
    assert not verify(folder, exported[:end]).ok


@given(extra=st.binary(min_size=1, max_size=20))
def test_anything_after_the_end_is_found(folder: Path, exported: bytes, extra: bytes) -> None:
    assert not verify(folder, exported + extra).ok


@given(data=st.data())
def test_any_field_changed_with_a_fitting_hash_is_found(folder: Path, lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.sampled_from([n for n, line in enumerate(lines) if line.startswith(b'{"entry"')]))
    entry = entry_of(lines[at])
    field = data.draw(st.sampled_from(sorted(entry)))
    value = data.draw(st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=3) | st.just("ab" * 8))
    changed = [*lines[:at], resealed(lines[at], **{field: value}), *lines[at + 1 :]]
    assert entry[field] == value or fault_of(folder, changed)


def test_an_entry_edited_in_the_store_is_named_there_and_in_its_export(filled: Store, tmp_path: Path) -> None:
    with filled.write() as connection:
        connection.execute(
            update(ledger_entry)
            .where(ledger_entry.c.chain == FIRST, ledger_entry.c.seq == 3)
            .values(body=func.replace(ledger_entry.c.body, '"ask"', '"let"'))
        )
    with filled.read() as connection:
        fault = verify_store(connection, TENANT).fault
        export_ledger(connection, TENANT, tmp_path / "ledger.ndjson")
    assert fault is not None
    assert named(fault) == (FaultKind.ALTERED, None, FIRST, 3)
    in_file = verify_file(tmp_path / "ledger.ndjson").fault
    assert in_file is not None
    assert (in_file.kind, in_file.chain, in_file.seq) == (FaultKind.ALTERED, FIRST, 3)


@pytest.mark.parametrize(
    ("chain", "seq", "kind", "named_seq"),
    [(FIRST, 2, FaultKind.MISSING, 3), (FIRST, 4, FaultKind.TRUNCATED, 4), ("ingest", 1, FaultKind.TRUNCATED, 1)],
)
def test_an_entry_deleted_from_the_store_is_missed_there_and_in_its_export(
    filled: Store, tmp_path: Path, chain: str, seq: int, kind: FaultKind, named_seq: int
) -> None:
    with filled.write() as connection:
        connection.execute(delete(ledger_entry).where(ledger_entry.c.chain == chain, ledger_entry.c.seq == seq))
    with filled.read() as connection:
        in_store = verify_store(connection, TENANT).fault
        export_ledger(connection, TENANT, tmp_path / "ledger.ndjson")
    for fault in (in_store, verify_file(tmp_path / "ledger.ndjson").fault):
        assert fault is not None
        assert (fault.kind, fault.chain, fault.seq) == (kind, chain, named_seq)


@pytest.mark.parametrize(("column", "value"), [("kind", "closure"), ("at_us", 1), ("id", "ab" * 8)])
def test_a_column_that_contradicts_its_entry_is_named(filled: Store, column: str, value: object) -> None:
    with filled.write() as connection:
        connection.execute(
            update(ledger_entry).where(ledger_entry.c.chain == FIRST, ledger_entry.c.seq == 2).values({column: value})
        )
    with filled.read() as connection:
        fault = verify_store(connection, TENANT).fault
    assert fault is not None
    assert (fault.kind, fault.chain, fault.seq) == (FaultKind.COLUMN, FIRST, 2)


def test_a_head_without_entries_is_missed_in_the_store(filled: Store) -> None:
    with filled.write() as connection:
        connection.execute(insert(ledger_head).values(tenant=TENANT, chain="inc-9", seq=2, hash="0" * 64))
    with filled.read() as connection:
        fault = verify_store(connection, TENANT).fault
    assert fault is not None
    assert (fault.kind, fault.chain) == (FaultKind.TRUNCATED, "inc-9")


def test_a_store_is_verified_for_one_tenant_alone(filled: Store) -> None:
    with filled.write() as connection:
        record_decisions(connection, "globex", [decision(FIRST, "verdict", "theirs", 1)])
        connection.execute(update(ledger_entry).where(ledger_entry.c.tenant == "globex").values(hash="0" * 64))
    with filled.read() as connection:
        assert verify_store(connection, TENANT).ok
        assert not verify_store(connection, "globex").ok
        assert connection.scalar(select(func.count()).select_from(ledger_entry)) == 8
