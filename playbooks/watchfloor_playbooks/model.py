"""A CACAO v2.0 playbook, typed: what the standard's property tables say, part by part.

Properties that the standard does not name are kept as they came (`Part.others`), for extensions and other
organisations' additions are not ours to drop. What holds between parts is the matter of `graph`, `references`
and `variables`; formats are the matter of `formats`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

MOST_ENTRIES: Final = 1_000
"""Of one list or dictionary."""

Text: TypeAlias = Annotated[str, Field(max_length=65_536)]
Texts: TypeAlias = Annotated[tuple[Text, ...], Field(strict=False, min_length=1, max_length=MOST_ENTRIES)]
Entries: TypeAlias = Annotated[dict[str, dict[str, JsonValue]], Field(max_length=MOST_ENTRIES)]
Percent: TypeAlias = Annotated[int, Field(ge=0, le=100)]
Milliseconds: TypeAlias = Annotated[int, Field(ge=0, le=31_622_400_000)]
"""At most a year and a day."""


class Part(BaseModel):
    """Any object of a playbook."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, populate_by_name=True)

    @property
    def others(self) -> Mapping[str, JsonValue]:
        """What is here beyond the properties of the standard."""
        return self.model_extra or {}

    @classmethod
    def names(cls) -> frozenset[str]:
        return frozenset(info.alias or name for name, info in cls.model_fields.items())


class ExternalReference(Part):
    name: Text
    description: Text | None = None
    source: Text | None = None
    url: Text | None = None
    external_id: Text | None = None
    reference_id: Text | None = None


References: TypeAlias = Annotated[tuple[ExternalReference, ...], Field(strict=False, max_length=MOST_ENTRIES)]


class Variable(Part):
    """Section 10.18. The value is text, an object, or null for "not known"."""

    type: Text
    description: Text | None = None
    value: JsonValue = None
    constant: bool = False
    external: bool = False


Variables: TypeAlias = Annotated[dict[str, Variable], Field(max_length=MOST_ENTRIES)]


class Location(Part):
    name: Text | None = None
    description: Text | None = None
    building_details: Text | None = None
    network_details: Text | None = None
    region: Text | None = None
    country: Text | None = None
    administrative_area: Text | None = None
    city: Text | None = None
    street_address: Text | None = None
    postal_code: Text | None = None
    latitude: Text | None = None
    longitude: Text | None = None
    precision: Text | None = None


class Contact(Part):
    email: dict[str, Text] | None = None
    phone: dict[str, Text] | None = None
    contact_details: Text | None = None


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


COMMANDS: Final[Mapping[str, type[Command]]] = {
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


# --- Steps, section 4 ------------------------------------------------------------------------------------------------


class Step(Part):
    """Common to all steps."""

    type: Text
    name: Text | None = None
    description: Text | None = None
    external_references: References | None = None
    delay: Milliseconds | None = None
    timeout: Milliseconds | None = None
    step_variables: Variables = Field(default_factory=dict)
    owner: Text | None = None
    on_completion: Text | None = None
    on_success: Text | None = None
    on_failure: Text | None = None
    step_extensions: Entries | None = None


class StartStep(Step):
    pass


class EndStep(Step):
    pass


class ActionStep(Step):
    commands: Annotated[tuple[dict[str, JsonValue], ...], Field(strict=False, min_length=1, max_length=MOST_ENTRIES)]
    """Typed by `COMMANDS`, each by its own type: see `Playbook.commands`."""
    agent: Text
    targets: Texts | None = None
    in_args: Texts | None = None
    out_args: Texts | None = None


class PlaybookActionStep(Step):
    playbook_id: Text
    playbook_version: Text | None = None
    in_args: Texts | None = None
    out_args: Texts | None = None


class ParallelStep(Step):
    next_steps: Annotated[tuple[Text, ...], Field(strict=False, min_length=2, max_length=MOST_ENTRIES)]


class IfStep(Step):
    condition: Text
    on_true: Text
    on_false: Text | None = None


class WhileStep(Step):
    condition: Text
    on_true: Text


class SwitchStep(Step):
    switch: Text
    cases: Annotated[dict[str, Text], Field(min_length=1, max_length=MOST_ENTRIES)]


STEPS: Final[Mapping[str, type[Step]]] = {
    "start": StartStep,
    "end": EndStep,
    "action": ActionStep,
    "playbook-action": PlaybookActionStep,
    "parallel": ParallelStep,
    "if-condition": IfStep,
    "while-condition": WhileStep,
    "switch-condition": SwitchStep,
}

# --- The whole, section 3 --------------------------------------------------------------------------------------------


class ProcessingSummary(Part):
    manual_playbook: bool | None = None
    external_playbooks: bool | None = None
    parallel_processing: bool | None = None
    if_logic: bool | None = None
    while_logic: bool | None = None
    switch_logic: bool | None = None
    temporal_logic: bool | None = None
    data_markings: bool | None = None
    digital_signatures: bool | None = None
    countersigned_signatures: bool | None = None
    extensions: bool | None = None


class Head(Part):
    """The playbook's own properties; its dictionaries hold parts that are typed one by one."""

    type: Literal["playbook"]
    spec_version: Literal["cacao-2.0"]
    id: Text
    name: Text
    description: Text | None = None
    playbook_types: Annotated[tuple[Text, ...], Field(strict=False, max_length=MOST_ENTRIES)] | None = None
    playbook_activities: Texts | None = None
    playbook_processing_summary: ProcessingSummary | None = None
    created_by: Text
    created: Text
    modified: Text
    revoked: bool = False
    valid_from: Text | None = None
    valid_until: Text | None = None
    derived_from: Texts | None = None
    related_to: Texts | None = None
    priority: Percent | None = None
    severity: Percent | None = None
    impact: Percent | None = None
    industry_sectors: Texts | None = None
    labels: Texts | None = None
    external_references: References | None = None
    markings: Texts | None = None
    playbook_variables: Variables = Field(default_factory=dict)
    workflow_start: Text
    workflow_exception: Text | None = None
    workflow: Annotated[dict[str, Any], Field(max_length=MOST_ENTRIES)]  # Any: typed step by step
    playbook_extensions: Entries | None = None
    authentication_info_definitions: Entries | None = None
    agent_definitions: Entries | None = None
    target_definitions: Entries | None = None
    extension_definitions: Entries | None = None
    data_marking_definitions: Entries | None = None
    signatures: Annotated[tuple[dict[str, JsonValue], ...], Field(strict=False, max_length=50)] | None = None
