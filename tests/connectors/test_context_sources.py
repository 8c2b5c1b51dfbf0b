"""Sources of context in files: what they read, how they match, and what they say of what they could not read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from watchfloor_connectors.context.config import ContextSettings, load_context_settings
from watchfloor_connectors.context.guarded import GuardedContextSource
from watchfloor_connectors.context.lists import kind_of
from watchfloor_connectors.context.opening import ContextShelf
from watchfloor_connectors.context.stix import values_of
from watchfloor_core.alert import EntityKind
from watchfloor_core.context import ContextKind, ContextSource, Facts, LookUp
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.logs.query import EntityRef
from watchfloor_core.logs.source import Coverage, Health

BAD = "45.77.3.66"
HASH = "a" * 64


def opened(folder: Path, **source: object) -> ContextSource:
    """The one source of a file as an operator writes it."""
    content = {"name": "feed", "tenants": ["acme"], **source}
    (folder / "context.yaml").write_text(json.dumps({"sources": [content]}))
    [found] = ContextShelf(load_context_settings(folder / "context.yaml")).of("acme")
    return found


def asked(source: ContextSource, kind: EntityKind, *values: str) -> Facts:
    return source.look_up(LookUp(kind=source.kind, entities=tuple(EntityRef(kind, one) for one in values)))


def said(facts: Facts, name: str) -> list[object]:
    return [one.fields.get(name) for one in facts.facts]


def bundle(folder: Path, *indicators: Mapping[str, object], name: str = "bundle.json") -> str:
    objects = [{"type": "indicator", "pattern_type": "stix", "name": "a server", **one} for one in indicators]
    (folder / name).write_text(json.dumps({"type": "bundle", "id": "bundle--1", "objects": objects}))
    return name


class TestStix:
    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            (f"[ipv4-addr:value = '{BAD}']", [(EntityKind.IP, BAD)]),
            (f"[file:hashes.'SHA-256' = '{HASH}']", [(EntityKind.FILE_HASH, HASH)]),
            ("[domain-name:value = 'a.example' OR url:value = 'http://a.example/x']",
             [(EntityKind.DOMAIN, "a.example"), (EntityKind.URL, "http://a.example/x")]),
            (f"[ipv4-addr:value IN ('{BAD}', '45.77.3.67')]",
             [(EntityKind.IP, BAD), (EntityKind.IP, "45.77.3.67")]),
            (f"[ipv4-addr:value = '{BAD}'] OR [domain-name:value = 'b.example']",
             [(EntityKind.IP, BAD), (EntityKind.DOMAIN, "b.example")]),
            (r"[url:value = 'http://a.example/it\'s']", [(EntityKind.URL, "http://a.example/it's")]),
            # What has to hold together is more than one value says.
            (f"[ipv4-addr:value = '{BAD}' AND domain-name:value = 'a.example']", []),
            (f"[ipv4-addr:value = '{BAD}'] AND [domain-name:value = 'a.example']", []),
            (f"[ipv4-addr:value = '{BAD}'] FOLLOWEDBY [domain-name:value = 'a.example']", []),
            (f"[ipv4-addr:value = '{BAD}'] REPEATS 5 TIMES", []),
            (f"[ipv4-addr:value != '{BAD}']", []),
            ("[url:value LIKE 'http%']", []),
            ("[process:command_line = 'x']", []),
            ("[[[[ipv4-addr", []),
        ],
    )  # fmt: skip
    def test_a_pattern_gives_the_values_of_which_one_is_enough(
        self, pattern: str, expected: Sequence[tuple[EntityKind, str]]
    ) -> None:
        assert sorted(values_of(pattern)) == sorted(expected)

    def test_an_indicator_says_what_it_is_and_how_sure(self, tmp_path: Path) -> None:
        one = {"pattern": f"[ipv4-addr:value = '{BAD}']", "name": "C2 of X", "confidence": 85, "id": "indicator--7"}
        found = asked(opened(tmp_path, kind="stix", paths=[bundle(tmp_path, one)]), EntityKind.IP, BAD, "45.77.3.1")
        [fact] = found.facts
        assert fact.fields == {
            "indicator.value": BAD,
            "indicator.name": "C2 of X",
            "indicator.confidence": 85,
            "indicator.reference": "indicator--7",
        }
        assert (fact.entity, found.coverage.health) == (EntityRef(EntityKind.IP, BAD), Health.WHOLE)

    def test_what_has_expired_is_told_with_little_confidence_and_what_was_revoked_not_at_all(
        self, tmp_path: Path
    ) -> None:
        old = {"pattern": f"[ipv4-addr:value = '{BAD}']", "confidence": 90, "valid_until": "2020-01-01T00:00:00Z"}
        gone = {"pattern": "[ipv4-addr:value = '45.77.3.7']", "revoked": True}
        source = opened(tmp_path, kind="stix", paths=[bundle(tmp_path, old, gone)])
        found = asked(source, EntityKind.IP, BAD, "45.77.3.7")
        assert said(found, "indicator.confidence") == [20]
        assert said(found, "indicator.expired") == ["2020-01-01T00:00:00Z"]

    def test_what_it_cannot_look_up_makes_it_partial_with_the_number(self, tmp_path: Path) -> None:
        both = {"pattern": f"[ipv4-addr:value = '{BAD}' AND ipv4-addr:value = '45.77.3.1']"}
        snort = {"pattern": "alert tcp any any", "pattern_type": "snort"}
        found = asked(opened(tmp_path, kind="stix", paths=[bundle(tmp_path, both, snort)]), EntityKind.IP, BAD)
        assert found.facts == ()
        assert (found.coverage.health, found.coverage.reason) == (
            Health.PARTIAL,
            "2 of its entries say what cannot be looked up",
        )

    def test_a_file_that_is_no_bundle_is_named_and_the_others_are_read(self, tmp_path: Path) -> None:
        (tmp_path / "feed").mkdir()
        (tmp_path / "feed" / "a.json").write_text("{}")
        (tmp_path / "feed" / "b.json").write_bytes(b"\xff\x00")
        bundle(tmp_path / "feed", {"pattern": f"[ipv4-addr:value = '{BAD}']"}, name="c.json")
        found = asked(opened(tmp_path, kind="stix", paths=["feed"]), EntityKind.IP, BAD)
        assert len(found.facts) == 1
        assert found.coverage.health is Health.PARTIAL
        assert "a.json cannot be read: it is no STIX bundle" in found.coverage.reason
        assert "b.json cannot be read" in found.coverage.reason

    def test_with_nothing_to_read_it_is_dark(self, tmp_path: Path) -> None:
        found = asked(opened(tmp_path, kind="stix", paths=["nowhere"]), EntityKind.IP, BAD)
        assert (found.coverage.health, found.coverage.reason) == (Health.DARK, "nowhere does not exist")


class TestMisp:
    EVENT: ClassVar = {
        "info": "A campaign",
        "threat_level_id": "1",
        "Attribute": [
            {"type": "ip-dst|port", "value": f"{BAD}|443", "to_ids": True, "category": "Network activity"},
            {"type": "domain|ip", "value": "c2.example|45.77.3.9", "to_ids": True, "comment": "a panel"},
            {"type": "ip-src", "value": "45.77.3.10", "to_ids": False},
            {"type": "url", "value": "http://c2.example/x", "to_ids": True, "deleted": True},
            {"type": "yara", "value": "rule x {}", "to_ids": True},
        ],
        "Object": [{"Attribute": [{"type": "filename|sha256", "value": f"a.exe|{HASH}", "to_ids": True}]}],
    }

    @pytest.mark.parametrize(
        "shape",
        [
            lambda event: {"Event": event},
            lambda event: {"response": [{"Event": event}]},
            lambda event: [{"Event": event}],
        ],
        ids=["one", "answer", "list"],
    )
    def test_indicators_of_an_event_are_found_in_each_form_of_export(self, tmp_path: Path, shape: object) -> None:
        assert callable(shape)
        (tmp_path / "export.json").write_text(json.dumps(shape(self.EVENT)))
        source = opened(tmp_path, kind="misp", paths=["export.json"])
        assert said(asked(source, EntityKind.IP, BAD, "45.77.3.9", "45.77.3.10"), "indicator.name") == [
            "A campaign: Network activity",
            "A campaign: a panel",
        ]
        assert said(asked(source, EntityKind.FILE_HASH, HASH.upper()), "indicator.confidence") == [80]
        assert asked(source, EntityKind.URL, "http://c2.example/x").facts == ()
        # A YARA rule is an indicator, and no value.
        assert "1 of its entries" in asked(source, EntityKind.IP, BAD).coverage.reason

    def test_an_answer_of_the_search_for_attributes_is_read(self, tmp_path: Path) -> None:
        one = {"type": "ip-src", "value": BAD, "to_ids": "1", "Event": {"info": "seen"}}
        (tmp_path / "export.json").write_text(json.dumps({"response": {"Attribute": [one]}}))
        assert said(
            asked(opened(tmp_path, kind="misp", paths=["export.json"]), EntityKind.IP, BAD), "indicator.name"
        ) == ["seen"]

    def test_something_else_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "export.json").write_text('{"objects": []}')
        found = asked(opened(tmp_path, kind="misp", paths=["export.json"]), EntityKind.IP, BAD)
        assert found.coverage.health is Health.DARK
        assert "no export of MISP" in found.coverage.reason


class TestLists:
    def test_a_line_is_what_its_form_says(self) -> None:
        lines = (BAD, "2001:db8::/32", "a.example", "http://a.example", HASH, "what is this")
        assert [kind_of(one) for one in lines] == [
            EntityKind.IP,
            EntityKind.IP,
            EntityKind.DOMAIN,
            EntityKind.URL,
            EntityKind.FILE_HASH,
            None,
        ]  # fmt: skip

    def test_networks_hold_their_addresses_and_domains_what_is_below_them(self, tmp_path: Path) -> None:
        (tmp_path / "block.txt").write_text(
            "# our list\n45.77.3.0/24  # a hoster\n45.77.3.64/30\n2001:db8::/32\nEVIL.example.\n\nnot one\n"
        )
        source = opened(tmp_path, kind="list", paths=["block.txt"], confidence=70)
        assert said(asked(source, EntityKind.IP, BAD), "indicator.value") == ["45.77.3.64/30", "45.77.3.0/24"]
        assert said(asked(source, EntityKind.IP, "2001:db8::1"), "indicator.name") == ["an entry of block.txt"]
        assert said(asked(source, EntityKind.IP, "45.77.3.1"), "indicator.name") == ["a hoster"]
        assert said(asked(source, EntityKind.DOMAIN, "x.y.evil.example"), "indicator.confidence") == [70]
        assert asked(source, EntityKind.DOMAIN, "notevil.example").facts == ()
        assert asked(source, EntityKind.DOMAIN, "example").facts == ()
        assert "1 of its entries" in asked(source, EntityKind.IP, BAD).coverage.reason

    def test_what_is_no_value_of_its_kind_is_not_found_and_breaks_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "block.txt").write_text(f"{BAD}\n")
        source = opened(tmp_path, kind="list", paths=["block.txt"])
        assert asked(source, EntityKind.IP, "no address", "", "-").facts == ()
        assert asked(source, EntityKind.FILE_HASH, "xyz").facts == ()


class TestPrivateAddresses:
    @pytest.mark.parametrize("address", ["10.0.0.9", "192.168.1.1", "fd00::1", "127.0.0.1"])
    def test_an_operators_own_list_names_them_as_single_ones_and_by_network(self, tmp_path: Path, address: str) -> None:
        (tmp_path / "own.txt").write_text(f"{address}  # the sandbox\n")
        source = opened(tmp_path, kind="list", paths=["own.txt"])
        assert said(asked(source, EntityKind.IP, address), "indicator.name") == ["the sandbox"]

    def test_bundles_of_others_say_nothing_of_them(self, tmp_path: Path) -> None:
        patterns = ("10.0.0.9", "10.0.0.0/8", BAD)
        name = bundle(tmp_path, *({"pattern": f"[ipv4-addr:value = '{one}']"} for one in patterns))
        source = opened(tmp_path, kind="stix", paths=[name])
        assert said(asked(source, EntityKind.IP, "10.0.0.9", "10.1.1.1", BAD), "indicator.value") == [BAD]

    def test_exports_of_misp_say_nothing_of_them(self, tmp_path: Path) -> None:
        attributes = [{"type": "ip-dst", "value": one, "to_ids": True} for one in ("192.168.1.1", BAD)]
        (tmp_path / "export.json").write_text(json.dumps({"Event": {"info": "x", "Attribute": attributes}}))
        source = opened(tmp_path, kind="misp", paths=["export.json"])
        assert said(asked(source, EntityKind.IP, "192.168.1.1", BAD), "indicator.value") == [BAD]

    def test_a_plug_in_for_intelligence_does_not_learn_of_them(self) -> None:
        class Heard:
            name = "theirs"
            kind = ContextKind.INTELLIGENCE
            asked: ClassVar[list[str]] = []

            def look_up(self, question: LookUp) -> Facts:
                self.asked.extend(one.value for one in question.entities)
                return Facts((), Coverage("theirs", Health.WHOLE))

        source = GuardedContextSource("theirs", ContextKind.INTELLIGENCE, Heard())
        found = asked(source, EntityKind.IP, "10.0.0.9")
        asked(source, EntityKind.IP, "10.0.0.9", BAD)
        assert Heard.asked == [BAD]
        assert (found.facts, found.coverage) == ((), Coverage("theirs", Health.WHOLE))


class TestWarningLists:
    @pytest.mark.parametrize(
        ("type_", "entries", "held"),
        [
            ("cidr", ["45.77.3.0/24"], True),
            ("string", [BAD], True),
            ("substring", ["3.66"], True),
            ("regex", [r"^45\."], True),
            ("hostname", ["example.org"], False),
            ("cidr", ["203.0.113.0/24"], False),
        ],
    )
    def test_what_is_on_one_is_told_with_the_listing(
        self, tmp_path: Path, type_: str, entries: list[str], held: bool
    ) -> None:
        (tmp_path / "block.txt").write_text(f"{BAD}\n")
        (tmp_path / "warn.json").write_text(
            json.dumps({"name": "Common", "type": type_, "list": entries, "version": 1})
        )
        source = opened(tmp_path, kind="list", paths=["block.txt"], warning_lists=["warn.json"])
        assert said(asked(source, EntityKind.IP, BAD), "warning_list.name") == ["Common" if held else None]

    def test_names_below_a_listed_one_count(self, tmp_path: Path) -> None:
        (tmp_path / "block.txt").write_text("cdn.example.org\nhttp://cdn.example.org/x\n")
        (tmp_path / "warn.json").write_text(json.dumps({"name": "Top", "type": "hostname", "list": [".example.org"]}))
        source = opened(tmp_path, kind="list", paths=["block.txt"], warning_lists=["warn.json"])
        assert said(asked(source, EntityKind.DOMAIN, "cdn.example.org"), "warning_list.name") == ["Top"]
        assert said(asked(source, EntityKind.URL, "http://cdn.example.org/x"), "warning_list.name") == ["Top"]

    @pytest.mark.parametrize("content", ["[]", '{"name": "x", "type": "regex", "list": ["("]}', "{"])
    def test_one_that_cannot_be_read_makes_the_source_partial(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "block.txt").write_text(f"{BAD}\n")
        (tmp_path / "warn.json").write_text(content)
        source = opened(tmp_path, kind="list", paths=["block.txt"], warning_lists=["warn.json"])
        found = asked(source, EntityKind.IP, BAD)
        assert len(found.facts) == 1
        assert found.coverage.health is Health.PARTIAL
        assert "warn.json" in found.coverage.reason


class TestRunbooks:
    def asked(self, source: ContextSource, *terms: str) -> list[object]:
        return said(source.look_up(LookUp(kind=ContextKind.RUNBOOK, terms=terms)), "runbook.title")

    def test_it_finds_by_technique_and_by_its_parent(self, tmp_path: Path) -> None:
        (tmp_path / "books" / "deep").mkdir(parents=True)
        (tmp_path / "books" / "dump.md").write_text("# Credentials were dumped (T1003)\n\nFirst, …")
        (tmp_path / "books" / "deep" / "lsass.md").write_text("## LSASS was read\n\nFor T1003.001 alone.")
        (tmp_path / "books" / "phish.md").write_text("A mail. T1566")
        source = opened(tmp_path, kind="runbooks", paths=["books"])
        assert sorted(map(str, self.asked(source, "T1003.001"))) == [
            "Credentials were dumped (T1003)",
            "LSASS was read",
        ]
        assert self.asked(source, "T1566") == ["phish"]
        assert self.asked(source, "T1021") == []

    def test_a_term_is_never_a_query(self, tmp_path: Path) -> None:
        (tmp_path / "a.md").write_text("# A\n\nsecret")
        source = opened(tmp_path, kind="runbooks", paths=["a.md"])
        for term in ('" OR secret', "secret*", "NEAR(", "title:x", "*", '"', "-", "^", "a AND b", "\x00"):
            self.asked(source, term)
        assert self.asked(source, "sec*") == []

    def test_what_cannot_be_read_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "a.md").write_bytes(b"\xff\xfe\x00")
        source = opened(tmp_path, kind="runbooks", paths=["a.md", "none"])
        found = source.look_up(LookUp(kind=ContextKind.RUNBOOK, terms=("T1003",)))
        assert found.coverage.health is Health.PARTIAL
        assert "a.md cannot be read" in found.coverage.reason
        assert "none does not exist" in found.coverage.reason


def test_files_that_change_are_read_again(tmp_path: Path) -> None:
    (tmp_path / "block.txt").write_text("45.77.3.1\n")
    (tmp_path / "context.yaml").write_text(
        json.dumps({"sources": [{"name": "feed", "kind": "list", "tenants": ["acme"], "paths": ["block.txt"]}]})
    )
    shelf = ContextShelf(load_context_settings(tmp_path / "context.yaml"))
    [before] = shelf.of("acme")
    assert shelf.of("acme") == (before,)
    (tmp_path / "block.txt").write_text(f"45.77.3.1\n{BAD}\n")
    [after] = shelf.of("acme")
    assert asked(before, EntityKind.IP, BAD).facts == ()
    assert len(asked(after, EntityKind.IP, BAD).facts) == 1


def test_a_tenant_has_its_own_sources_alone(tmp_path: Path) -> None:
    (tmp_path / "context.yaml").write_text(
        json.dumps({"sources": [{"name": "feed", "kind": "list", "tenants": ["acme"], "paths": ["x"]}]})
    )
    assert ContextShelf(load_context_settings(tmp_path / "context.yaml")).of("other") == ()


def test_without_a_file_there_is_nothing_unless_a_setting_names_it(tmp_path: Path) -> None:
    assert load_context_settings(tmp_path / "context.yaml") == ContextSettings()
    with pytest.raises(ConfigurationError, match="there is no such file"):
        load_context_settings(tmp_path / "context.yaml", is_required=True)


def test_every_mistake_of_a_file_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "context.yaml").write_text(
        "sources:\n"
        "  - {name: a, kind: stix, tenants: [acme], paths: []}\n"
        "  - {name: B, kind: runbooks, tenants: [acme], paths: [x], colour: red}\n"
        "  - {name: c, kind: taxii, tenants: [acme], paths: [x]}\n"
    )
    with pytest.raises(ConfigurationError) as refused:
        load_context_settings(tmp_path / "context.yaml")
    text = str(refused.value)
    for line in (2, 3, 4):
        assert f"context.yaml:{line}" in text
    assert "unknown key" in text


@pytest.mark.parametrize(
    ("names", "reason"), [(["a", "a"], "two sources are named 'a'"), (["history"], "always there")]
)
def test_names_are_each_sources_own(tmp_path: Path, names: list[str], reason: str) -> None:
    sources = [{"name": one, "kind": "list", "tenants": ["acme"], "paths": ["x"]} for one in names]
    (tmp_path / "context.yaml").write_text(json.dumps({"sources": sources}))
    with pytest.raises(ConfigurationError, match=reason):
        load_context_settings(tmp_path / "context.yaml")
