"""The objects that a playbook defines beside its steps: commands, agents and targets, authentication, markings,
extensions, signatures (CACAO v2.0, sections 5 to 10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, JsonValue

from watchfloor_playbooks.part import MOST_ENTRIES, Contact, Entries, Location, Part, References, Text, Texts
from watchfloor_playbooks.vocabulary import OWN_COMMAND

# --- Commands, section 5 ---------------------------------------------------------------------------------------------


class Command(Part):
    """What one step tells an agent to do; ``type`` is of an open vocabulary."""

    type: Text
    description: Text | None = None
    version: Text | None = None
    playbook_activity: Text | None = None
    external_references: References | None = None


class ShellCommand(Command):
    """manual, bash, caldera-cmd, powershell, ssh: as text, or in base64."""

    command: Text | None = None
    command_b64: Text | None = None


class EncodedCommand(Command):
    """elastic, jupyter, kestrel, sigma, yara."""

    command_b64: Text


class HttpCommand(Command):
    command: Text
    headers: dict[str, Texts] | None = None
    content: Text | None = None
    content_b64: Text | None = None


class OpenC2Command(Command):
    command: Text
    headers: dict[str, Texts] | None = None
    content_b64: Text


class WatchfloorCommand(Command):
    """Ours: one action of Watchfloor's catalogue, see docs/reference/playbooks.md."""

    action_class: Text
    target: Text
    """The value, with variables in it."""
    arguments: dict[str, Text] | None = None
    tool: Text | None = None
    """A configured tool; None takes the tenant's tool for the action class."""
    lease_s: Annotated[int, Field(ge=1)] | None = None
    """So many seconds a containment lasts; None takes the policy's standard."""


COMMANDS: Final[Mapping[str, type[Command]]] = {
    OWN_COMMAND: WatchfloorCommand,
    **dict.fromkeys(("manual", "bash", "caldera-cmd", "powershell", "ssh"), ShellCommand),
    **dict.fromkeys(("elastic", "jupyter", "kestrel", "sigma", "yara"), EncodedCommand),
    "http-api": HttpCommand,
    "openc2-http": OpenC2Command,
}

# --- Agents and targets, section 7 -----------------------------------------------------------------------------------


class AgentTarget(Part):
    """Who carries out, or what it is done to; ``type`` is of an open vocabulary."""

    type: Text
    name: Text
    description: Text | None = None
    location: Location | None = None
    agent_target_extensions: Entries | None = None


class Contactable(AgentTarget):
    """group, individual, organization."""

    contact: Contact | None = None


class Place(AgentTarget):
    logical: Texts | None = None


class Sector(AgentTarget):
    sector: Text


class SecurityCategory(AgentTarget):
    category: Texts


Address: TypeAlias = dict[str, Annotated[list[JsonValue], Field(max_length=MOST_ENTRIES)]]


class NetAddress(AgentTarget):
    address: Address | None = None
    """Required by the standard; `formats` says where it may be missing all the same."""
    authentication_info: Text | None = None
    category: Texts | None = None


class Server(NetAddress):
    """http-api, linux, ssh."""

    port: Text | None = None


AGENT_TARGETS: Final[Mapping[str, type[AgentTarget]]] = {
    **dict.fromkeys(("group", "individual", "organization"), Contactable),
    "location": Place,
    "sector": Sector,
    "security-category": SecurityCategory,
    "net-address": NetAddress,
    **dict.fromkeys(("http-api", "linux", "ssh"), Server),
}

# --- Authentication, section 6 ---------------------------------------------------------------------------------------


class Authentication(Part):
    type: Text
    name: Text | None = None
    description: Text | None = None
    authentication_info_extensions: Entries | None = None


class _Kept(Authentication):
    kms: bool | None = None
    kms_key_identifier: Text | None = None


class HttpBasic(_Kept):
    user_id: Text | None = None
    password: Text | None = None


class OAuth2(_Kept):
    oauth_header: Text
    token: Text


class UserAuth(_Kept):
    username: Text | None = None
    password: Text | None = None


AUTHENTICATIONS: Final[Mapping[str, type[Authentication]]] = {
    "http-basic": HttpBasic,
    "oauth2": OAuth2,
    "user-auth": UserAuth,
}
SECRETS: Final = ("password", "token")

# --- Data markings, section 8; extensions, section 9; signatures, section 10.15 --------------------------------------


class Marking(Part):
    type: Text
    id: Text
    name: Text | None = None
    description: Text | None = None
    created_by: Text
    created: Text
    revoked: bool | None = None
    valid_from: Text | None = None
    valid_until: Text | None = None
    labels: Texts | None = None
    external_references: JsonValue = None
    marking_extensions: Entries | None = None


class StatementMarking(Marking):
    statement: Text


class TlpMarking(Marking):
    tlpv2_level: Literal["TLP:RED", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:GREEN", "TLP:CLEAR"]


class IepMarking(Marking):
    tlp: Text
    iep_version: int
    start_date: Text
    end_date: Text | None
    encrypt_in_transit: Text
    permitted_actions: Text
    affected_party_notifications: Text
    attribution: Text
    unmodified_resale: Text


MARKINGS: Final[Mapping[str, type[Marking]]] = {
    "marking-statement": StatementMarking,
    "marking-tlp": TlpMarking,
    "marking-iep": IepMarking,
}


class ExtensionDefinition(Part):
    type: Literal["extension-definition"]
    name: Text
    description: Text | None = None
    created_by: Text
    schema_: Text = Field(alias="schema")
    version: Text
    external_references: References | None = None


class Signature(Part):
    """One signature in the JSON Signature Scheme (ITU-T X.590)."""

    type: Literal["jss"]
    id: Text
    created_by: Text | None = None
    created: Text
    modified: Text
    revoked: bool = False
    signee: Text
    valid_from: Text | None = None
    valid_until: Text | None = None
    related_to: Text
    related_version: Text
    hash_algorithm: Text
    algorithm: Text
    public_key: Text | None = None
    public_cert_chain: Texts | None = None
    cert_url: Text | None = None
    thumbprint: Text | None = None
    value: Text
    signature: dict[str, JsonValue] | None = None
    """A countersignature."""
