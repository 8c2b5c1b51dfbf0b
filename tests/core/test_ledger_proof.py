"""Proofs of inclusion: the trees of RFC 6962, and one decision proved without any other."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, update

from watchfloor_core import dsse
from watchfloor_core.dsse import Signer
from watchfloor_core.errors import ConflictError, LedgerError, NotFoundError, RefusedError
from watchfloor_core.ledger import (
    Decision,
    canonical,
    make_checkpoint,
    prove_decision,
    record_decisions,
    verify_proof,
)
from watchfloor_core.ledger.checkpoint import PAYLOAD_TYPE
from watchfloor_core.ledger.merkle import audit_path, leaf_hash, merkle_root, root_by_path, tree_root
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import ledger_entry

TENANT = "acme"
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(b"\x01" * 32))
FORGER = Signer(Ed25519PrivateKey.from_private_bytes(b"\x02" * 32))
KEYS = {SIGNER.key_id: SIGNER.public_key}

LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
PATHS: list[tuple[int, int, list[str]]] = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (3, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        2,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
"""The inclusion proofs of the Certificate Transparency reference implementation: leaf (from 1), size, path."""


@pytest.mark.parametrize(("leaf", "size", "path"), PATHS)
def test_an_audit_path_is_that_of_rfc_6962(leaf: int, size: int, path: list[str]) -> None:
    hashes = [leaf_hash(data) for data in LEAVES[:size]]
    assert [step.hex() for step in audit_path(hashes, leaf - 1)] == path
    steps = [bytes.fromhex(step) for step in path]
    assert root_by_path(hashes[leaf - 1], leaf - 1, size, steps) == merkle_root(LEAVES[:size])


def test_the_paths_of_the_example_tree_of_rfc_6962_are_those_it_names() -> None:
    """Section 2.1.3: seven leaves d0 to d6 with the inner nodes g to k."""
    a, b, c, d, e, f, j = (leaf_hash(bytes([number])) for number in range(7))
    g, h, i = (tree_root(pair) for pair in ([a, b], [c, d], [e, f]))
    k = tree_root([a, b, c, d])
    tree = [a, b, c, d, e, f, j]
    assert audit_path(tree, 0) == [b, h, tree_root([e, f, j])]
    assert audit_path(tree, 3) == [c, g, tree_root([e, f, j])]
    assert audit_path(tree, 4) == [f, j, k]
    assert audit_path(tree, 6) == [i, k]


@given(size=st.integers(1, 70), data=st.data())
def test_a_path_leads_to_the_root_from_its_own_place_alone(size: int, data: st.DataObject) -> None:
    hashes = [leaf_hash(bytes([number])) for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    path = audit_path(hashes, index)
    root = tree_root(hashes)
    assert root_by_path(hashes[index], index, size, path) == root
    other = data.draw(st.integers(0, size + 1))
    if other != index:
        with suppress(ValueError):
            assert root_by_path(hashes[index], other, size, path) != root


@pytest.mark.parametrize(
    ("index", "size", "steps"), [(0, 0, 0), (3, 3, 1), (-1, 3, 2), (0, 3, 1), (0, 3, 3), (0, 1, 1)]
)
def test_a_path_that_no_such_place_has_is_refused(index: int, size: int, steps: int) -> None:
    with pytest.raises(ValueError, match=r"path has|no leaf"):
        root_by_path(b"\0" * 32, index, size, [b"\0" * 32] * steps)
    with pytest.raises(IndexError):
        audit_path([b"\0" * 32], 1)


def record(store: Store, *chains: str) -> list[str]:
    with store.write() as connection:
        return record_decisions(
            connection,
            TENANT,
            [
                Decision(chain, "verdict", {"secret": f"of {chain} {n}"}, "verdict", n, n)
                for n, chain in enumerate(chains)
            ],
        )


def prove(store: Store, decision_id: str) -> bytes:
    with store.read() as connection:
        return prove_decision(connection, TENANT, decision_id)


def test_every_decision_is_proved_by_the_checkpoint_that_added_it(store: Store) -> None:
    first = record(store, "inc-1", "inc-1", "ingest", "inc-2", "inc-1")
    make_checkpoint(store, TENANT, SIGNER)
    second = record(store, "inc-3", "inc-1")
    make_checkpoint(store, TENANT, SIGNER)
    for number, ids in ((1, first), (2, second)):
        for decision_id in ids:
            proven = verify_proof(prove(store, decision_id), KEYS)
            assert (proven.entry.id, proven.checkpoint.number) == (decision_id, number)
            assert (proven.key_id, proven.is_pinned) == (SIGNER.key_id, True)
    assert not verify_proof(prove(store, first[0])).is_pinned


def test_a_proof_shows_no_other_decision_and_stays_small(store: Store) -> None:
    ids = record(store, *(f"inc-{number % 50}" for number in range(1_000)))
    make_checkpoint(store, TENANT, SIGNER)
    proof = prove(store, ids[500])
    assert proof.count(b"secret") == 1
    assert len(orjson.loads(proof)["path"]) == 10
    assert len(proof) < 2_500


def test_what_no_checkpoint_has_yet_cannot_be_proved(store: Store) -> None:
    record(store, "inc-1")
    make_checkpoint(store, TENANT, SIGNER)
    (late,) = record(store, "inc-1")
    with pytest.raises(ConflictError, match=r"in no checkpoint yet; wait for the next one"):
        prove(store, late)
    with pytest.raises(NotFoundError, match=r"no decision 'abababababababab'"):
        prove(store, "ab" * 8)


def test_what_was_changed_since_cannot_be_proved(store: Store) -> None:
    ids = record(store, "inc-1", "inc-1")
    make_checkpoint(store, TENANT, SIGNER)
    with store.write() as connection:
        connection.execute(update(ledger_entry).values(body=func.replace(ledger_entry.c.body, "secret", "forged")))
    with pytest.raises(LedgerError, match=r"cannot be proved: the store was changed"):
        prove(store, ids[0])


@pytest.fixture
def proof(sqlite_store: Store) -> bytes:
    ids = record(sqlite_store, *(f"inc-{number % 3}" for number in range(11)))
    make_checkpoint(sqlite_store, TENANT, SIGNER)
    return prove(sqlite_store, ids[4])


def test_any_changed_byte_of_a_proof_is_found(proof: bytes) -> None:
    verify_proof(proof, KEYS)
    for at in range(len(proof)):
        for bit in (0, 3, 5):
            changed = bytearray(proof)
            changed[at] ^= 1 << bit
            with pytest.raises(RefusedError):
                verify_proof(bytes(changed), KEYS)


def _edited(proof: bytes, **changes: Any) -> bytes:  # JSON of any shape
    return canonical({**orjson.loads(proof), **changes}) + b"\n"


def test_a_proof_of_another_place_entry_or_key_is_refused(proof: bytes) -> None:
    content = orjson.loads(proof)
    entry, path, index = content["entry"], content["path"], content["index"]
    for changed in (
        _edited(proof, entry={**entry, "body": {"secret": "forged"}}),
        _edited(proof, entry={**entry, "tenant": "globex"}),
        _edited(proof, path=path[:-1]),
        _edited(proof, path=[*path, "0" * 64]),
        _edited(proof, path=path[::-1]),
        _edited(proof, path="x"),
        _edited(proof, index=index + 1),
        _edited(proof, index=-1),
        _edited(proof, index=True),
        _edited(proof, v=2),
        _edited(proof, more=1),
        _edited(proof, checkpoint={**content["checkpoint"], "key": "0" * 64}),
        _edited(proof, checkpoint={**content["checkpoint"], "more": 1}),
        proof[:-1],
        proof + b"\n",
        b"",
        b"\n",
        b"[]\n",
    ):
        with pytest.raises(RefusedError):
            verify_proof(changed, KEYS)


def test_a_proof_signed_by_somebody_else_is_refused_where_the_key_is_pinned(proof: bytes) -> None:
    payload = base64.b64decode(orjson.loads(proof)["checkpoint"]["envelope"]["payload"])
    envelope = orjson.loads(dsse.sign(PAYLOAD_TYPE, payload, FORGER))
    forged = _edited(proof, checkpoint={"envelope": envelope, "key": FORGER.public_key.public_bytes_raw().hex()})
    assert verify_proof(forged).key_id == FORGER.key_id
    with pytest.raises(RefusedError, match=f"it is signed by key {FORGER.key_id}, trusted are {SIGNER.key_id}"):
        verify_proof(forged, KEYS)


def test_an_inner_node_is_no_entry(sqlite_store: Store) -> None:
    """The second preimage that RFC 6962's prefixes exclude: a path that ends one level below the leaves."""
    ids = record(sqlite_store, "inc-1", "inc-1", "inc-1", "inc-1")
    make_checkpoint(sqlite_store, TENANT, SIGNER)
    content = orjson.loads(prove(sqlite_store, ids[0]))
    for cut in (_edited(canonical(content), path=content["path"][1:]), _edited(canonical(content), path=[])):
        with pytest.raises(RefusedError, match="path"):
            verify_proof(cut, KEYS)
