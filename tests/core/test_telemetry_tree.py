"""The decision tree of an incident: what led to what, and why, with attacker-written text made harmless."""

from __future__ import annotations

import pytest
from sqlalchemy import delete

from watchfloor_core.ledger import Decision, JsonValue, record_decisions
from watchfloor_core.ledger.entry import Kind
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import span as span_table
from watchfloor_core.telemetry import SpanAttribute, SpanName
from watchfloor_core.telemetry.content import AttributeValue
from watchfloor_core.telemetry.tree import MAX_REASONS, TreeNode, decision_tree, render_tree
from watchfloor_core.untrusted import quote_untrusted

TENANT = "acme"
INCIDENT = "inc-0123456789abcdef"
START = 1_700_000_000_000_000


def decision(
    kind: Kind,
    at: int,
    parent: Decision | None = None,
    body: dict[str, JsonValue] | None = None,
    attributes: dict[str, AttributeValue] | None = None,
) -> Decision:
    return Decision(
        chain=INCIDENT,
        kind=kind,
        body=body or {},
        name=SpanName(f"watchfloor.{kind}"),
        start_us=START + at,
        end_us=START + at + 1_500,
        parent_id=parent.id if parent else None,
        attributes=attributes or {},
    )


def tree_of(store: Store, *decisions: Decision) -> list[TreeNode]:
    with store.write() as connection:
        record_decisions(connection, TENANT, decisions)
    with store.read() as connection:
        return decision_tree(connection, TENANT, INCIDENT)


def shape(nodes: list[TreeNode] | tuple[TreeNode, ...]) -> list[object]:
    return [(node.kind, shape(node.children)) if node.children else node.kind for node in nodes]


def test_decisions_stand_below_what_led_to_them_in_time_order(store: Store) -> None:
    correlate = decision("correlate", 0)
    verdict = decision("verdict", 100, correlate)
    ruling = decision("ruling", 300, verdict)
    shadow = decision("shadow_seal", 200, verdict)
    queue = decision("queue", 400, ruling)
    again = decision("correlate", 500)
    nodes = tree_of(store, correlate, verdict, ruling, shadow, queue, again)
    assert shape(nodes) == [
        ("correlate", [("verdict", ["shadow_seal", ("ruling", ["queue"])])]),
        "correlate",
    ]


def test_a_node_holds_the_entry_and_its_span(store: Store) -> None:
    body: dict[str, JsonValue] = {"reasons": [{"code": "novel", "text": "first seen", "log_odds": 1.25}]}
    verdict = decision("verdict", 0, body=body, attributes={SpanAttribute.VERDICT: "TruePositive"})
    (node,) = tree_of(store, verdict)
    assert node == TreeNode(
        id=verdict.id,
        parent_id=None,
        seq=1,
        kind="verdict",
        name="watchfloor.verdict",
        at_us=START + 1_500,
        duration_us=1_500,
        attributes={"watchfloor.verdict": "TruePositive"},
        body=body,
        children=(),
    )
    assert node.reasons == ("+1.25 novel: first seen",)


def test_a_parent_that_is_no_earlier_decision_of_the_incident_makes_a_root(store: Store) -> None:
    elsewhere = Decision("ingest", "ingest_batch", {}, SpanName.INGEST_BATCH, START, START)
    child = decision("verdict", 0, parent=elsewhere)
    later = decision("ruling", 20)
    earlier = decision("queue", 10, parent=later)
    assert shape(tree_of(store, elsewhere, child, earlier, later)) == ["verdict", "queue", "ruling"]


def test_what_retention_took_away_is_not_needed(store: Store) -> None:
    tree_of(store, decision("verdict", 0))
    with store.write() as connection:
        connection.execute(delete(span_table))
    with store.read() as connection:
        (node,) = decision_tree(connection, TENANT, INCIDENT)
    assert (node.kind, node.name, node.duration_us, node.attributes) == ("verdict", "verdict", 0, {})


def test_an_incident_of_another_tenant_has_no_tree_here(store: Store) -> None:
    tree_of(store, decision("verdict", 0))
    with store.read() as connection:
        assert decision_tree(connection, "globex", INCIDENT) == []


def test_the_tree_is_drawn_with_times_attributes_and_reasons(sqlite_store: Store) -> None:
    correlate = decision("correlate", 0, attributes={SpanAttribute.ALERTS: 12, SpanAttribute.TENANT: "acme"})
    verdict = decision(
        "verdict",
        10_000,
        correlate,
        body={"reasons": [{"code": "novel", "text": "first seen", "log_odds": 2}, "and a plain one"]},
        attributes={SpanAttribute.VERDICT: "TruePositive", SpanAttribute.PROBABILITY: 0.97123456},
    )
    ruling = decision("ruling", 20_000, verdict, attributes={SpanAttribute.RULING_CODES: ["level", "not certified"]})
    closure = decision("closure", 30_000, correlate)
    drawn = render_tree(tree_of(sqlite_store, correlate, verdict, ruling, closure), width=100)
    assert drawn.splitlines() == [
        f"2023-11-14T22:13:20.001500Z correlate 1.5 ms [1 {correlate.id}]",
        "│  alerts=12",
        f"├─ 2023-11-14T22:13:20.011500Z verdict 1.5 ms [2 {verdict.id}]",
        "│  │  verdict=TruePositive probability=0.9712",
        "│  │  +2.00 novel: first seen",
        "│  │  and a plain one",
        f"│  └─ 2023-11-14T22:13:20.021500Z ruling 1.5 ms [3 {ruling.id}]",
        '│        ruling.codes=level,"not certified"',
        f"└─ 2023-11-14T22:13:20.031500Z closure 1.5 ms [4 {closure.id}]",
    ]


def test_attacker_written_text_in_reasons_cannot_act_on_the_terminal(sqlite_store: Store) -> None:
    hostile = '\x1b[2J\x1b]0;owned\x07\n└─ closure [9 forged]\u202e\u200b" and more'
    reasons: list[JsonValue] = [
        {"code": "quoted", "text": f"command line {quote_untrusted(hostile)}", "log_odds": 1.0},
        {"code": hostile, "text": hostile, "log_odds": 1.0},
        {"code": "no number", "text": hostile},
        hostile,
        {"anything": hostile},
    ]
    (node,) = tree_of(sqlite_store, decision("verdict", 0, body={"reasons": reasons}))
    drawn = render_tree([node], width=200)
    assert all(line.isprintable() for line in drawn.splitlines())
    assert not [line for line in drawn.splitlines() if line.strip().startswith("└─")]
    assert 'command line "\\u{001B}[2J' in drawn


def test_a_ruling_gives_its_rules_and_a_correlation_its_joins_as_reasons(sqlite_store: Store) -> None:
    join: JsonValue = {"detector": "ET SCAN\n", "alerts": 12, "rule": "shared_entity", "text": "same host 4 s apart"}
    hit: JsonValue = {"rule": "crown_jewel", "outcome": "ask", "text": "its asset is of tier 0"}
    correlate = decision("correlate", 0, body={"joins": [join]})
    ruling = decision("ruling", 10, correlate, body={"hits": [hit]})
    queue = decision("queue", 20, ruling, body={"because": ["its asset is of tier 0"]})
    (node,) = tree_of(sqlite_store, correlate, ruling, queue)
    assert node.reasons == ('12 of "ET SCAN\\u{000A}" by shared_entity: same host 4 s apart',)
    assert node.children[0].reasons == ("ask by crown_jewel: its asset is of tier 0",)
    assert node.children[0].children[0].reasons == ("its asset is of tier 0",)


def test_many_reasons_are_counted(sqlite_store: Store) -> None:
    reasons: list[JsonValue] = [{"code": f"r{n}", "text": "x", "log_odds": 0.1} for n in range(MAX_REASONS + 3)]
    drawn = render_tree(tree_of(sqlite_store, decision("verdict", 0, body={"reasons": reasons})))
    assert drawn.endswith("… and 3 more reasons")
    assert f"r{MAX_REASONS}:" not in drawn


@pytest.mark.parametrize("width", [10, 60, 80, 200])
def test_no_line_is_wider_than_the_console(sqlite_store: Store, width: int) -> None:
    decisions = [decision("verdict", 0)]
    for number in range(1, 40):
        body: dict[str, JsonValue] = {"reasons": [{"code": "long", "text": "word " * 60 + "x" * 300, "log_odds": 1.0}]}
        decisions.append(decision("ruling", number, decisions[-1], body=body))
    drawn = render_tree(tree_of(sqlite_store, *decisions), width)
    assert max(len(line) for line in drawn.splitlines()) <= max(width, 60)
    assert drawn.count("ruling") == 39
