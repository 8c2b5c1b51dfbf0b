"""Every secret of an installation, followed through an action from draft to receipt: it stands where it belongs, and
nowhere else, in no file of the data directory and in no process that has no business with it."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import insert

from watchfloor_core.clock import now_us
from watchfloor_core.dsse import Signer
from watchfloor_core.keys.approver import make_approver_key
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.schema import dead_letter
from watchfloor_guardrails.assertion import KeyKind, message_of
from watchfloor_guardrails.enrolment import STATEMENT_TYPE, key_id_of, possession_statement
from watchfloor_workflows.testing.actions import make_attack

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Place

INCIDENT: Final = "inc-0123456789abcdef"
TARGET: Final = "203.0.113.77"
COMMENT: Final = "canary-in-a-comment"
"""No secret, and sent on the way on which secrets would be: where this is found, they would have been."""
KIND: Final = '''
from pathlib import Path

from watchfloor_connectors.targets.base import ToolOptions
from watchfloor_connectors.targets.secret import SecretReference, read_secret
from watchfloor_connectors.targets.template import Acme
from watchfloor_guardrails.effect import NotDoneError


class GuardedOptions(ToolOptions):
    folder: Path
    api_token: SecretReference


class Guarded(Acme):
    """A firewall that lets nobody in without the token that its owner has left beside it."""

    kind = "guarded"
    options_type = GuardedOptions

    def do(self, action, key):
        token = read_secret(self.options.api_token).get_secret_value()
        if token != (self.options.folder.parent / "expected").read_text():
            raise NotDoneError("the firewall does not know this token")
        super().do(action, key)
'''
TARGETS: Final = """
targets:
  - tool: edge
    kind: guarded
    tenants: "*"
    folder: {home}/firewall
    api_token: file:{home}/edge.token
"""
CHANNELS: Final = """
public_url: https://watchfloor.example.org
channels:
  - name: soc-slack
    kind: slack
    tenant: default
    roles: [responder, lead]
    team: T012AB3CD
    conversation: C012AB3CD
    bot_token: env:SLACK_BOT_TOKEN
    signing_secret: env:SLACK_SIGNING_SECRET
    api_url: http://127.0.0.1:9/api/
    users: {U012AB3CD: ana}
"""
WEBHOOKS: Final = """
webhooks:
  - name: edge-siem
    tenant: default
    connector: suricata
    secret_env: EDGE_WEBHOOK_SECRET
"""
PARTS: Final = ("temporal", "worker", "executor", "correlator", "api")
OURS: Final = ("worker", "executor", "correlator", "api")


def forms(secret: bytes) -> Iterable[bytes]:
    """The secret as it is, in hex, and in base64 wherever it begins in what was encoded."""
    yield secret
    yield secret.hex().encode()
    for shift in range(3):
        padded = b"\0" * shift + secret
        # Without the characters that also depend on what stands before or behind.
        first, last = (0, 2, 3)[shift], len(padded) // 3 * 4
        yield base64.b64encode(padded)[first:last]
        yield base64.urlsafe_b64encode(padded)[first:last]


def found(secrets_: Mapping[str, bytes], places: Mapping[str, bytes]) -> dict[str, set[str]]:
    """The places of each secret that stands anywhere."""
    everywhere = {
        name: {place for place, content in places.items() if any(form in content for form in forms(secret))}
        for name, secret in secrets_.items()
    }
    return {name: stood for name, stood in everywhere.items() if stood}


@dataclass
class Installation:
    """A running stack with a secret in each place for one."""

    place: Place
    home: Path
    secrets: dict[str, bytes] = field(default_factory=dict)

    def plant(self, name: str) -> str:
        """A secret that exists from now on."""
        value = f"{name}-{secrets.token_hex(24)}"
        self.secrets[name] = value.encode()
        return value

    @property
    def data(self) -> Path:
        return self.place.data_dir

    def configure(self) -> None:
        """Everything that an operator may configure a secret for."""
        plugins = self.home / "plugins"
        package = plugins / "guarded-1.dist-info"
        for folder in (package, self.home / "firewall", self.data):
            folder.mkdir(parents=True)
        (plugins / "guarded.py").write_text(KIND)
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: guarded\nVersion: 1\n")
        (package / "entry_points.txt").write_text("[watchfloor.targets]\nguarded = guarded:Guarded\n")
        token = self.home / "edge.token"
        token.touch(mode=0o600)
        token.write_text(self.plant("target credential"))
        (self.home / "expected").write_text(token.read_text())
        (self.home / "targets.yaml").write_text(TARGETS.format(home=self.home))
        (self.data / "channels.yaml").write_text(CHANNELS)
        (self.data / "webhooks.yaml").write_text(WEBHOOKS)
        self.place.settings |= {
            "HOME": str(self.home),
            "PYTHONPATH": str(plugins),
            "WATCHFLOOR_TARGETS_FILE": str(self.home / "targets.yaml"),
            "WATCHFLOOR_TARGETS_ALLOWED": "guarded",
            "WATCHFLOOR_OIDC_ISSUER": "https://id.example.org",
            "WATCHFLOOR_OIDC_CLIENT_ID": "watchfloor",
            "WATCHFLOOR_OIDC_REDIRECT_URL": "https://watchfloor.example.org/v1/oidc/callback",
            "WATCHFLOOR_OIDC_CLIENT_SECRET": self.plant("OIDC client secret"),
            "WATCHFLOOR_VAULT_TOKEN": self.plant("Vault token"),
            "SLACK_BOT_TOKEN": self.plant("Slack bot token"),
            "SLACK_SIGNING_SECRET": self.plant("Slack signing secret"),
            "EDGE_WEBHOOK_SECRET": self.plant("webhook secret"),
        }

    def note_own_keys(self) -> None:
        """The keys that the stack has made for itself."""
        ring = json.loads((self.data / "keys" / "payload.json").read_text())
        (key,) = ring["keys"]
        self.secrets["payload key"] = base64.b64decode(key["key"])
        for name in ("grant", "checkpoint"):
            signing = load_pem_private_key((self.data / "keys" / f"{name}.key").read_bytes(), None)
            self.secrets[f"{name} key"] = Signer(signing).key.private_bytes_raw()  # type: ignore[arg-type]  # Ed25519
        self.secrets["operator token"] = (self.data / "operator.token").read_bytes().strip()

    def places(self) -> dict[str, bytes]:
        """Every file of the data directory, an export of the ledger, and what processes were started with."""
        export = self.home / "ledger.ndjson"
        export.unlink(missing_ok=True)
        done = self.place.call("ledger", "export", export)
        assert done.returncode == 0, done.stderr
        content = {"ledger export": export.read_bytes()}
        for path in self.data.rglob("*"):
            if path.is_file():
                content[str(path.relative_to(self.data))] = path.read_bytes()
        for part in PARTS:
            process = Path("/proc") / str(self.place.pid_of(part))
            content[f"command line of {part}"] = (process / "cmdline").read_bytes()
            content[f"environment of {part}"] = (process / "environ").read_bytes()
        return content


class Ana:
    """A person with an account, a session, a token and a key of their own, who speaks HTTP."""

    def __init__(self, made: Installation) -> None:
        self.made = made
        self.url = str(made.place.running["api_url"])
        self.client = httpx.Client(base_url=self.url, headers={"Origin": self.url, "Sec-Fetch-Site": "same-origin"})

    def sign_in(self) -> None:
        created = self.made.place.call("account", "create", "ana", "--role", "responder")
        assert created.returncode == 0, created.stderr
        link = created.stdout.strip().rpartition("=")[2]
        password = self.made.plant("password")
        self.made.secrets["first-login link"] = link.encode()
        self.ask("GET", "/v1/first-login", params={"token": link})
        self.ask("POST", "/v1/first-login", json={"token": link, "password": password})
        # What people mistype is nearly a password, and is kept no more than one.
        wrong = {"principal": "ana", "password": self.made.plant("mistyped password")}
        assert self.client.post("/v1/session", json=wrong).status_code == 401
        session = self.ask("POST", "/v1/session", json={"principal": "ana", "password": password})
        self.client.headers["X-Watchfloor-CSRF"] = session["csrf_token"]
        self.made.secrets["session"] = self.client.cookies["watchfloor"].encode()

    def use_a_token(self) -> None:
        made = self.made.place.call("token", "create", "--principal", "siem", "--scope", "actions:read")
        assert made.returncode == 0, made.stderr
        token = made.stdout.strip()
        self.made.secrets["API token"] = token.encode()
        for text, status in ((token, 200), (token[:-6] + self.made.plant("forged token"), 401)):
            answer = httpx.get(f"{self.url}/v1/actions", headers={"Authorization": f"Bearer {text}"})
            assert answer.status_code == status

    def make_a_key(self) -> None:
        passphrase = self.made.plant("passphrase")
        self.signer = make_approver_key(self.made.home / "ana.pem", passphrase)
        self.made.secrets["approver key"] = self.signer.key.private_bytes_raw()
        raw = self.signer.public_key.public_bytes_raw()
        self.key_id = key_id_of(KeyKind.ED25519, raw, None)
        said = possession_statement("ana", KeyKind.ED25519, self.key_id)
        body = {
            "kind": "ed25519",
            "public_key": base64.b64encode(raw).decode(),
            "proof": self.signature(said, STATEMENT_TYPE),
            "label": "laptop",
        }
        self.ask("POST", "/v1/approver-keys", json=body)

    def approve(self, proposal_id: str) -> None:
        shown = self.ask("GET", f"/v1/approvals/{proposal_id}")
        body = {
            "decision": "approve",
            "digest": shown["digest"],
            "comment": COMMENT,
            "key_id": self.key_id,
            "assertion": self.signature(base64.b64decode(shown["statement"])),
        }
        self.ask("POST", f"/v1/approvals/{proposal_id}/decision", json=body)

    def signature(self, said: bytes, *payload_type: str) -> dict[str, str]:
        return {"signature": base64.b64encode(self.signer.key.sign(message_of(said, *payload_type))).decode()}

    def ask(self, method: str, path: str, **more: object) -> dict[str, str]:
        answer = self.client.request(method, path, **more)  # type: ignore[arg-type]  # handed through
        assert answer.is_success, answer.text
        told: dict[str, str] = answer.json()
        return told


def write_down_by_mistake(store: Store, content: Iterable[bytes]) -> None:
    """As a careless change might."""
    with store.write() as connection:
        for number, raw in enumerate(content):
            connection.execute(
                insert(dead_letter).values(
                    tenant="default",
                    batch_id=0,
                    source_id="test",
                    connector="test",
                    position=number,
                    reason="test",
                    raw=raw,
                    created_us=now_us(),
                )
            )


@pytest.fixture
def made(place: Place, tmp_path: Path) -> Installation:
    installation = Installation(place, tmp_path / "home")
    installation.configure()
    place.up()
    return installation


@pytest.fixture
def store(made: Installation) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{made.data / 'watchfloor.db'}")
    yield opened
    opened.close()


@pytest.fixture
def ana(made: Installation) -> Iterator[Ana]:
    person = Ana(made)
    yield person
    person.client.close()


def test_secrets_stand_where_they_belong_and_nowhere_else(made: Installation, store: Store, ana: Ana) -> None:
    place = made.place
    make_attack(store, "default", INCIDENT)
    ana.sign_in()
    ana.use_a_token()
    ana.make_a_key()
    proposed = place.call(
        *("action", "propose", "deny ip", f"ip:{TARGET}", "--incident", INCIDENT, "--purpose", "a test", "--json")
    )
    assert proposed.returncode == 0, proposed.stderr
    proposal_id = str(json.loads(proposed.stdout)["proposal_id"])
    status = f"SELECT COUNT(*) FROM action_proposal WHERE id = '{proposal_id}' AND status = "  # noqa: S608 - our own id
    place.eventually(f"{status}'waiting'", "it waits for a person")
    ana.approve(proposal_id)
    place.eventually(f"{status}'succeeded'", "it is carried out")
    made.note_own_keys()

    # It was done with the credential, which the executor alone is led to.
    assert (made.home / "firewall" / TARGET).exists()
    places = made.places()
    names = {part: places[f"environment of {part}"] for part in PARTS}
    assert {part for part, content in names.items() if b"WATCHFLOOR_TARGETS_" in content} == {"executor"}
    environments = {part: f"environment of {part}" for part in PARTS}
    on_temporal = {environments["worker"], environments["executor"], environments["api"]}
    # A variable that a configuration file names by `env:` is one of the environment that we were started in.
    inherited = {environments[part] for part in OURS}
    assert found(made.secrets, places) == {
        "OIDC client secret": {environments["api"]},
        "Vault token": on_temporal,
        "Slack bot token": inherited,
        "Slack signing secret": inherited,
        "webhook secret": inherited,
        "payload key": {"keys/payload.json"},
        "grant key": {"keys/grant.key"},
        "checkpoint key": {"keys/checkpoint.key"},
        "operator token": {"operator.token"},
    }

    # The search finds what is there: what went the way of secrets, in the clear in the store and not in Temporal.
    canaries = {"comment": COMMENT.encode(), "proposal": proposal_id.encode()}
    seen = found(canaries, places)
    assert {"ledger export"} < seen["comment"]
    assert any(place.startswith("watchfloor.db") for place in seen["comment"])
    assert not any(place.startswith("temporal.db") for place in seen["comment"])
    assert any(place.startswith("temporal.db") for place in seen["proposal"])
    assert {f"logs/{part}.log" for part in PARTS} < places.keys()
    write_down_by_mistake(store, made.secrets.values())
    careless = found(made.secrets, made.places())
    in_store = {name for name, stood in careless.items() if any(each.startswith("watchfloor.db") for each in stood)}
    assert in_store == made.secrets.keys()


@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"abc"])
def test_the_search_finds_a_secret_however_it_was_encoded(before: bytes) -> None:
    secret = secrets.token_bytes(32)
    whole = before + secret + b"behind"
    for content in (whole, whole.hex().encode(), base64.b64encode(whole), base64.urlsafe_b64encode(whole)):
        assert found({"it": secret}, {"here": content}) == {"it": {"here"}}
    assert found({"it": secret}, {"here": base64.b64encode(before + secrets.token_bytes(32))}) == {}
