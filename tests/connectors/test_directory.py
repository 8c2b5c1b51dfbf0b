"""An identity directory as a source of context: against a real OpenLDAP, and Active Directory's attributes as given."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.connectors.directory_server import BASE, PASSWORD, READER, SLAPD, DirectoryServer, directory_server
from watchfloor_connectors.context.config import load_context_settings
from watchfloor_connectors.context.directory import Directory, DirectorySource
from watchfloor_connectors.context.directory_fields import account_fields
from watchfloor_connectors.context.opening import ContextShelf
from watchfloor_connectors.context.testing import check_context_source
from watchfloor_core.alert import EntityKind
from watchfloor_core.context import ContextKind, Facts, LookUp
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.logs.query import EntityRef
from watchfloor_core.logs.source import Health

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pyasn1"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ldap3"),
]
needs_slapd = pytest.mark.skipif(SLAPD is None, reason="slapd is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[DirectoryServer]:
    with directory_server() as one:
        yield one


@pytest.fixture
def directory(server: DirectoryServer) -> Directory:
    return Directory(
        url=server.tls_url,
        base_dn=BASE,
        bind_dn=READER,
        password=lambda: PASSWORD,
        layout="posix",
        ca_file=str(server.ca_file),
        privileged_groups=frozenset({"operators"}),
        timeout_s=5,
    )


def user(*names: str, kind: EntityKind = EntityKind.USER) -> LookUp:
    return LookUp(kind=ContextKind.DIRECTORY, entities=tuple(EntityRef(kind, name) for name in names))


def asked(directory: Directory, *names: str) -> Facts:
    return DirectorySource("directory", directory).look_up(user(*names))


@needs_slapd
def test_a_directory_keeps_the_contract_of_sources(directory: Directory) -> None:
    check_context_source(DirectorySource("directory", directory), knows=user("ann"))


@needs_slapd
def test_an_account_is_told_with_its_groups_and_no_secret(directory: Directory) -> None:
    given = asked(directory, "ann")
    assert given.coverage.health is Health.WHOLE
    [fact] = given.facts
    assert {name: value for name, value in fact.fields.items() if name != "account.created"} == {
        "account.dn": f"uid=ann,{BASE}",
        "account.state": "enabled",
        "account.name": 'Ann "the <b>admin</b>" Archer',
        "account.title": "Engineer",
        "account.department": "42",
        "account.manager": f"uid=lea,{BASE}",
        "account.mail": "ann@example.org",
        "account.password_set": "2024-10-04T00:00:00Z",
        "account.groups": "Operators, staff",
        "account.group_count": 2,
        "account.privileged_groups": "Operators",
    }
    assert str(fact.fields["account.created"]).startswith(str(datetime.now(UTC).year))
    assert "secret" not in str(fact)


@needs_slapd
def test_several_are_asked_at_once_and_the_unknown_have_no_fact(directory: Directory) -> None:
    given = asked(directory, *(f"nobody{number}" for number in range(60)), "OLD", "ann")
    assert [fact.entity.value for fact in given.facts if fact.entity] == ["OLD", "ann"]
    assert given.facts[0].fields["account.state"] == "disabled"


@needs_slapd
def test_a_mailbox_is_looked_up_by_its_address(directory: Directory) -> None:
    given = DirectorySource("directory", directory).look_up(user("ann@example.org", kind=EntityKind.MAILBOX))
    assert [fact.fields["account.dn"] for fact in given.facts] == [f"uid=ann,{BASE}"]


@needs_slapd
@pytest.mark.parametrize(
    "name",
    ["*", "*)(uid=*", "ann)(|(uid=*", "an\\6e", "a*n", "\x00", "ann\x00", "\u202eann", "(", "uid=ann", "\\2a", " ann"],
)
def test_what_an_attacker_typed_is_a_name_and_no_filter(directory: Directory, name: str) -> None:
    given = asked(directory, name)
    assert given.facts == ()
    assert given.coverage.health is Health.WHOLE


@needs_slapd
def test_starttls_is_taken_where_it_is_asked_for(directory: Directory, server: DirectoryServer) -> None:
    assert asked(replace(directory, url=server.url, start_tls=True), "ann").facts


def unavailable() -> str:
    raise UnavailableError("the vault does not answer")


@needs_slapd
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"password": lambda: "wrong"}, "refuses the bind: invalidCredentials"),
        ({"base_dn": "dc=other"}, "refuses the search: noSuchObject"),
        ({"ca_file": None}, "cannot be asked: LDAPSocketOpenError"),
        ({"url": "ldaps://127.0.0.1:9"}, "cannot be asked: LDAPSocketOpenError"),
        ({"password": unavailable}, "the vault does not answer"),
    ],
    ids=["password", "base", "certificate", "nobody there", "vault"],
)
def test_what_cannot_be_asked_is_dark_and_says_why(
    directory: Directory, change: dict[str, object], reason: str
) -> None:
    given = asked(replace(directory, **change), "ann")  # type: ignore[arg-type]  # by name
    assert given.facts == ()
    assert given.coverage.health is Health.DARK
    assert reason in given.coverage.reason
    assert PASSWORD not in given.coverage.reason


class Tap(socketserver.ThreadingTCPServer):
    """Passes on what goes to a server, and remembers it."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        self.to, self.heard = port, bytearray()
        super().__init__(("127.0.0.1", 0), _Pass)

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.server_address[1]}"


class _Pass(socketserver.BaseRequestHandler):
    server: Tap

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.to)) as there:
            both = [self.request, there]
            while True:
                for one in select.select(both, [], [])[0]:
                    data = one.recv(65_536)
                    if not data:
                        return
                    if one is self.request:
                        self.server.heard += data
                    (there if one is self.request else self.request).sendall(data)


@pytest.fixture
def tap(server: DirectoryServer) -> Iterator[Tap]:
    with Tap(server.port) as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@needs_slapd
def test_without_encryption_the_tap_would_hear_the_password(directory: Directory, tap: Tap) -> None:
    assert asked(replace(directory, url=tap.url), "ann").facts
    assert PASSWORD.encode() in tap.heard


@needs_slapd
@pytest.mark.parametrize("ca", ["another", "the right one"])
def test_starttls_never_sends_the_password_in_the_clear(directory: Directory, tap: Tap, ca: str) -> None:
    ca_file = None if ca == "another" else directory.ca_file
    given = asked(replace(directory, url=tap.url, start_tls=True, ca_file=ca_file), "ann")
    assert bool(given.facts) is (ca == "the right one")
    assert tap.heard, "it was asked"
    assert PASSWORD.encode() not in tap.heard


@needs_slapd
def test_a_server_that_goes_away_is_dark_and_its_return_is_not(tmp_path: Path) -> None:
    with directory_server() as one:
        source = DirectorySource(
            "directory", Directory(one.tls_url, BASE, READER, lambda: PASSWORD, "posix", ca_file=str(one.ca_file))
        )
        assert source.look_up(user("ann")).facts
        one.stop()
        gone = source.look_up(user("ann"))
    assert gone.coverage.health is Health.DARK


# --- Active Directory ------------------------------------------------------------------------------------------------

FILETIME = b"133485408000000000"
"""2024-01-01T00:00:00Z."""


def of_ad(**attributes: bytes) -> dict[str, object]:
    given = {name.lower(): [value] for name, value in attributes.items()}
    groups = ["Domain Users", "Domain Admins"]
    return dict(account_fields("CN=ann", given, layout="ad", groups=groups, privileged=frozenset({"domain admins"})))


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"userAccountControl": b"512"}, {"account.state": "enabled"}),
        ({"userAccountControl": b"514"}, {"account.state": "disabled"}),
        ({"userAccountControl": b"66050"}, {"account.state": "disabled"}),
        ({"pwdLastSet": FILETIME}, {"account.password_set": "2024-01-01T00:00:00Z"}),
        ({"accountExpires": FILETIME}, {"account.expires": "2024-01-01T00:00:00Z"}),
        ({"whenCreated": b"20240101000000.0Z"}, {"account.created": "2024-01-01T00:00:00Z"}),
        ({"displayName": b" Ann \xff "}, {"account.name": "Ann \N{REPLACEMENT CHARACTER}"}),
        ({"adminCount": b"1"}, {"account.privileged_groups": "Domain Admins, adminCount"}),
    ],
)
def test_active_directorys_attributes_are_read(attributes: dict[str, bytes], said: dict[str, object]) -> None:
    assert said.items() <= of_ad(**attributes).items()


@pytest.mark.parametrize(
    "attributes",
    [
        {"userAccountControl": b"many"},
        {"pwdLastSet": b"0", "accountExpires": b"0"},
        {"accountExpires": b"9223372036854775807"},
        {"pwdLastSet": b"9223372036854775806"},
        {"whenCreated": b"yesterday"},
        {"whenCreated": b"20241301000000Z"},
    ],
)
def test_what_says_nothing_is_left_out(attributes: dict[str, bytes]) -> None:
    assert of_ad(**attributes) == {
        "account.dn": "CN=ann",
        "account.groups": "Domain Users, Domain Admins",
        "account.group_count": 2,
        "account.privileged_groups": "Domain Admins",
    }


# --- The file --------------------------------------------------------------------------------------------------------

GOOD = {
    "url": "ldaps://dc1.example.org",
    "base_dn": "DC=example,DC=org",
    "bind_dn": "CN=watchfloor,DC=example,DC=org",
    "password": "file:/etc/watchfloor/ldap",
}


def write(folder: Path, **changes: str) -> Path:
    fields = "".join(f"    {name}: {value}\n" for name, value in {**GOOD, **changes}.items())
    file = folder / "context.yaml"
    file.write_text(f"sources:\n  - name: directory\n    kind: ldap\n    tenants: [acme]\n{fields}")
    return file


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"url": "ldap://dc1.example.org"}, "answers would go in the clear; use ldaps:// or start_tls"),
        ({"url": "http://dc1.example.org"}, "ldaps://directory.example.org was expected"),
        ({"url": "ldaps://a@dc1.example.org/x"}, "ldaps://directory.example.org was expected"),
        ({"start_tls": "true"}, "ldaps:// is encrypted from the start"),
        ({"password": "hunter2"}, "a key is no reference"),
        ({"layout": "novell"}, "'ad' or 'posix'"),
        ({"timeout_s": "600"}, "less than or equal to 60"),
    ],
)
def test_a_wrong_entry_says_what_is_wrong_and_never_the_password(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_context_settings(write(tmp_path, **changes))
    assert reason in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["ldap://127.0.0.1:1389", "ldap://localhost", "ldap://[::1]:389", "ldaps://dc1:636"])
def test_on_this_machine_the_clear_is_enough(tmp_path: Path, url: str) -> None:
    [model] = load_context_settings(write(tmp_path, url=url)).sources
    assert model.kind == "ldap"


@needs_slapd
def test_the_shelf_opens_it_with_the_secret_of_the_reference(server: DirectoryServer, tmp_path: Path) -> None:
    file = write(
        tmp_path, url=server.tls_url, base_dn=BASE, bind_dn=READER, layout="posix", ca_file=str(server.ca_file)
    )
    read: list[str] = []

    def secret(reference: str) -> str:
        read.append(reference)
        return PASSWORD

    [source] = ContextShelf(load_context_settings(file), secret=secret).of("acme")
    assert source.look_up(user("ann")).facts
    assert read == [GOOD["password"]]


def test_without_a_reader_of_secrets_it_is_dark(tmp_path: Path) -> None:
    [source] = ContextShelf(load_context_settings(write(tmp_path))).of("acme")
    given = source.look_up(user("ann"))
    assert given.coverage.health is Health.DARK
    assert "nothing reads the secret" in given.coverage.reason
