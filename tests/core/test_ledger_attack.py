"""Whoever has the database but not the signing key: every rewriting of what a checkpoint covers is found from the file.

The attacker here works on the content of an export and writes it anew as a whole: sequence numbers, links, hashes, ends
of chains, marks of checkpoints and totals all fit again. Only signatures they cannot make.
"""

from __future__ import annotations

import copy
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.dsse import Signer
from watchfloor_core.ledger import (
    GENESIS,
    Decision,
    FaultKind,
    Trust,
    VerifyReport,
    Witness,
    canonical,
    entry_hash,
    export_ledger,
    make_checkpoint,
    new_id,
    open_checkpoint,
    read_checkpoints,
    record_decisions,
    sign_checkpoint,
    trace_id,
    verify_file,
)
from watchfloor_core.ledger.checkpoint import Checkpoint
from watchfloor_core.ledger.export import Totals, checkpoint_line, end_line, head_line, header_line, reached_lines
from watchfloor_core.ledger.heads import EMPTY, Head
from watchfloor_core.ledger.merkle import root_of, tree_root
from watchfloor_core.store.engine import Store, open_store

TENANT = "acme"
CHAINS = ("control", "inc-0000000000000001", "inc-0000000000000002")
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(b"\x01" * 32))
FORGER = Signer(Ed25519PrivateKey.from_private_bytes(b"\x02" * 32))
PINNED = Trust({SIGNER.key_id: SIGNER.public_key})
ROUNDS = ((0, 0, 1), (1, 2, 1, 0), (2,), (0, 1))
"""Chains of the entries that each checkpoint adds; those of the last are in none yet."""

KINDS = (
    "edit",
    "delete",
    "insert",
    "swap",
    "move",
    "cut chain",
    "drop chain",
    "rename chain",
    "drop checkpoint",
    "swap checkpoints",
    "repeat checkpoint",
    "cut checkpoints",
    "edit reach",
    "sign anew",
)

Entry = dict[str, Any]  # JSON of any shape


@dataclass
class Ledger:
    """The content of an export, as whoever may write to the store sees it."""

    chains: dict[str, list[Entry]]
    checkpoints: list[tuple[str, str, list[tuple[str, int]]]]
    """Envelope, key, and the chains with their ends then."""
    ids: list[str] = field(default_factory=list)

    def rewritten(self) -> bytes:
        """An export of this content in which everything fits but the signatures."""
        lines, heads = [header_line(TENANT, None)], dict[str, Head]()
        for chain, entries in sorted(self.chains.items()):
            head = EMPTY
            for entry in entries:
                trace = trace_id(TENANT, chain)
                data = canonical({**entry, "chain": chain, "seq": head.seq + 1, "prev": head.hash, "trace": trace})
                head = heads[chain] = Head(head.seq + 1, entry_hash(data))
                lines.append(b'{"entry":' + data + b',"hash":"' + head.hash.encode() + b'"}\n')
        lines += [head_line(chain, head) for chain, head in heads.items()]
        ends = dict[str, int]()
        for envelope, key, reaches in self.checkpoints:
            fitting = []
            for chain, seq in sorted(reaches):
                end = min(seq, heads.get(chain, EMPTY).seq)
                if end > ends.get(chain, 0):
                    ends[chain] = end
                    fitting.append((chain, end))
            lines += [checkpoint_line(envelope, key), *reached_lines(fitting)]
        totals = Totals(
            sum(head.seq for head in heads.values()), len(heads), len(self.checkpoints), root_of(TENANT, heads)
        )
        return b"".join([*lines, end_line(TENANT, None, totals)])

    def covered(self, count: int) -> dict[str, list[Entry]]:
        """The entries that the first ``count`` checkpoints cover."""
        ends = {chain: seq for _, _, reaches in self.checkpoints[:count] for chain, seq in reaches}
        return {chain: self.chains.get(chain, [])[:end] for chain, end in ends.items()}


def fill(store: Store) -> None:
    for number, chains in enumerate(ROUNDS):
        with store.write() as connection:
            record_decisions(
                connection,
                TENANT,
                [
                    Decision(CHAINS[chain], "verdict", {"round": number, "n": n}, "verdict", n, n)
                    for n, chain in enumerate(chains)
                ],
            )
        if number < len(ROUNDS) - 1:
            make_checkpoint(store, TENANT, SIGNER)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attack")


@pytest.fixture(scope="module")
def exported(folder: Path, migrated_sqlite_file: Path) -> bytes:
    shutil.copyfile(migrated_sqlite_file, folder / "store.db")
    store = open_store(f"sqlite:///{folder / 'store.db'}")
    fill(store)
    witness = Witness(folder / "witness")
    witness.folder.mkdir()
    with store.read() as connection:
        export_ledger(connection, TENANT, folder / "ledger.ndjson")
        for signed in read_checkpoints(connection, TENANT):
            witness.keep(TENANT, signed.number, signed.envelope)
    store.close()
    return (folder / "ledger.ndjson").read_bytes()


@pytest.fixture(scope="module")
def ledger(exported: bytes) -> Ledger:
    found = Ledger({}, [])
    for line in exported.splitlines():
        match orjson.loads(line):
            case {"entry": entry}:
                found.chains.setdefault(entry["chain"], []).append(entry)
                found.ids.append(entry["id"])
            case {"checkpoint": {"envelope": envelope, "key": key}}:
                found.checkpoints.append((canonical(envelope).decode(), key, []))
            case {"reached": reaches}:
                found.checkpoints[-1][2].extend((chain, seq) for chain, seq in reaches)
    return found


def verify(folder: Path, data: bytes, trust: Trust = PINNED) -> VerifyReport:
    path = folder / "changed.ndjson"
    path.write_bytes(data)
    return verify_file(path, trust=trust)


def test_the_attacker_of_these_tests_writes_exports_as_they_are(exported: bytes, ledger: Ledger) -> None:
    assert ledger.rewritten() == exported
    assert len(ledger.checkpoints) == 3


def _forged_entry(draw: st.DrawFn) -> Entry:
    return {
        "v": 1,
        "tenant": TENANT,
        "id": new_id(),
        "kind": draw(st.sampled_from(["verdict", "approval_vote"])),
        "at": 1,
        "parent": None,
        "body": {"forged": True},
    }


@st.composite
def attacks(draw: st.DrawFn, ledger: Ledger) -> tuple[str, Ledger]:
    """One thing done to the content, and its name."""
    changed = Ledger(copy.deepcopy(ledger.chains), copy.deepcopy(ledger.checkpoints))
    chain = draw(st.sampled_from(CHAINS))
    entries = changed.chains[chain]
    at = draw(st.integers(0, len(entries) - 1))
    checkpoint = draw(st.integers(0, len(changed.checkpoints) - 1))
    kind = draw(st.sampled_from(KINDS))
    match kind:
        case "edit":
            name = draw(st.sampled_from(["body", "kind", "at", "parent", "id"]))
            entries[at][name] = {
                "body": {"round": 99},
                "kind": "closure",
                "at": 12345,
                "parent": "ab" * 8,
                "id": "cd" * 8,
            }[name]
        case "delete":
            del entries[at]
        case "insert":
            entries.insert(draw(st.integers(0, len(entries))), _forged_entry(draw))
        case "swap":
            other = draw(st.integers(0, len(entries) - 1))
            entries[at], entries[other] = entries[other], entries[at]
        case "move":
            target = changed.chains[draw(st.sampled_from(CHAINS))]
            target.insert(draw(st.integers(0, len(target))), entries.pop(at))
        case "cut chain":
            del entries[at:]
        case "drop chain":
            del changed.chains[chain]
        case "rename chain":
            changed.chains["inc-9"] = changed.chains.pop(chain)
            changed.checkpoints = [
                (envelope, key, [("inc-9" if name == chain else name, seq) for name, seq in reaches])
                for envelope, key, reaches in changed.checkpoints
            ]
        case "drop checkpoint":
            # What it added is given to the one after it, as far as there is one.
            _, _, reaches = changed.checkpoints.pop(checkpoint)
            if checkpoint < len(changed.checkpoints):
                after = changed.checkpoints[checkpoint][2]
                after.extend((name, seq) for name, seq in reaches if name not in dict(after))
        case "swap checkpoints":
            other = draw(st.integers(0, len(changed.checkpoints) - 1))
            held = changed.checkpoints
            held[checkpoint], held[other] = held[other], held[checkpoint]
        case "repeat checkpoint":
            changed.checkpoints.insert(checkpoint, changed.checkpoints[checkpoint])
        case "cut checkpoints":
            del changed.checkpoints[checkpoint:]
        case "edit reach":
            reaches = changed.checkpoints[checkpoint][2]
            index = draw(st.integers(0, len(reaches) - 1))
            name, seq = reaches[index]
            reaches[index] = (name, seq + draw(st.sampled_from([-1, 1])))
        case _:
            entries[at]["body"] = {"forged": True}
            changed = signed_anew(changed, FORGER)
    return kind, changed


def signed_anew(ledger: Ledger, signer: Signer) -> Ledger:
    """The whole of it with checkpoints that fit, by a key of one's own."""
    lines = Ledger(ledger.chains, []).rewritten().splitlines()
    hashes: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith(b'{"entry"'):
            hashes.setdefault(orjson.loads(line)["entry"]["chain"], []).append(orjson.loads(line)["hash"])
    ends: dict[str, int] = {}
    last: Checkpoint | None = None
    found = []
    for _, _, reaches in ledger.checkpoints:
        added = [bytes.fromhex(h) for chain, seq in reaches for h in hashes[chain][ends.get(chain, 0) : seq]]
        ends.update(reaches)
        last = Checkpoint(
            tenant=TENANT,
            number=1 if last is None else last.number + 1,
            at_us=1,
            entries=sum(ends.values()),
            chains=len(ends),
            root=root_of(TENANT, {chain: Head(seq, hashes[chain][seq - 1]) for chain, seq in ends.items()}),
            added=len(added),
            tree=tree_root(added).hex(),
            prev=GENESIS if last is None else last.digest,
        )
        signed = sign_checkpoint(last, signer)
        found.append((signed.envelope, signed.public_key, reaches))
    return Ledger(ledger.chains, found)


@given(data=st.data())
def test_no_rewriting_of_what_is_covered_passes_a_pinned_key(folder: Path, ledger: Ledger, data: st.DataObject) -> None:
    """What does pass either left the covered entries alone or covers less, and the report says how much."""
    _, changed = data.draw(attacks(ledger))
    report = verify(folder, changed.rewritten())
    if report.ok:
        assert report.coverage is not None
        count = report.coverage.checkpoints
        assert changed.covered(count) == ledger.covered(count)
        assert [one[:2] for one in changed.checkpoints] == [one[:2] for one in ledger.checkpoints[:count]]
        assert report.coverage.entries == sum(map(len, ledger.covered(count).values()))


@given(data=st.data())
def test_no_rewriting_of_what_is_covered_passes_a_pinned_key_and_the_witness(
    folder: Path, ledger: Ledger, data: st.DataObject
) -> None:
    kind, changed = data.draw(attacks(ledger))
    report = verify(folder, changed.rewritten(), Trust(PINNED.keys, Witness(folder / "witness")))
    all_of_them = len(ledger.checkpoints)
    is_untouched = changed.covered(all_of_them) == ledger.covered(all_of_them) and [
        one[:2] for one in changed.checkpoints
    ] == [one[:2] for one in ledger.checkpoints]
    if changed.rewritten() == ledger.rewritten():
        assert report.ok
    elif is_untouched and kind != "edit reach":
        assert report.ok, report.fault
    else:
        assert not report.ok


@given(data=st.data())
def test_any_changed_byte_deleted_repeated_or_moved_line_is_found(
    folder: Path, exported: bytes, data: st.DataObject
) -> None:
    """By the file alone, without a key: what was not written anew as a whole does not even fit itself."""
    lines = exported.splitlines(keepends=True)
    source = data.draw(st.integers(0, len(lines) - 1))
    target = data.draw(st.integers(0, len(lines)))
    match data.draw(st.sampled_from(["byte", "delete", "repeat", "move", "cut"])):
        case "byte":
            at = data.draw(st.integers(0, len(lines[source]) - 1))
            changed = bytearray(lines[source])
            changed[at] ^= 1 << data.draw(st.integers(0, 7))
            lines[source] = bytes(changed)
        case "delete":
            del lines[source]
        case "repeat":
            lines.insert(target, lines[source])
        case "move":
            lines.insert(target, lines.pop(source))
        case _:
            del lines[source:]
    if b"".join(lines) != exported:
        assert not verify(folder, b"".join(lines), Trust()).ok


def test_every_byte_of_a_checkpoint_counts(folder: Path, exported: bytes) -> None:
    lines = exported.splitlines(keepends=True)
    index = next(index for index, line in enumerate(lines) if line.startswith(b'{"checkpoint"'))
    for at in range(len(lines[index])):
        changed = bytearray(lines[index])
        changed[at] ^= 1
        data = b"".join([*lines[:index], bytes(changed), *lines[index + 1 :]])
        assert not verify(folder, data, Trust()).ok, at


def test_signing_all_anew_with_another_key_passes_only_where_no_key_is_pinned(folder: Path, ledger: Ledger) -> None:
    changed = Ledger(copy.deepcopy(ledger.chains), ledger.checkpoints)
    changed.chains[CHAINS[0]][0]["body"] = {"forged": True}
    forged = signed_anew(changed, FORGER).rewritten()
    unpinned = verify(folder, forged, Trust())
    assert unpinned.ok
    assert unpinned.coverage is not None
    assert (unpinned.coverage.is_pinned, unpinned.coverage.key_ids) == (False, (FORGER.key_id,))
    fault = verify(folder, forged).fault
    assert fault is not None
    assert fault.kind is FaultKind.SIGNATURE


def test_a_ledger_without_its_checkpoints_passes_only_where_no_key_is_pinned(folder: Path, ledger: Ledger) -> None:
    stripped = Ledger(ledger.chains, []).rewritten()
    assert verify(folder, stripped, Trust()).ok
    fault = verify(folder, stripped).fault
    assert fault is not None
    assert (fault.kind, fault.found) == (FaultKind.SIGNATURE, "none")


def test_an_edit_is_named_with_the_checkpoint_it_contradicts(folder: Path, ledger: Ledger) -> None:
    changed = Ledger(copy.deepcopy(ledger.chains), ledger.checkpoints)
    changed.chains[CHAINS[2]][0]["body"] = {"forged": True}
    fault = verify(folder, changed.rewritten()).fault
    assert fault is not None
    assert fault.kind is FaultKind.CHECKPOINT
    assert fault.expected.startswith("the 4 entries that checkpoint 2 of ")


def test_an_older_export_with_its_older_checkpoints_is_found_by_the_witness(folder: Path, ledger: Ledger) -> None:
    """Replay: the state of an earlier day is put in place of today's, and everything in it is genuine."""
    older = Ledger(ledger.covered(2), ledger.checkpoints[:2]).rewritten()
    genuine = verify(folder, older)
    assert genuine.ok
    fault = verify(folder, older, Trust(PINNED.keys, Witness(folder / "witness"))).fault
    assert fault is not None
    assert (fault.kind, fault.expected) == (FaultKind.WITNESS, "checkpoint 3, which the witness has")
    assert fault.found == "none after 2: an older ledger, or one that was cut"


def test_a_history_forked_under_the_true_key_is_found_by_the_witness(folder: Path, ledger: Ledger) -> None:
    """Checkpoints deleted and their entries rewritten before the worker signs again: its key, another history."""
    changed = Ledger(copy.deepcopy(ledger.chains), ledger.checkpoints)
    changed.chains[CHAINS[0]][0]["body"] = {"forged": True}
    forked = signed_anew(changed, SIGNER).rewritten()
    assert verify(folder, forked).ok
    fault = verify(folder, forked, Trust(PINNED.keys, Witness(folder / "witness"))).fault
    assert fault is not None
    assert (fault.kind, fault.expected) == (FaultKind.WITNESS, "checkpoint 1 as the witness has it")


def test_a_witness_of_another_tenant_or_an_empty_one_vouches_for_nothing(
    folder: Path, exported: bytes, ledger: Ledger, tmp_path: Path
) -> None:
    witness = Witness(tmp_path)
    witness.keep("acme-2", 9, ledger.checkpoints[0][0])
    fault = verify(folder, exported, Trust(PINNED.keys, witness)).fault
    assert fault is not None
    assert (fault.kind, fault.found) == (FaultKind.WITNESS, "none")


def test_a_witness_with_gaps_says_how_many_it_has(
    folder: Path, exported: bytes, ledger: Ledger, tmp_path: Path
) -> None:
    witness = Witness(tmp_path)
    witness.keep(TENANT, 2, ledger.checkpoints[1][0])
    report = verify(folder, exported, Trust(PINNED.keys, witness))
    assert report.ok
    assert report.coverage is not None
    assert (report.coverage.witnessed, report.coverage.checkpoints) == (1, 3)


def test_a_checkpoint_of_another_tenant_is_refused(folder: Path, ledger: Ledger) -> None:
    checkpoint, _ = open_checkpoint(*ledger.checkpoints[0][:2])
    foreign = sign_checkpoint(
        Checkpoint(
            "globex",
            1,
            1,
            checkpoint.entries,
            checkpoint.chains,
            checkpoint.root,
            checkpoint.added,
            checkpoint.tree,
            GENESIS,
        ),
        SIGNER,
    )
    changed = Ledger(ledger.chains, [(foreign.envelope, foreign.public_key, ledger.checkpoints[0][2])])
    fault = verify(folder, changed.rewritten()).fault
    assert fault is not None
    assert (fault.kind, fault.found) == (FaultKind.CHECKPOINT, 'checkpoint 1 of tenant "globex"')


def _restated(ledger: Ledger, index: int, **changes: Any) -> Ledger:  # values of the fields' types
    """With one checkpoint that says something else, under the true key; those after it as they were."""
    checkpoint, _ = open_checkpoint(*ledger.checkpoints[index][:2])
    signed = sign_checkpoint(replace(checkpoint, **changes), SIGNER)
    checkpoints = list(ledger.checkpoints)
    checkpoints[index] = (signed.envelope, signed.public_key, ledger.checkpoints[index][2])
    return Ledger(ledger.chains, checkpoints)


@pytest.mark.parametrize(
    ("index", "changes"),
    [
        (2, {"root": "0" * 64}),
        (2, {"tree": "0" * 64}),
        (2, {"prev": "0" * 64}),
        (1, {"number": 3}),
        (1, {"at_us": 1}),
        (1, {"entries": 6}),
        (1, {"added": 3}),
        (1, {"chains": 2}),
        (0, {"prev": "1" * 64}),
        (0, {"at_us": 1}),
    ],
    ids=str,
)
def test_even_what_the_true_key_signed_must_fit(
    folder: Path, ledger: Ledger, index: int, changes: dict[str, Any]
) -> None:
    """A fork that was signed, a fault of the signer: each statement is held to the entries and the one before it."""
    fault = verify(folder, _restated(ledger, index, **changes).rewritten()).fault
    assert fault is not None
    assert fault.kind is FaultKind.CHECKPOINT
