"""The identity directory as a source of context: a real LDAP server, and the values that Active Directory sends."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from ldap3.operation.search import parse_filter

from tests.connectors.directory_server import BASE, PASSWORD, READER, Slapd, make_certificates, slapd
from watchfloor_connectors.context import directory
from watchfloor_connectors.context.account_names import Condition, Naming, domain_of
from watchfloor_connectors.context.accounts import ATTRIBUTES, Group, Layout, account_fields, name_of_dn
from watchfloor_connectors.context.config import load_context_settings
from watchfloor_connectors.context.directory import DirectorySource, Found
from watchfloor_connectors.context.directory_session import filter_text
from watchfloor_connectors.context.opening import ContextShelf
from watchfloor_connectors.context.testing import check_context_source
from watchfloor_core.alert import EntityKind
from watchfloor_core.context import ContextKind, ContextSource, Facts, LookUp
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.logs.event import Value
from watchfloor_core.logs.query import EntityRef
from watchfloor_core.logs.source import Health
from watchfloor_service.detection.investigate import case_context_file

HASH = "{SSHA}0123456789abcdef"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"


def person(uid: str, *lines: str, unit: str = "people", name: str = "") -> str:
    head = (
        f"dn: uid={uid},ou={unit},{BASE}\nobjectClass: inetOrgPerson\nobjectClass: shadowAccount\nuid: {uid}\nsn: x\n"
    )
    return "\n".join([f"{head}cn: {name or uid}", f"userPassword: {HASH}", *lines, "", ""])


def group(name: str, *members: str) -> str:
    listed = "\n".join(f"member: {one}" for one in members)
    return f"dn: cn={name},{GROUPS}\nobjectClass: groupOfNames\ncn: {name}\n{listed}\n\n"


def unit(name: str) -> str:
    return f"dn: ou={name},{BASE}\nobjectClass: organizationalUnit\nou: {name}\n\n"


def windows_user(name: str, control: int, *lines: str) -> str:
    head = f"dn: cn={name},{PEOPLE}\nobjectClass: user\ncn: {name}\nsn: x\nsAMAccountName: {name}\n"
    return "\n".join([f"{head}userAccountControl: {control}", *lines, "", ""])


LDIF = "".join(
    [
        unit("people"),
        unit("contractors"),
        unit("groups"),
        person("ann", "departmentNumber: Finance", "title: Clerk", f"manager: uid=eve,{PEOPLE}", "shadowExpire: -1",
               name="Ann Keane"),
        person("bob", "shadowExpire: 1", "shadowLastChange: 20000"),
        person("eve", "pwdAccountLockedTime: 000001010000Z", name="Eve\\, the manager"),
        person("root-adm", "shadowExpire: 19000"),
        person("twin", name="The first"),
        person("twin", unit="contractors", name="The second"),
        person("ánn"),
        group("staff", f"uid=ann,{PEOPLE}", f"uid=bob,{PEOPLE}"),
        group("operators", f"uid=root-adm,{PEOPLE}"),
        # Through another, and in a circle.
        group("wheel", f"cn=operators,{GROUPS}", f"cn=inner,{GROUPS}"),
        group("inner", f"cn=wheel,{GROUPS}"),
        f"dn: cn=sudo,{GROUPS}\nobjectClass: posixGroup\ncn: sudo\ngidNumber: 27\nmemberUid: bob\n\n",
        windows_user("svc-sql", 514, "userPrincipalName: sql@corp.example", "pwdLastSet: 133500000000000000",
                     "accountExpires: 9223372036854775807", "primaryGroupID: 512"),
    ]
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    with slapd(LDIF) as found:
        yield found


def entry(server: Slapd, **changes: object) -> dict[str, object]:
    given: dict[str, object] = {
        "name": "corp",
        "kind": "ldap",
        "tenants": ["acme"],
        "url": f"ldap://127.0.0.1:{server.port}",
        "start_tls": True,
        "schema": "posix",
        "base_dn": BASE,
        "bind_dn": READER,
        "password": "env:SOC_LDAP_PASSWORD",
        "ca_file": str(server.certificates.ca),
        "timeout_s": 20,
    }
    return {name: value for name, value in {**given, **changes}.items() if value is not None}


def opened(folder: Path, content: Mapping[str, object], password: str = PASSWORD) -> ContextSource:
    """As an operator writes it."""
    (folder / "context.yaml").write_text(json.dumps({"sources": [content]}))
    [found] = ContextShelf(load_context_settings(folder / "context.yaml"), lambda _: password).of("acme")
    return found


@pytest.fixture
def source(server: Slapd, tmp_path: Path) -> ContextSource:
    return opened(tmp_path, entry(server))


def users(*names: str) -> LookUp:
    return LookUp(kind=ContextKind.DIRECTORY, entities=tuple(EntityRef(EntityKind.USER, one) for one in names))


def fields(facts: Facts) -> Mapping[str, Value]:
    [fact] = facts.facts
    return fact.fields


def names(facts: Facts) -> list[Value | None]:
    return [one.fields.get("account.name") for one in facts.facts]


class TestRealServer:
    def test_an_account_is_told_with_what_the_directory_says_of_it(self, source: ContextSource) -> None:
        found = source.look_up(users("ann"))
        told = dict(fields(found))
        assert found.coverage.health is Health.WHOLE
        assert str(told.pop("account.created")).endswith("Z")
        assert told == {
            "account.name": "ann",
            "account.dn": f"uid=ann,{PEOPLE}",
            "account.display_name": "Ann Keane",
            "account.department": "Finance",
            "account.title": "Clerk",
            "account.manager": "eve",
            "account.disabled": "no",
            "account.expires": "never",
            "account.groups": "staff",
            "account.groups_total": 1,
        }

    def test_no_password_and_no_hash_is_read(self, source: ContextSource) -> None:
        assert HASH not in str(source.look_up(users("ann", "bob", "eve")))
        read = {one.lower() for each in ATTRIBUTES.values() for one in each}
        assert not read & {"userpassword", "unicodepwd", "sambantpassword", "krbprincipalkey"}

    def test_one_that_it_does_not_have_is_not_told_and_that_is_whole(self, source: ContextSource) -> None:
        found = source.look_up(users("nobody-here"))
        assert (found.facts, found.coverage.health) == ((), Health.WHOLE)

    @pytest.mark.parametrize("name", ["bob", "eve"])
    def test_a_disabled_account_is_told_to_be_so(self, source: ContextSource, name: str) -> None:
        assert fields(source.look_up(users(name)))["account.disabled"] == "yes"

    def test_a_privileged_group_counts_through_others_that_are_in_a_circle(self, source: ContextSource) -> None:
        told = fields(source.look_up(users("root-adm")))
        assert told["account.groups"] == "inner; operators; wheel"
        assert told["account.privileged_groups"] == "wheel"
        assert told["account.expires"] == "2022-01-08T00:00:00Z"

    def test_groups_of_names_count_as_well(self, source: ContextSource) -> None:
        assert fields(source.look_up(users("bob")))["account.privileged_groups"] == "sudo"

    def test_the_operator_says_which_groups_are_privileged(self, server: Slapd, tmp_path: Path) -> None:
        groups = [f"CN=Staff,{GROUPS}"]
        found = opened(tmp_path, entry(server, privileged_groups=groups)).look_up(users("ann", "root-adm"))
        assert [one.fields.get("account.privileged_groups") for one in found.facts] == ["staff", None]

    def test_two_entries_of_one_name_are_both_told_and_said_to_be_two(self, source: ContextSource) -> None:
        found = source.look_up(users("twin"))
        assert [one.fields["account.display_name"] for one in found.facts] == ["The second", "The first"]
        assert [one.fields["account.entries"] for one in found.facts] == [2, 2]

    def test_many_are_asked_for_at_once_and_told_in_the_order_of_the_question(self, source: ContextSource) -> None:
        found = source.look_up(users("root-adm", *(f"nobody-{number}" for number in range(200)), "bob", "ann"))
        assert names(found) == ["root-adm", "bob", "ann"]

    @pytest.mark.parametrize(
        "name", ["CORP\\ann", "corp.example\\Ann", "ann@corp.example", "ANN@CORP.EXAMPLE", " ann "]
    )
    def test_a_domain_before_or_after_the_name_is_understood(self, source: ContextSource, name: str) -> None:
        assert names(source.look_up(users(name))) == ["ann"]

    def test_somebody_elses_ann_is_not_ours(self, server: Slapd, tmp_path: Path) -> None:
        ours = opened(tmp_path, entry(server, domains=["CORP"]))
        found = ours.look_up(users("ann@elsewhere.example", "WS1\\ann", "corp\\bob"))
        assert names(found) == ["bob"]

    @pytest.mark.parametrize(
        "name",
        [
            "*", "a*", "*)(uid=*", "ann)(|(uid=*", "ann)(objectClass=*", "\\2a", "a\\2a", "ann\x00", "\x00",
            "ann\x00)(uid=*",
            "(uid=ann)", ")(", "&(uid=ann)", "ánn\u0301", "ａｎｎ", "än\u202en", "\ud800", "a" * 5_000, "ann,ou=people",
            "ann  x", "=", "~=ann", ":dn:=ann",
        ],
    )  # fmt: skip
    def test_a_name_that_is_written_to_find_more_finds_nothing(self, source: ContextSource, name: str) -> None:
        found = source.look_up(users(name))
        assert (found.facts, found.coverage.health) == ((), Health.WHOLE)

    def test_a_name_in_another_alphabet_is_a_name(self, source: ContextSource) -> None:
        assert names(source.look_up(users("ánn", "a\u0301nn"))) == ["ánn", "ánn"]

    def test_the_server_takes_more_for_equal_than_is_told(self) -> None:
        """Active Directory compares without accents."""
        given = Found([(f"uid=ann,{PEOPLE}", {"uid": [b"ann"]})], is_cut=False)
        assert names(answering(given).look_up(users("ann", "ánn"))) == ["ann"]

    def test_it_keeps_the_contract_of_all_sources(self, source: ContextSource) -> None:
        check_context_source(source, knows=users("ann", "bob"))

    def test_hosts_are_not_asked_for(self, source: ContextSource) -> None:
        question = LookUp(kind=ContextKind.DIRECTORY, entities=(EntityRef(EntityKind.HOST, "ann"),))
        assert source.look_up(question).facts == ()

    def test_accounts_of_active_directory_are_told_in_the_same_words(self, server: Slapd, tmp_path: Path) -> None:
        found = opened(tmp_path, entry(server, schema="ad")).look_up(users("CORP\\SVC-SQL", "sql@corp.example"))
        assert names(found) == ["svc-sql", "svc-sql"]
        told = found.facts[0].fields
        assert told["account.disabled"] == "yes"
        assert told["account.expires"] == "never"
        assert told["account.password_last_set"] == "2024-01-17T21:20:00Z"
        assert told["account.privileged_groups"] == "Domain Admins"

    def test_ldaps_is_understood_too(self, server: Slapd, tmp_path: Path) -> None:
        changes = {"url": f"ldaps://127.0.0.1:{server.tls_port}", "start_tls": False}
        assert names(opened(tmp_path, entry(server, **changes)).look_up(users("ann"))) == ["ann"]

    def test_to_this_machine_itself_plain_text_does(self, server: Slapd, tmp_path: Path) -> None:
        assert names(opened(tmp_path, entry(server, start_tls=False, ca_file=None)).look_up(users("ann"))) == ["ann"]


def dark(source: ContextSource, secret: str = PASSWORD) -> str:
    """The reason of an answer that has to be none."""
    found = source.look_up(users("ann"))
    assert (found.facts, found.coverage.health) == ((), Health.DARK)
    assert secret not in found.coverage.reason
    return found.coverage.reason


class TestDarkness:
    def test_a_wrong_password(self, server: Slapd, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        assert "refuses bind_dn" in dark(opened(tmp_path, entry(server), "wr0ng-one"), "wr0ng-one")
        assert "wr0ng-one" not in caplog.text

    def test_an_empty_password_is_not_sent(self, server: Slapd, tmp_path: Path) -> None:
        assert "the password is empty" in dark(opened(tmp_path, entry(server), ""), "no secret")

    def test_a_base_that_is_not_there(self, server: Slapd, tmp_path: Path) -> None:
        reason = dark(opened(tmp_path, entry(server, base_dn="dc=other,dc=example")))
        assert reason == "it has no base_dn 'dc=other,dc=example'"

    def test_a_base_that_is_none(self, server: Slapd, tmp_path: Path) -> None:
        assert "invalidDNSyntax" in dark(opened(tmp_path, entry(server, base_dn="here")))

    def test_a_server_that_ends_in_between(self, tmp_path: Path) -> None:
        with slapd(LDIF) as found:
            source = opened(tmp_path, entry(found))
            assert names(source.look_up(users("ann"))) == ["ann"]
            found.stop()
            assert "does not answer" in dark(source)

    @pytest.mark.parametrize("start_tls", [True, False])
    def test_an_authority_that_is_not_the_servers(self, server: Slapd, tmp_path: Path, start_tls: bool) -> None:
        other = make_certificates(tmp_path / "other", x509.DNSName("other.test"))
        url = f"ldap://127.0.0.1:{server.port}" if start_tls else f"ldaps://127.0.0.1:{server.tls_port}"
        reason = dark(opened(tmp_path, entry(server, ca_file=str(other.ca), url=url, start_tls=start_tls)))
        assert "is not trusted, and gets no password: " in reason

    def test_a_certificate_of_another_name(self, tmp_path: Path) -> None:
        with slapd(LDIF, certified_as=x509.DNSName("other.test")) as found:
            reason = dark(opened(tmp_path, entry(found)))
        assert "certificate is not valid for '127.0.0.1'" in reason

    @pytest.mark.parametrize(
        "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"0\x84\xff\xff\xff\xff", b"0\x03\x02\x01\x01"]
    )
    def test_a_server_that_speaks_something_else(self, server: Slapd, tmp_path: Path, answer: bytes) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"ldap://127.0.0.1:{listening.getsockname()[1]}"
            source = opened(tmp_path, entry(server, url=url, start_tls=False, ca_file=None))
            with speaking(listening, answer):
                assert dark(source)

    def test_a_secret_that_cannot_be_read(self, server: Slapd, tmp_path: Path) -> None:
        def gone(reference: str) -> str:
            raise UnavailableError(f"{reference}: the vault is sealed")

        (tmp_path / "context.yaml").write_text(json.dumps({"sources": [entry(server)]}))
        [source] = ContextShelf(load_context_settings(tmp_path / "context.yaml"), gone).of("acme")
        assert dark(source) == "env:SOC_LDAP_PASSWORD: the vault is sealed"

    def test_nobody_who_reads_secrets(self, server: Slapd, tmp_path: Path) -> None:
        (tmp_path / "context.yaml").write_text(json.dumps({"sources": [entry(server)]}))
        [source] = ContextShelf(load_context_settings(tmp_path / "context.yaml")).of("acme")
        assert "needs a secret" in dark(source)

    def test_a_ca_file_that_holds_none_is_told_until_it_is_mended(self, server: Slapd, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("no certificate")
        (tmp_path / "context.yaml").write_text(json.dumps({"sources": [entry(server, ca_file="ca.pem")]}))
        shelf = ContextShelf(load_context_settings(tmp_path / "context.yaml"), lambda _: PASSWORD)
        assert "holds no certificates in PEM" in dark(shelf.of("acme")[0])
        (tmp_path / "ca.pem").write_bytes(server.certificates.ca.read_bytes())
        assert names(shelf.of("acme")[0].look_up(users("ann"))) == ["ann"]

    def test_without_the_extra_it_says_what_to_install(
        self, server: Slapd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "watchfloor_connectors.context.directory_session")
        monkeypatch.setitem(sys.modules, "ldap3", None)
        assert "pip install 'watchfloor[ldap]'" in dark(opened(tmp_path, entry(server)))

    def test_more_than_the_server_gives_is_partial(self, tmp_path: Path) -> None:
        with slapd(LDIF, size_limit=1) as found:
            answer = opened(tmp_path, entry(found)).look_up(users("twin", "ann"))
        assert (answer.coverage.health, answer.is_cut) == (Health.PARTIAL, True)
        assert "more accounts of these names" in answer.coverage.reason


@contextmanager
def speaking(listening: socket.socket, answer: bytes) -> Iterator[None]:
    """Says one thing to whoever comes first, whatever they ask, and hangs up."""

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4_096)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    thread.join()


class Fixed:
    """A session that has one answer to searches for accounts, and another to those for groups."""

    def __init__(self, accounts: Found, groups: Found) -> None:
        self._accounts = accounts
        self._groups = groups
        self.searches: list[Sequence[Condition]] = []

    def search(
        self, any_of: Sequence[Condition], attributes: Sequence[str], limit: int, object_class: str | None = None
    ) -> Found:
        self.searches.append(any_of)
        return self._groups if tuple(attributes) == ("cn",) else self._accounts


NOTHING = Found([], is_cut=False)


def answering(accounts: Found, groups: Found = NOTHING, timeout_s: float = 60) -> DirectorySource:
    session = Fixed(accounts, groups)
    naming = Naming(layout=Layout.POSIX, attribute="uid", domain="corp.example")
    return DirectorySource("corp", naming, lambda: nullcontext(session), timeout_s=timeout_s)


ANN = Found([(f"uid=ann,{PEOPLE}", {"uid": [b"ann"]})], is_cut=False)


class TestBounds:
    def test_of_too_many_groups_some_are_told_and_that_it_is_some(self) -> None:
        many = Found([(f"cn=g{one},{GROUPS}", {"cn": [f"g{one:04}".encode()]}) for one in range(600)], is_cut=False)
        found = answering(ANN, many).look_up(users("ann"))
        told = fields(found)
        assert told["account.groups_total"] == directory.MAX_GROUPS
        assert str(told["account.groups"]).count(";") == 49
        assert (found.coverage.health, found.coverage.reason) == (
            Health.PARTIAL,
            "not all groups of 1 accounts were read",
        )

    def test_what_was_not_asked_for_in_time_is_told(self) -> None:
        found = answering(ANN, timeout_s=0).look_up(users("ann"))
        assert (found.facts, found.coverage.reason) == ((), "not all names were asked for in time")

    def test_names_are_asked_for_in_searches_of_fifty(self) -> None:
        session = Fixed(NOTHING, NOTHING)
        naming = Naming(layout=Layout.AD, attribute="sAMAccountName", domain="")
        source = DirectorySource("corp", naming, lambda: nullcontext(session))
        source.look_up(users(*(f"u{number}" for number in range(120))))
        assert [len(one) for one in session.searches] == [50, 50, 20]

    def test_what_the_library_trips_over_is_darkness_without_its_words(self) -> None:
        def broken() -> nullcontext[Fixed]:
            raise IndexError(f"in {PASSWORD}")

        naming = Naming(layout=Layout.POSIX, attribute="uid", domain="")
        assert dark(DirectorySource("corp", naming, broken)) == "its answer cannot be read (IndexError)"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_whatever_a_name_holds_it_stays_one_value(name: str) -> None:
    text = filter_text([("uid", name.strip() or "x")], "user")
    root = parse_filter(text, None, False, False, None, False)
    kind, either = root.elements[0].elements
    [held] = either.elements
    assert kind.assertion == {"attr": "objectClass", "value": b"user"}
    unescaped = re.sub(rb"\\([0-9a-f]{2})", lambda one: bytes.fromhex(one[1].decode()), held.assertion["value"])
    assert (held.assertion["attr"], unescaped) == ("uid", (name.strip() or "x").encode())


class TestActiveDirectory:
    """Over attributes as its servers send them."""

    def told(self, groups: Sequence[Group] = (), **raw: str) -> dict[str, Value]:
        given = {name.lower(): [value.encode()] for name, value in raw.items()}
        return account_fields(Layout.AD, "sAMAccountName", "CN=Ann,DC=x", given, groups, ["Domain Admins"])

    @pytest.mark.parametrize(
        ("control", "expected"),
        [("512", "no"), ("514", "yes"), ("66050", "yes"), ("66048", "no"), ("4098", "yes"), ("x", None), ("", None)],
    )
    def test_the_second_bit_of_the_control_is_disabled(self, control: str, expected: str | None) -> None:
        assert self.told(userAccountControl=control).get("account.disabled") == expected

    @pytest.mark.parametrize(
        ("ticks", "expected"),
        [
            ("0", "never"),
            ("116444736000000000", "1970-01-01T00:00:00Z"),
            ("133500000000000000", "2024-01-17T21:20:00Z"),
            ("133500000001234560", "2024-01-17T21:20:00.123456Z"),
            ("-1", None),
            ("9223372036854775807", None),
            ("9" * 40, None),
            ("soon", None),
        ],
    )
    def test_a_filetime_is_units_of_100_ns_since_1601(self, ticks: str, expected: str | None) -> None:
        assert self.told(pwdLastSet=ticks).get("account.password_last_set") == expected

    @pytest.mark.parametrize(
        ("ticks", "expected"),
        [("0", "never"), ("9223372036854775807", "never"), ("133500000000000000", "2024-01-17T21:20:00Z"), ("", None)],
    )
    def test_an_account_that_does_not_expire_says_so_in_two_ways(self, ticks: str, expected: str | None) -> None:
        assert self.told(accountExpires=ticks).get("account.expires") == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("20240117132000.0Z", "2024-01-17T13:20:00Z"),
            ("20240117132000Z", "2024-01-17T13:20:00Z"),
            ("20240117152000+0200", "2024-01-17T13:20:00Z"),
            ("2024011708-05", "2024-01-17T13:00:00Z"),
            ("20241399132000Z", None),
            ("00010101000000Z", None),
            ("yesterday", None),
        ],
    )
    def test_when_it_was_made(self, text: str, expected: str | None) -> None:
        assert self.told(whenCreated=text).get("account.created") == expected

    def test_the_primary_group_counts_though_it_lists_nobody(self) -> None:
        assert self.told(primaryGroupID="512")["account.privileged_groups"] == "Domain Admins"
        assert "account.groups" not in self.told(primaryGroupID="513")

    def test_groups_are_told_once_each_and_in_order(self) -> None:
        groups = [Group("cn=b", "b"), Group("cn=A", "A"), Group("ou=x,cn=b", "b")]
        told = self.told(groups)
        assert (told["account.groups"], told["account.groups_total"]) == ("A; b", 2)
        assert "account.privileged_groups" not in told

    def test_what_an_entry_does_not_say_has_no_field(self) -> None:
        assert self.told(sAMAccountName="ann") == {"account.name": "ann", "account.dn": "CN=Ann,DC=x"}

    def test_a_text_without_end_is_cut(self) -> None:
        assert len(str(self.told(displayName="x" * 10_000)["account.display_name"])) == 200

    @pytest.mark.parametrize(
        ("dn", "expected"),
        [
            ("CN=Eve Stone,OU=x,DC=y", "Eve Stone"),
            ("CN=Keane\\, Ada,OU=x", "Keane, Ada"),
            ("CN=Keane\\2C Ada,OU=x", "Keane, Ada"),
            ("CN=M\\C3\\BCller+UID=m,OU=x", "Müller"),
            ("CN=a\\\\b,OU=x", "a\\b"),
            ("CN=cut \\", "cut"),
            ("no dn", ""),
            ("", ""),
        ],
    )
    def test_a_manager_is_told_by_name(self, dn: str, expected: str) -> None:
        assert name_of_dn(dn) == expected


class TestPosix:
    def told(self, **raw: str) -> dict[str, Value]:
        given = {name.lower(): [value.encode()] for name, value in raw.items()}
        return account_fields(Layout.POSIX, "uid", "uid=ann", given, (), ())

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            ({}, None),
            ({"nsAccountLock": "TRUE"}, "yes"),
            ({"nsAccountLock": "FALSE"}, "no"),
            ({"shadowExpire": "0"}, "yes"),
            ({"shadowExpire": "20000"}, "no"),
            ({"pwdAccountLockedTime": "000001010000Z"}, "yes"),
            # For a while, after wrong passwords.
            ({"pwdAccountLockedTime": "20240117132000Z"}, None),
        ],
    )
    def test_disabled_is_told_where_the_entry_tells(self, raw: dict[str, str], expected: str | None) -> None:
        assert self.told(**raw).get("account.disabled") == expected

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            ({"shadowLastChange": "19739"}, "2024-01-17T00:00:00Z"),
            ({"shadowLastChange": "0"}, "never"),
            ({"shadowLastChange": "1", "pwdChangedTime": "20240117132000Z"}, "2024-01-17T13:20:00Z"),
            ({"shadowLastChange": "99999999999"}, None),
            ({}, None),
        ],
    )
    def test_when_the_password_was_set(self, raw: dict[str, str], expected: str | None) -> None:
        assert self.told(**raw).get("account.password_last_set") == expected


class TestFile:
    """What an operator may write."""

    def problems(self, folder: Path, **changes: object) -> str:
        given = {
            "name": "corp", "kind": "ldap", "tenants": ["acme"], "url": "ldaps://dc01.corp.example", "schema": "ad",
            "base_dn": BASE, "bind_dn": READER, "password": "env:SOC_LDAP_PASSWORD",
        }  # fmt: skip
        content = {name: value for name, value in {**given, **changes}.items() if value is not None}
        (folder / "context.yaml").write_text(json.dumps({"sources": [content]}))
        try:
            load_context_settings(folder / "context.yaml")
        except ConfigurationError as error:
            return str(error)
        return ""

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"url": "ldap://dc01.corp.example"}, "in clear text; write ldaps://, or start_tls: true"),
            ({"url": "ldap://10.0.0.1"}, "would carry the password in clear text"),
            ({"url": "ldap://localhost.corp.example"}, "would carry the password in clear text"),
            ({"url": "ldaps://dc01", "start_tls": True}, "encrypted from the start"),
            ({"url": "https://dc01"}, "is neither ldaps:// nor ldap://"),
            ({"url": "ldapi:///var/run/slapd"}, "is no URL with a host"),
            ({"url": "ldaps://dc01/dc=corp"}, "write where accounts are as base_dn"),
            ({"url": "ldaps://u:hunter2@dc01"}, "holds a user name or password"),
            ({"url": "ldaps://dc01:x"}, "is no URL"),
            ({"password": "hunter2"}, "a key is no reference"),
            ({"password": None}, "Field required"),
            ({"schema": "novell"}, "Input should be 'ad' or 'posix'"),
            ({"user_attribute": "uid)(x=*"}, "String should match pattern"),
            ({"user_attribute": "unicodePwd"}, "may hold a secret"),
            ({"base_dn": ""}, "at least 1 character"),
            ({"timeout_s": 0}, "greater than 0"),
            ({"paths": ["x"]}, "unknown key"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said_and_no_secret_with_it(
        self, tmp_path: Path, changes: dict[str, object], message: str
    ) -> None:
        said = self.problems(tmp_path, **changes)
        assert message in said
        assert "hunter2" not in said

    @pytest.mark.parametrize(
        "changes",
        [
            {}, {"url": "ldap://dc01.corp.example", "start_tls": True}, {"url": "ldap://127.0.0.1:1389"},
            {"url": "ldap://localhost"}, {"url": "ldap://[::1]"}, {"url": "ldaps://dc01:3269/"},
            {"user_attribute": "mail", "domains": ["CORP"], "privileged_groups": []},
        ],
    )  # fmt: skip
    def test_what_is_right_is_taken(self, tmp_path: Path, changes: dict[str, object]) -> None:
        assert self.problems(tmp_path, **changes) == ""

    def test_the_entry_for_one_investigation_is_the_same(self, server: Slapd, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "ca.pem").write_bytes(server.certificates.ca.read_bytes())
        (tmp_path / "context.yaml").write_text(json.dumps({"sources": [entry(server, ca_file="ca.pem")]}))
        copy = case_context_file(tmp_path / "context.yaml", "case-1", tmp_path / "data")
        [source] = ContextShelf(load_context_settings(copy), lambda _: PASSWORD).of("case-1")
        assert names(source.look_up(users("ann"))) == ["ann"]


@pytest.mark.parametrize(
    ("base", "expected"),
    [("dc=corp,dc=example", "corp.example"), ("OU=x, DC=Corp , DC=Example", "corp.example"), ("o=corp", "")],
)
def test_a_base_says_its_domain(base: str, expected: str) -> None:
    assert domain_of(base) == expected
