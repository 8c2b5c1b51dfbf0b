"""The digest: golden vectors of its canonical form, and that nothing can be changed without changing it."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import replace

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from tests.guardrails.actions import PROPOSAL
from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import parse_canonical
from watchfloor_core.errors import RecordError
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.blast import MILLION, Blast, InventoryHit, blast_of
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.proposal import ActionProposal, Proposer, parse_preimage, version_digest
from watchfloor_guardrails.view import render_view

GOLDEN = (
    '{"action":{"arguments":{},"class":"deny ip","tool":"edge"},"blast":{"assets":1,"fleet_ppm":100,'
    '"in_inventory":false,"tier":2,"users":0},"evidence_root":"' + "ab" * 32 + '","expires_us":1800003600000000,'
    '"incident":{"id":"inc-0123456789abcdef","revision":3,"tenant":"acme"},"kill_epoch":4,"nonce":"' + "0" * 32 + '",'
    '"policy_digest":"' + "12" * 32 + '","proposer":{"kind":"agent","name":"specialist:response","requester":null},'
    '"targets":[{"endorsed_by":null,"integrity":"sensor","kind":"ip","state":"' + "ef" * 32 + '",'
    '"value":"203.0.113.7"}],"tool_pin":"' + "cd" * 32 + '","undo":{"after_s":3600,"class":"allow ip"},"v":1}'
)
GOLDEN_DIGEST = "455273decbd37aa111e9c5ae33cac677a5da756d560fefbf2c8eaa79ec914a7f"


def test_the_preimage_is_the_golden_vector() -> None:
    assert PROPOSAL.preimage().decode() == GOLDEN
    assert PROPOSAL.digest == hashlib.sha256(GOLDEN.encode()).hexdigest() == GOLDEN_DIGEST


def test_the_reference_implementation_of_rfc_8785_writes_the_same_bytes() -> None:
    strange = replace(PROPOSAL, target=Labelled('ä€"\\\u202e\x1b😀', Integrity.EXTERNAL))

    assert rfc8785.dumps(parse_canonical(strange.preimage())) == strange.preimage()


CHANGED = {
    "tenant": "other",
    "incident_id": "inc-1",
    "incident_revision": 4,
    "action_class": "allow ip",
    "tool": "other",
    "arguments": {"note": Labelled("x", Integrity.HUMAN)},
    "target_kind": "user",
    "target": Labelled("203.0.113.8", Integrity.SENSOR),
    "state_digest": "00" * 32,
    "evidence_root": "00" * 32,
    "blast": Blast(2, 0, 100, 2, in_inventory=False),
    "undo_class": None,
    "lease_s": 3_601,
    "tool_pin": "00" * 32,
    "policy_digest": "00" * 32,
    "kill_epoch": 5,
    "proposer": Proposer("specialist:response", PrincipalKind.AGENT, "ana"),
    "nonce": "1" * 32,
    "expires_us": 1,
}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(ActionProposal)])
def test_every_field_is_bound(name: str) -> None:
    changed = replace(PROPOSAL, **{name: CHANGED[name]})  # type: ignore[arg-type]  # by name

    assert changed.digest != PROPOSAL.digest


@pytest.mark.parametrize(
    "label", [Labelled("203.0.113.7", Integrity.EXTERNAL), Labelled("203.0.113.7", Integrity.SENSOR, "x")]
)
def test_who_wrote_a_value_is_bound_as_well(label: Labelled) -> None:
    assert replace(PROPOSAL, target=label).digest != PROPOSAL.digest


def test_arguments_that_are_changed_in_place_have_another_digest() -> None:
    arguments = {"count": Labelled(1, Integrity.HUMAN)}
    proposal = replace(PROPOSAL, arguments=arguments)
    seen = {proposal.digest}
    for value in (True, 2, "1"):
        arguments["count"] = Labelled(value, Integrity.HUMAN)
        assert proposal.digest == replace(proposal).digest
        seen.add(proposal.digest)
    assert len(seen) == 4


def test_what_was_read_from_bytes_cannot_be_changed_for_the_next_reader() -> None:
    proposal = parse_preimage(replace(PROPOSAL, arguments={"count": Labelled(1, Integrity.HUMAN)}).preimage())
    with pytest.raises(TypeError):
        proposal.arguments["count"] = Labelled(2, Integrity.HUMAN)  # type: ignore[index]  # that is the point


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(
    TEXT,
    st.sampled_from(Integrity),
    st.one_of(st.none(), TEXT),
    st.dictionaries(TEXT, st.booleans() | TEXT | st.integers(0, 9)),
)
def test_what_is_read_back_is_the_same_proposal(
    value: str, integrity: Integrity, endorser: str | None, arguments: dict[str, bool | str | int]
) -> None:
    proposal = replace(
        PROPOSAL,
        target=Labelled(value, integrity, endorser),
        arguments={name: Labelled(one, integrity) for name, one in arguments.items()},
    )

    assert parse_preimage(proposal.preimage()) == proposal


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        GOLDEN.encode()[:-1] + b',"x":1}',
        GOLDEN.replace('"v":1', '"v":2').encode(),
        GOLDEN.replace('"targets":[', '"targets":[1,').encode(),
        GOLDEN.replace('{"action"', '{ "action"').encode(),
        GOLDEN.replace('"tool":"edge"', '"extra":1,"tool":"edge"').encode(),
        GOLDEN.replace('"incident":{', '"incident":{"a":1,').encode(),
    ],
)
def test_what_is_no_preimage_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError, match="not a sealed proposal"):
        parse_preimage(data)


def test_the_view_shows_everything_and_lets_no_text_act() -> None:
    nasty = '1.2.3.4\nAction      "allow ip"\u202e\x1b[2J\u200b'
    view = render_view(replace(PROPOSAL, target=Labelled(nasty, Integrity.EXTERNAL)))

    lines = view.splitlines()
    assert [line for line in lines if line.startswith("Action ")] == ['Action      "deny ip"']
    assert "AN ATTACKER COULD HAVE WRITTEN THIS" in view
    assert "\\u{000A}" in view
    assert "\\u{202E}" in view
    assert "\\u{001B}" in view
    assert "\\u{200B}" in view
    assert view.isprintable() is False  # its own line feeds, and nothing else
    assert "".join(lines).isprintable()


@given(TEXT, TEXT)
def test_views_of_different_targets_differ(one: str, other: str) -> None:
    views = {
        render_view(replace(PROPOSAL, target=Labelled(text, Integrity.SENSOR))).split("Digest")[0]
        for text in (one, other)
    }

    assert len(views) == len({one, other})


def test_a_certificate_is_for_one_proposer_and_one_tool() -> None:
    agent = PROPOSAL.proposer
    others = [
        version_digest(replace(agent, name="specialist:brandnew"), PROPOSAL.tool_pin),
        version_digest(replace(agent, kind=PrincipalKind.SERVICE), PROPOSAL.tool_pin),
        version_digest(agent, "00" * 32),
    ]

    assert version_digest(agent, PROPOSAL.tool_pin) not in others
    assert version_digest(replace(agent, requester="ana"), PROPOSAL.tool_pin) == version_digest(
        agent, PROPOSAL.tool_pin
    )


def test_the_blast_is_counted_from_the_inventory() -> None:
    hits = [InventoryHit("host", "a", 2), InventoryHit("user", "u", 0), InventoryHit("ip", "i", 3)]

    assert blast_of(hits, 1_000) == Blast(2, 1, 3_000, 0, in_inventory=True)
    assert blast_of([], 1_000) == Blast(1, 0, 1_000, 2, in_inventory=False)
    assert blast_of([], 0).fleet_ppm == MILLION
