"""When two records are the same alert, and the explanation that people get."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from dataclasses import replace

import pytest

from watchfloor_core.alert import Alert, Attribute, DedupKey, Entity, EntityKind, EntityRole, Integrity, Severity
from watchfloor_core.errors import ConfigurationError, NotFoundError
from watchfloor_core.store.engine import Store
from watchfloor_core.store.fingerprint import comparison, explain, fingerprint, shape_id
from watchfloor_core.store.ingest import ParsedBatch, register_source, write_batch

Login = Callable[..., Alert]
NATIVE = DedupKey(("native_uid",), 0)


def test_the_same_content_within_a_window_is_one_alert(login: Login) -> None:
    assert fingerprint("acme", login(5.0)) == fingerprint("acme", login(5.999999))
    assert fingerprint("acme", login(5.0)) != fingerprint("acme", login(6.0))


def test_windows_are_cut_alike_before_and_after_the_epoch(login: Login) -> None:
    early = [replace(login(), event_us=us) for us in (-1_000_000, -1, 0, 999_999)]
    first, second, third, fourth = (fingerprint("acme", alert) for alert in early)
    assert first == second
    assert third == fourth
    assert second != third


def test_a_window_of_zero_takes_the_exact_time(login: Login) -> None:
    exact = DedupKey(("detector", "entities", "attributes"), 0)
    assert fingerprint("acme", login(5.0, dedup=exact)) == fingerprint("acme", login(5.0, dedup=exact))
    assert fingerprint("acme", login(5.0, dedup=exact)) != fingerprint("acme", login(5.000001, dedup=exact))


@pytest.mark.parametrize(
    "change",
    [
        {"host": "web"},
        {"user": "admin"},
        {"uid": "5712"},
        {"product": "suricata"},
        {"connector": "sigma"},
        {"command": "ssh admin@mail"},
        {"severity": Severity.HIGH},
        {"dedup": DedupKey(("detector", "entities", "attributes"), 60)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_alerts_that_differ_in_what_is_compared_are_different(login: Login, change: dict[str, object]) -> None:
    assert fingerprint("acme", login(0)) != fingerprint("acme", login(0, **change))


def test_the_order_in_which_entities_and_attributes_are_named_does_not_matter(login: Login) -> None:
    alert = replace(login(), attributes=(*login().attributes, Attribute("port", "22", Integrity.SENSOR)))
    other = replace(alert, entities=alert.entities[::-1], attributes=alert.attributes[::-1])
    assert fingerprint("acme", alert) == fingerprint("acme", other)
    assert shape_id(alert) == shape_id(other)


def test_text_cannot_be_moved_between_fields_to_forge_a_duplicate(login: Login) -> None:
    one = replace(login(), attributes=(Attribute("a", "bc", Integrity.EXTERNAL),))
    other = replace(login(), attributes=(Attribute("ab", "c", Integrity.EXTERNAL),))
    third = replace(
        login(),
        entities=(*login().entities, Entity(EntityKind.IP, "x", EntityRole.RELATED)),
        attributes=(),
    )
    fourth = replace(login(), attributes=(Attribute("ip", "x", Integrity.EXTERNAL),))
    assert len({fingerprint("acme", alert) for alert in (one, other, third, fourth)}) == 4


def test_a_label_alone_makes_no_other_alert_but_another_shape(login: Login) -> None:
    # A connector that learns to label better still sees the same alerts; and the stored label is the new one's.
    assert fingerprint("acme", login(integrity=Integrity.SENSOR)) == fingerprint("acme", login())
    assert shape_id(login(integrity=Integrity.SENSOR)) != shape_id(login())


def test_a_shape_is_the_same_at_any_time(login: Login) -> None:
    assert shape_id(login(0)) == shape_id(login(86_400))


def test_a_shape_says_on_which_asset_it_was(login: Login) -> None:
    two = (Entity(EntityKind.HOST, "a", EntityRole.TARGET), Entity(EntityKind.HOST, "b", EntityRole.TARGET))
    assert shape_id(replace(login(), entities=two)) != shape_id(replace(login(), entities=two[::-1]))


def test_the_vendors_id_decides_alone_where_it_is_named_and_given(login: Login) -> None:
    first = login(0, native_uid="a-1", dedup=NATIVE)
    assert fingerprint("acme", first) == fingerprint("acme", login(99, host="web", native_uid="a-1", dedup=NATIVE))
    assert fingerprint("acme", first) != fingerprint("acme", login(0, native_uid="a-2", dedup=NATIVE))
    assert fingerprint("acme", first) != fingerprint(
        "acme", login(0, native_uid="a-1", dedup=NATIVE, connector="guardduty")
    )


def test_without_the_vendors_id_the_content_decides(login: Login) -> None:
    alert = login(0, native_uid=None, dedup=NATIVE)
    assert comparison(alert) == DedupKey(("detector", "entities", "attributes"), 0)
    assert fingerprint("acme", alert) == fingerprint("acme", login(0, native_uid=None, dedup=NATIVE))
    assert fingerprint("acme", alert) != fingerprint("acme", login(0, host="web", native_uid=None, dedup=NATIVE))


def test_fields_that_are_not_named_are_not_compared(login: Login) -> None:
    entities_only = DedupKey(("detector", "entities"), 60)
    assert fingerprint("acme", login(1, command="a", dedup=entities_only)) == fingerprint(
        "acme", login(2, command="b", dedup=entities_only)
    )
    assert fingerprint("acme", login(1, host="a", dedup=entities_only)) != fingerprint(
        "acme", login(2, host="b", dedup=entities_only)
    )


@pytest.mark.parametrize("rule", [DedupKey(("title",), 1), DedupKey((), 1), DedupKey(("detector",), -1)])
def test_a_comparison_that_does_not_exist_is_the_connectors_mistake(login: Login, rule: DedupKey) -> None:
    with pytest.raises(ConfigurationError, match="connector 'wazuh' declares dedup by"):
        fingerprint("acme", login(dedup=rule))


def test_alerts_that_come_together_lie_together_in_the_indexes(login: Login) -> None:
    alerts = [login(second, host=f"host-{second * 7 % 11}") for second in range(100)]
    assert sorted(fingerprint("acme", alert) for alert in alerts) == [fingerprint("acme", alert) for alert in alerts]


@pytest.mark.parametrize("event_us", [-62_135_596_800_000_000, -1, 2**32 * 1_000_000, 253_402_300_799_999_999])
def test_times_beyond_the_prefix_still_have_fingerprints_of_their_own(login: Login, event_us: int) -> None:
    found = {fingerprint("acme", replace(login(), event_us=event_us - second * 1_000_000)) for second in range(3)}
    assert {len(one) for one in found} == {16}
    assert len(found) == 3


def test_fingerprints_are_what_they_were_when_rows_were_written(login: Login) -> None:
    # Another value here means that a re-sent alert would come in twice after an upgrade.
    alert = login(5, native_uid="a-1")
    assert fingerprint("acme", alert).hex() == "65540a0524ff92d1e43cf236fff4df67"
    assert fingerprint("acme", replace(alert, dedup=NATIVE)).hex() == "b4c2128b602b57e7b91c45d0f93e3f19"
    assert shape_id(alert).hex() == "aa862dfafbea85604323ef7fabaabd98"


def test_text_that_is_not_unicode_has_a_fingerprint(login: Login) -> None:
    assert fingerprint("acme", login(command="\ud800")) != fingerprint("acme", login(command="\ufffd"))


def test_rows_that_repeat_cost_little(login: Login) -> None:
    repeated = login()
    alerts = [replace(repeated, event_us=repeated.event_us + n * 1_000_000) for n in range(2_000)]

    def all_of_them() -> None:
        for alert in alerts:
            fingerprint("acme", alert)

    # Microseconds each; measured 1.2. The digest of all parts anew takes more than ten.
    assert min(timeit.repeat(all_of_them, number=1, repeat=5)) / len(alerts) < 8e-6


def test_an_explanation_names_the_fields_the_window_the_values_and_every_record(
    store: Store, login: Login, batch_of: Callable[..., ParsedBatch]
) -> None:
    with store.write() as connection:
        register_source(connection, "acme", "file:1", "mail.csv", is_bounded=True)
        register_source(connection, "acme", "http:sensor", "sensor", is_bounded=False)
        first = write_batch(connection, "acme", batch_of([login(9), login(5.2)]))
    with store.write() as connection:
        second = write_batch(connection, "acme", batch_of([login(5.9)], source_id="http:sensor"))
    with store.read() as connection:
        why = explain(connection, "acme", fingerprint("acme", login(5)))
    assert why.connector == "wazuh"
    assert (why.fields, why.window_s, why.window_from_us) == (
        ("detector", "entities", "attributes"),
        1,
        login(5).event_us,
    )
    assert why.values == (
        ("detector.product", "wazuh"),
        ("detector.uid", "5710"),
        ("severity", "3"),
        ("entity.target.host", "mail"),
        ("entity.actor.user", "root"),
        ("attribute.command", "ssh root@mail"),
    )
    assert [(found.source_id, found.batch_id, found.position) for found in why.records] == [
        ("file:1", first.batch_id, 2),
        ("http:sensor", second.batch_id, 1),
    ]
    assert all(found.received_us > 0 for found in why.records)


def test_an_explanation_by_the_vendors_id_compares_nothing_else(
    store: Store, login: Login, batch_of: Callable[..., ParsedBatch]
) -> None:
    alert = login(5, native_uid="a-1", dedup=NATIVE)
    with store.write() as connection:
        register_source(connection, "acme", "file:1", "mail.csv", is_bounded=True)
        write_batch(connection, "acme", batch_of([alert]))
    with store.read() as connection:
        why = explain(connection, "acme", fingerprint("acme", alert))
    assert (why.fields, why.window_s, why.values) == (("native_uid",), 0, ())


def test_an_alert_of_another_tenant_cannot_be_explained(
    store: Store, login: Login, batch_of: Callable[..., ParsedBatch]
) -> None:
    with store.write() as connection:
        register_source(connection, "acme", "file:1", "mail.csv", is_bounded=True)
        write_batch(connection, "acme", batch_of([login()]))
    with store.read() as connection, pytest.raises(NotFoundError, match="no alert has the fingerprint"):
        explain(connection, "globex", fingerprint("globex", login()))
