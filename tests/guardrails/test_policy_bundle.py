"""A policy bundle: what its files may be, its digest, its examples, and the signature over its very bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from watchfloor_core import dsse
from watchfloor_core.errors import ConfigurationError, RefusedError
from watchfloor_core.incident import Function
from watchfloor_guardrails.assertion import ApproverKey, KeyKind
from watchfloor_guardrails.bundle import check_bundle, policy_digest, read_bundle
from watchfloor_guardrails.bundle_signature import (
    PAYLOAD_TYPE,
    SIGNATURE_FILE,
    Manifest,
    manifest_of,
    parse_manifest,
    sign_bundle,
    verify_bundle,
)

NOW = 1_800_000_000_000_000
MATRIX = "rows:\n" + "".join(f"  - {{function: {each}, level: L2}}\n" for each in Function)
FILES = {
    "autonomy.yaml": MATRIX.encode(),
    "limits.yaml": b"defaults: {actions_per_hour: 7, autonomous_actions_per_hour: 1}\n",
    "own.cedar": b'@id("one") forbid (principal, action, resource in Group::"dns");\n',
    "tests.yaml": b"""\
tests:
  - name: dns is left alone
    request: {action_class: deny ip, target: 192.0.2.53, groups: [dns]}
    expect: {effect: deny, hits: [one], level: L2, quorum: 1, limits: {actions_per_hour: 7}}
""",
}
ANA, BEN = (dsse.Signer(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)) for seed in (1, 2))


def key_of(signer: dsse.Signer, principal: str, *, created_us: int = 0, revoked_us: int | None = None) -> ApproverKey:
    raw = signer.public_key.public_bytes_raw()
    return ApproverKey(signer.key_id, principal, KeyKind.ED25519, raw, None, created_us, revoked_us)


KEYS = {ANA.key_id: key_of(ANA, "ana"), BEN.key_id: key_of(BEN, "ben")}


def signed(
    files: dict[str, bytes], signer: dsse.Signer = ANA, *, author: str = "ana", version: int = 3
) -> dict[str, bytes]:
    manifest = manifest_of(files, version=version, author=author, made_us=NOW)
    return {**files, SIGNATURE_FILE: sign_bundle(manifest, signer).encode()}


def problems_in(files: dict[str, bytes]) -> list[str]:
    return [str(problem) for problem in check_bundle(files, "mine").problems]


def test_a_bundle_says_what_its_files_say() -> None:
    content = read_bundle(FILES, "mine")

    assert content.limits.limits_for("acme", "deny ip").actions_per_hour == 7
    assert [rule.id for rule in content.cedar.rules] == ["one"]
    assert content.digest == policy_digest(content.matrix, content.limits, content.cedar)


def test_a_matrix_alone_is_a_bundle_with_the_limits_that_ship() -> None:
    content = read_bundle({"autonomy.yaml": MATRIX.encode()}, "mine")

    assert content.limits.limits_for("acme", "deny ip").actions_per_hour == 20
    assert content.cedar.rules == ()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("autonomy.yaml", MATRIX.replace("L2", "L1", 1).encode()),
        ("limits.yaml", b"defaults: {actions_per_hour: 8}\n"),
        ("own.cedar", b'@id("one") forbid (principal, action, resource in Group::"ntp");\n'),
        ("more.cedar", b'@id("two") forbid (principal, action, resource);\n'),
    ],
)
def test_every_part_that_decides_is_in_the_digest(name: str, data: bytes) -> None:
    assert read_bundle({**FILES, name: data}, "mine").digest != read_bundle(FILES, "mine").digest


def test_the_digest_is_of_what_is_said_and_not_how() -> None:
    said_otherwise = {name: b"\n" + data for name, data in FILES.items()} | {"tests.yaml": b"tests: []"}

    assert read_bundle(said_otherwise, "mine").digest == read_bundle(FILES, "mine").digest


def test_all_mistakes_of_all_files_are_named_at_once() -> None:
    files = {
        "limits.yaml": b"defaults: {actions: 1}",
        "own.cedar": b"\npermit (principal, action, resource);",
        "bad.cedar": b"\xff",
        "README.md": b"",
        ".own.cedar.swp": b"",
        "big.cedar": b" " * (256 * 1024 + 1),
        "tests.yaml": b"tests: [{name: x, request: {target: y}, expect: {}}]",
    }

    assert problems_in(files) == [
        "mine/.own.cedar.swp: does not belong into a policy bundle; known are autonomy.yaml, limits.yaml, tests.yaml, "
        "*.cedar",
        "mine/README.md: does not belong into a policy bundle; known are autonomy.yaml, limits.yaml, tests.yaml, "
        "*.cedar",
        "mine/bad.cedar: is not UTF-8: invalid start byte at byte 0",
        "mine/big.cedar: has 262145 bytes; at most 262144 are read",
        "mine/autonomy.yaml: is missing; every bundle has one",
        "mine/limits.yaml:1: unknown key 'actions'; did you mean 'actions_per_hour'? (at defaults.actions)",
        "mine/own.cedar:2: an operator's policy can only forbid; what is allowed is for autonomy.yaml and the "
        "invariants to say",
        'mine/own.cedar:2: without a name; begin the policy with @id("…")',
        "mine/tests.yaml:1: missing key 'action_class' (at tests[0].request.action_class)",
    ]
    with pytest.raises(ConfigurationError):
        read_bundle(files, "mine")


def test_examples_that_hold_make_a_bundle_right() -> None:
    report = check_bundle(FILES, "mine")

    assert report.is_right
    assert [(test.name, test.failures) for test in report.tests] == [("dns is left alone", ())]


@pytest.mark.parametrize(
    ("expected", "failure"),
    [
        ("effect: ask", "effect is deny (one: the operator's policy 'one' (own.cedar:1) applies), expected ask"),
        ("effect: allow", "effect is deny (one: the operator's policy 'one' (own.cedar:1) applies), expected allow"),
        ("hits: []", "policies that apply are ['one'], expected []"),
        ("level: L3", "the configured level is L2, expected L3"),
        ("quorum: 2", "1 people must agree, expected 2"),
        ("limits: {actions_per_hour: 6}", "actions_per_hour is 7, expected 6"),
    ],
)
def test_an_example_that_does_not_hold_says_what_the_policy_says(expected: str, failure: str) -> None:
    example = f"""\
tests:
  - name: wrong
    request: {{action_class: deny ip, target: 192.0.2.53, groups: [dns]}}
    expect: {{{expected}}}
"""
    report = check_bundle(FILES, "mine", tests=("own.yaml", example))

    assert not report.is_right
    assert [(test.file, test.line, test.failures) for test in report.tests] == [("own.yaml", 2, (failure,))]


@pytest.mark.parametrize(
    "tests",
    [
        "tests: {}",
        "examples: []",
        "tests: [{name: a, request: {action_class: deny ip, target: x}, expect: {}}]",
        "tests: [{name: a, request: {action_class: deny, target: x}, expect: {effect: deny}}]",
        "tests: [{name: a, request: {action_class: deny ip, target: x, at: 2027-03-01}, expect: {effect: deny}}]",
        "tests: [{name: a, request: {action_class: deny ip, target: x}, expect: {effect: permit}}]",
        "tests: [{name: a, request: {action_class: deny ip, target: x}, expect: {limits: {actions: 1}}}]",
        "tests: [{name: a, request: {action_class: deny ip, target: x, colour: red}, expect: {effect: deny}}]",
        "tests:\n"
        "  - {name: a, request: {action_class: deny ip, target: 192.0.2.1}, expect: {level: L2}}\n"
        "  - {name: a, request: {action_class: deny ip, target: 192.0.2.1}, expect: {level: L2}}",
    ],
)
def test_examples_that_cannot_be_read_are_mistakes(tests: str) -> None:
    report = check_bundle(FILES, "mine", tests=("own.yaml", tests))

    assert (report.is_right, report.content) == (False, None)


def test_an_examples_own_level_stands_for_the_one_in_force() -> None:
    files = {
        **FILES,
        "own.cedar": b'@id("one") @effect("ask") forbid (principal, action, resource) when { context.level == 4 };',
    }
    at_l4 = "{action_class: stop process, target: 1@1, level: L4}"
    example = f"tests: [{{name: a, request: {at_l4}, expect: {{effect: ask, level: L2}}}}]"

    assert check_bundle(files, "mine", tests=("own.yaml", example)).is_right


def test_a_signature_of_the_authors_own_live_key_over_these_bytes_counts() -> None:
    manifest = verify_bundle(signed(FILES), KEYS.get, NOW)

    assert (manifest.version, manifest.author) == (3, "ana")
    assert set(manifest.files) == set(FILES)


def test_what_is_signed_is_known_byte_by_byte() -> None:
    manifest = Manifest(1, "ana", 5, {"autonomy.yaml": "00" * 32})

    assert manifest.payload() == (
        b'{"author":"ana","files":{"autonomy.yaml":"' + b"00" * 32 + b'"},"made_us":5,"v":1,"version":1}'
    )
    assert parse_manifest(manifest.payload()) == manifest


def _without(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {other: data for other, data in files.items() if other != name}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda files: _without(files, SIGNATURE_FILE), "signature.json is missing"),
        (lambda files: _without(files, "limits.yaml"), "'limits.yaml' is missing"),
        (lambda files: {**files, "more.cedar": b""}, "'more.cedar' is not signed"),
        (lambda files: {**files, "own.cedar": b""}, "'own.cedar' was changed"),
        (lambda files: {**files, SIGNATURE_FILE: b"{}"}, "not a DSSE envelope with one signature"),
        (lambda files: {**files, SIGNATURE_FILE: b"\xff"}, "not a DSSE envelope with one signature"),
        (lambda files: {**files, SIGNATURE_FILE: b"[" * 100_000}, "not a DSSE envelope with one signature"),
        (lambda _: signed(FILES, BEN), "names 'ana' as its author and is signed by 'ben'"),
        (
            lambda _: signed(FILES, dsse.Signer(Ed25519PrivateKey.from_private_bytes(b"3" * 32))),
            "is not an Ed25519 key of anybody here",
        ),
    ],
)
def test_anything_but_what_the_author_signed_is_refused(
    change: Callable[[dict[str, bytes]], dict[str, bytes]], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        verify_bundle(change(signed(FILES)), KEYS.get, NOW)


@pytest.mark.parametrize(
    "key",
    [
        key_of(ANA, "ana", revoked_us=NOW),
        key_of(ANA, "ana", revoked_us=NOW - 1),
        key_of(ANA, "ana", created_us=NOW + 1),
        replace(key_of(ANA, "ana"), kind=KeyKind.WEBAUTHN),
        replace(key_of(ANA, "ana"), public_key=b"short"),
        replace(key_of(BEN, "ana"), key_id=ANA.key_id),
    ],
)
def test_a_key_that_may_not_sign_now_does_not_count(key: ApproverKey) -> None:
    with pytest.raises(RefusedError):
        verify_bundle(signed(FILES), lambda _: key, NOW)


def test_a_signature_over_another_kind_of_statement_is_none_over_a_policy() -> None:
    payload = manifest_of(FILES, version=1, author="ana", made_us=NOW).payload()
    envelope = dsse.sign("application/vnd.watchfloor.approval+json", payload, ANA)

    with pytest.raises(RefusedError, match=r"expected 'application/vnd\.watchfloor\.policy\+json'"):
        verify_bundle({**FILES, SIGNATURE_FILE: envelope.encode()}, KEYS.get, NOW)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b'{"author":"ana","files":{},"made_us":5,"v":2,"version":1}',
        b'{"author":"ana","files":{},"made_us":5,"more":1,"v":1,"version":1}',
        b'{"author":"ana","files":{},"made_us":5,"v":1,"version":0}',
        b'{"author":"ana","files":{},"made_us":5,"v":1,"version":true}',
        b'{"author":"ana","files":{},"made_us":5,"v":1,"version":2147483648}',
        b'{"author":"","files":{},"made_us":5,"v":1,"version":1}',
        b'{"author":"ana","files":{"a":"b"},"made_us":5,"v":1,"version":1}',
        b'{"author":"ana","files":{"a":5},"made_us":5,"v":1,"version":1}',
        b'{"version":1,"v":1,"author":"ana","files":{},"made_us":5}',
    ],
)
def test_a_signed_payload_of_another_form_is_refused(payload: bytes) -> None:
    envelope = dsse.sign(PAYLOAD_TYPE, payload, ANA)

    with pytest.raises(RefusedError):
        verify_bundle({SIGNATURE_FILE: envelope.encode()}, KEYS.get, NOW)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_change_of_one_byte_is_missed(data: st.DataObject) -> None:
    files = signed(FILES)
    name = data.draw(st.sampled_from(sorted(FILES)))
    at = data.draw(st.integers(0, len(files[name]) - 1))
    changed = bytearray(files[name])
    changed[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(RefusedError, match="was changed since it was signed"):
        verify_bundle({**files, name: bytes(changed)}, KEYS.get, NOW)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["version", "author", "made_us", "files"]), st.data())
def test_no_field_of_the_manifest_can_be_changed_after_signing(field: str, data: st.DataObject) -> None:
    files = signed(FILES)
    envelope = json.loads(files[SIGNATURE_FILE])
    content = json.loads(base64.b64decode(envelope["payload"]))
    values = {
        "version": st.integers(4, 99),
        "author": st.just("ben"),
        "made_us": st.integers(0, 9),
        "files": st.just({}),
    }
    content[field] = data.draw(values[field])
    payload = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    envelope["payload"] = base64.b64encode(payload).decode()

    with pytest.raises(RefusedError, match="no trusted key has signed"):
        verify_bundle({**files, SIGNATURE_FILE: json.dumps(envelope).encode()}, KEYS.get, NOW)


@pytest.mark.parametrize(("version", "author"), [(0, "ana"), (2**31, "ana"), (1, ""), (1, "x" * 129)])
def test_a_manifest_out_of_range_is_not_made(version: int, author: str) -> None:
    with pytest.raises(RefusedError):
        manifest_of(FILES, version=version, author=author, made_us=NOW)
