"""Tickets about incidents: Jira, ServiceNow and TheHive, each with a server that speaks as the vendor documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.ticket_servers import JiraServer, ServicenowServer, TheHiveServer, TicketServer
from tests.connectors.vendor_server import (
    FAULTS,
    LEAK,
    SECRET,
    Reply,
    TestClock,
    check_fault,
    secret_file,
    served,
)
from watchfloor_connectors.targets.base import Slot
from watchfloor_connectors.targets.jira import Jira, JiraOptions
from watchfloor_connectors.targets.servicenow_ticket import ServicenowTicket, ServicenowTicketOptions
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target, hostile
from watchfloor_connectors.targets.thehive import TheHive, TheHiveOptions
from watchfloor_connectors.targets.tickets import MAX_BODY, MAX_TITLE, TicketTool
from watchfloor_core.errors import RecordError, RefusedError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError

Key = Callable[[str], str]

INCIDENT = "inc-0123456789abcdef"
ARGUMENTS = {"title": "Reimage ws-17", "text": "It ran a stealer.\nKeep the disk."}
HOSTILE_TITLE = "<b>x</b> @all https://evil.example \u202egpj.exe"
HOSTILE_TEXT = (
    "```\n# Approved by maria\n[click](https://evil.example) ![x](http://evil.example/p.png)\n````\n@bob [~bob] {html}"
)
ALL = ["jira", "servicenow_ticket", "thehive"]


@dataclass(frozen=True)
class Case:
    """A kind with its vendor."""

    tool: TicketTool[Any]
    server: TicketServer

    def again(self, **changes: object) -> Case:
        """The same tool at another executor, which remembers nothing."""
        options = self.tool.options.model_copy(update=changes)
        slot = replace(self.tool.slot, data_dir=self.tool.slot.data_dir.with_name("elsewhere"))
        return Case(type(self.tool)(slot, options, TestClock()), self.server)


def made(kind: str, slot: Slot, folder: Path, server: TicketServer) -> TicketTool[Any]:
    common: dict[str, Any] = {"api_url": server.url, "never": ("inc-ffffffffffffffff",)}
    secret = secret_file(folder)
    match kind:
        case "jira":
            options = JiraOptions(email=JiraServer.user, api_token=secret, project="SOC", **common)
            return Jira(slot, options, TestClock())
        case "servicenow_ticket":
            given = ServicenowTicketOptions(username=ServicenowServer.user, password=secret, **common)
            return ServicenowTicket(slot, given, TestClock())
        case _:
            return TheHive(slot, TheHiveOptions(api_key=secret, **common), TestClock())


SERVERS: dict[str, type[TicketServer]] = {
    "jira": JiraServer,
    "servicenow_ticket": ServicenowServer,
    "thehive": TheHiveServer,
}


@pytest.fixture(params=ALL)
def case(request: pytest.FixtureRequest, slot: Slot, tmp_path: Path) -> Iterator[Case]:
    server = SERVERS[request.param]()
    with served(server):
        yield Case(made(request.param, slot, tmp_path, server), server)


def of(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [kind], indirect=True)


def create(incident: str = INCIDENT, **arguments: Any) -> Action:
    given: dict[str, Any] = {**ARGUMENTS, **arguments}
    told = {name: value for name, value in given.items() if value is not None}
    return Action("create ticket", "tool", Target(TargetKind.TICKET, incident), told)


def cancel(incident: str = INCIDENT) -> Action:
    return Action("cancel ticket", "tool", Target(TargetKind.TICKET, incident), {})


def test_they_keep_the_contract_of_tools(case: Case, permit_for: PermitFor) -> None:
    sample = Sample("create ticket", Target(TargetKind.TICKET, INCIDENT), ARGUMENTS)
    check_target(case.tool, [sample], permit_for, [Target(TargetKind.TICKET, "inc-ffffffffffffffff")])


@pytest.mark.parametrize("fault", FAULTS)
def test_they_say_for_certain_only_what_is_certain(case: Case, permit_for: PermitFor, key: Key, fault: str) -> None:
    check_fault(fault, case.server, case.tool, create(), permit_for, key("a"))


@pytest.mark.parametrize("fault", ["missing scope", "refusal", "server error", "lost answer"])
def test_the_same_holds_for_taking_back(case: Case, permit_for: PermitFor, key: Key, fault: str) -> None:
    case.tool.act(permit_for(create(), key("a")))
    check_fault(fault, case.server, case.tool, cancel(), permit_for, key("b"))


def test_a_ticket_says_what_it_is_about_and_its_number_is_told(case: Case, permit_for: PermitFor, key: Key) -> None:
    case.tool.act(permit_for(create(), key("a")))
    title, text = case.server.texts()
    assert title == "Reimage ws-17"
    for part in (f"Incident: {INCIDENT}", f"Proposal: digest {key('a')}", "It ran a stealer", "Keep the disk"):
        assert part in text
    back = case.tool.read_back(create(), key("a"))
    assert back.effect is Effect.APPLIED
    assert back.output in ("SOC-1", "INC0010001", "1")


def test_it_is_made_once(case: Case, permit_for: PermitFor, key: Key) -> None:
    case.tool.act(permit_for(create(), key("a")))
    case.tool.act(permit_for(create(), key("a")))
    # Another executor finds it by its mark.
    case.again().tool.act(permit_for(create(), key("a")))
    for other in (case, case.again()):
        with pytest.raises(NotDoneError, match=key("a")):
            other.tool.act(permit_for(create(), key("b")))
        assert other.tool.read_back(create(), key("a")).effect is Effect.APPLIED
        assert other.tool.read_back(create(), key("b")).effect is Effect.NOT_APPLIED
    assert len(case.server.tickets) == 1
    case.tool.act(permit_for(create("inc-1111111111111111"), key("c")))
    assert len(case.server.tickets) == 2


def test_a_search_that_runs_behind_hides_nothing_that_was_acknowledged(
    case: Case, permit_for: PermitFor, key: Key
) -> None:
    case.server.is_behind = True
    case.tool.act(permit_for(create(), key("a")))
    assert case.tool.read_back(create(), key("a")).effect is Effect.APPLIED
    case.tool.act(permit_for(create(), key("a")))
    assert len(case.server.tickets) == 1
    case.tool.act(permit_for(cancel(), key("b")))
    assert case.tool.read_back(cancel(), key("b")).effect is Effect.APPLIED
    assert case.tool.read_back(create(), key("a")).effect is Effect.NOT_APPLIED


def test_one_that_was_not_acknowledged_is_unknown_until_it_shows_and_not_made_twice(
    case: Case, permit_for: PermitFor, key: Key
) -> None:
    case.server.is_behind = case.server.is_lossy = True
    with pytest.raises(UnavailableError) as found:
        case.tool.act(permit_for(create(), key("a")))
    assert not isinstance(found.value, NotDoneError)
    case.server.is_lossy = False
    back = case.tool.read_back(create(), key("a"))
    assert (back.effect, "may still come" in back.text) == (Effect.UNKNOWN, True)
    assert case.tool.read_back(cancel(), key("b")).effect is Effect.UNKNOWN
    with pytest.raises(UnavailableError, match="not made twice") as again:
        case.tool.act(permit_for(create(), key("a")))
    assert not isinstance(again.value, NotDoneError)
    case.server.is_behind = False
    assert case.tool.read_back(create(), key("a")).effect is Effect.APPLIED
    assert len(case.server.tickets) == 1


def test_what_people_have_closed_is_not_taken_back_and_makes_room_for_another(
    case: Case, permit_for: PermitFor, key: Key
) -> None:
    case.tool.act(permit_for(create(), key("a")))
    before = case.tool.read_state(create().target)
    case.server.close_by_hand()
    assert case.tool.read_state(create().target) != before
    with pytest.raises(NotDoneError, match="no open ticket"):
        case.tool.act(permit_for(cancel(), key("b")))
    assert case.tool.read_back(create(), key("a")).effect is Effect.APPLIED
    assert case.tool.read_back(cancel(), key("b")).effect is Effect.APPLIED
    case.tool.act(permit_for(create(), key("c")))
    assert len(case.server.tickets) == 2


def test_tickets_of_others_are_left_alone(case: Case, permit_for: PermitFor, key: Key) -> None:
    case.tool.act(permit_for(create("inc-1111111111111111"), key("a")))
    with pytest.raises(NotDoneError, match="no open ticket"):
        case.tool.act(permit_for(cancel(), key("b")))
    assert case.tool.read_back(create("inc-1111111111111111"), key("a")).effect is Effect.APPLIED


def test_what_was_made_is_cancelled_even_if_its_incident_was_protected_since(
    case: Case, permit_for: PermitFor, key: Key
) -> None:
    case.tool.act(permit_for(create(), key("a")))
    later = case.again(never=(INCIDENT,)).tool
    assert later.version == case.tool.version
    later.act(permit_for(cancel(), key("b")))
    assert later.read_back(cancel(), key("b")).effect is Effect.APPLIED
    with pytest.raises(RefusedError):
        later.act(permit_for(create(), key("c")))


def test_one_that_was_deleted_or_is_hidden_is_neither_there_nor_taken_back(
    case: Case, permit_for: PermitFor, key: Key
) -> None:
    case.tool.act(permit_for(create(), key("a")))
    case.server.tickets.clear()
    for action in (create(), cancel()):
        back = case.tool.read_back(action, key("a"))
        assert (back.effect, "does not show any more" in back.text) == (Effect.UNKNOWN, True)
    with pytest.raises(NotDoneError, match="no open ticket"):
        case.tool.act(permit_for(cancel(), key("b")))
    # Another one may be made in its place.
    case.tool.act(permit_for(create(), key("c")))
    assert case.tool.read_back(create(), key("c")).effect is Effect.APPLIED


def test_nothing_of_a_text_is_markup_a_link_or_a_line_of_ours(case: Case, permit_for: PermitFor, key: Key) -> None:
    case.tool.act(permit_for(create(title=HOSTILE_TITLE, text=HOSTILE_TEXT), key("a")))
    title, text = case.server.texts()
    for shown in (title, text):
        assert not re.search(r"https?://|evil\.example|\u202e|@all|@bob", shown)
    if case.tool.kind == "thehive":
        fence = re.search(r"^(`{3,})text\n", text, re.MULTILINE)
        assert fence is not None
        inside = text[fence.end() :].removesuffix(fence[1])
        assert fence[1] not in inside
        assert "# Approved by maria" in inside
        assert text.endswith(f"\n{fence[1]}")


def test_the_worst_text_fits_into_every_vendors_fields(case: Case, permit_for: PermitFor, key: Key) -> None:
    worst = {"title": "\U000e0100" * MAX_TITLE, "text": "\U000e0100" * MAX_BODY}
    case.tool.act(permit_for(create(**worst), key("a")))
    assert case.tool.read_back(create(), key("a")).effect is Effect.APPLIED


@pytest.mark.parametrize(
    "wrong",
    [{"title": None}, {"text": None}, {"title": ""}, {"text": " \n"}, {"title": 7}, {"title": "x" * (MAX_TITLE + 1)},
     {"text": "x" * (MAX_BODY + 1)}],
)  # fmt: skip
def test_what_is_no_bounded_text_makes_no_ticket(
    case: Case, permit_for: PermitFor, key: Key, wrong: dict[str, Any]
) -> None:
    with pytest.raises(NotDoneError, match=r"'title'|'text'"):
        case.tool.act(permit_for(create(**wrong), key("a")))
    assert case.server.tickets == {}


def test_nothing_is_asked_for_a_value_that_is_no_incident(case: Case, permit_for: PermitFor, key: Key) -> None:
    values = ["inc-0123456789abcdeF", "inc-", 'inc-0" OR project = "HR', "inc-0^ORstate=1", "~4096", "SOC-1"]
    for target in [*hostile(create().target), *(Target(TargetKind.TICKET, one) for one in values)]:
        with pytest.raises(RecordError):
            case.tool.read_state(target)
        with pytest.raises(RecordError):
            case.tool.act(permit_for(replace(create(), target=target), key("a")))
    assert case.server.asked == []


def test_the_secret_and_the_vendors_words_stand_nowhere(case: Case, permit_for: PermitFor, key: Key) -> None:
    case.server.may_write = False
    with pytest.raises(NotDoneError) as found:
        case.tool.act(permit_for(create(), key("a")))
    told = f"{found.value} {case.tool.version} {case.tool.least_privilege} {case.tool.read_state(create().target)}"
    assert not any(text in told for text in (SECRET, LEAK))
    assert case.server.tickets == {}


def test_more_tickets_than_can_be_looked_at_are_left_to_people(case: Case, permit_for: PermitFor, key: Key) -> None:
    case.tool.act(permit_for(create(), key("a")))
    (one,) = case.server.tickets.values()
    for number in range(2, 30):
        name = {"jira": f"{10_100 + number}", "servicenow_ticket": f"{number:032x}"}.get(case.tool.kind, f"~{number}")
        identity = {"jira": "id", "servicenow_ticket": "sys_id"}.get(case.tool.kind, "_id")
        case.server.tickets[name] = {**one, identity: name}
    with pytest.raises(NotDoneError, match="more than 20"):
        case.tool.act(permit_for(create(), key("b")))


@of("jira")
def test_an_issue_that_somebody_labelled_like_ours_is_not_ours(case: Case, permit_for: PermitFor, key: Key) -> None:
    case.tool.act(permit_for(create(), key("a")))
    case.server.newest["creator"] = "mallory@corp.example"
    elsewhere = case.again().tool
    with pytest.raises(NotDoneError, match="no open ticket"):
        elsewhere.act(permit_for(cancel(), key("b")))


@of("jira")
def test_without_a_transition_to_the_status_nothing_is_cancelled(case: Case, permit_for: PermitFor, key: Key) -> None:
    assert isinstance(case.server, JiraServer)
    case.tool.act(permit_for(create(), key("a")))
    case.server.transitions = case.server.transitions[:1]
    with pytest.raises(NotDoneError, match="no transition leads to the status 'Cancelled'"):
        case.tool.act(permit_for(cancel(), key("b")))
    assert case.tool.read_back(cancel(), key("b")).effect is Effect.NOT_APPLIED


@of("servicenow_ticket")
def test_a_record_of_which_the_instance_drops_the_key_is_known_by_its_id(
    case: Case, permit_for: PermitFor, key: Key
) -> None:
    assert isinstance(case.server, ServicenowServer)
    case.server.protected = {"correlation_id", "correlation_display"}
    case.tool.act(permit_for(create(), key("a")))
    assert case.tool.read_back(create(), key("a")).effect is Effect.APPLIED
    case.tool.act(permit_for(cancel(), key("b")))
    assert case.server.newest["state"] == "8"


@of("servicenow_ticket")
def test_a_state_that_the_instance_puts_back_is_no_effect(case: Case, permit_for: PermitFor, key: Key) -> None:
    assert isinstance(case.server, ServicenowServer)
    case.tool.act(permit_for(create(), key("a")))
    case.server.ignores_state = True
    case.tool.act(permit_for(cancel(), key("b")))
    assert case.tool.read_back(cancel(), key("b")).effect is Effect.NOT_APPLIED


@of("thehive")
def test_the_organisation_is_named_where_the_account_has_several(case: Case, permit_for: PermitFor, key: Key) -> None:
    assert isinstance(case.server, TheHiveServer)
    case.server.organisation = "soc"
    with pytest.raises(NotDoneError, match="status 403"):
        case.tool.act(permit_for(create(), key("a")))
    case.again(organisation="soc").tool.act(permit_for(create(), key("a")))
    assert len(case.server.tickets) == 1


def test_an_answer_of_another_form_is_taken_for_nothing(case: Case, permit_for: PermitFor, key: Key) -> None:
    case.tool.act(permit_for(create(), key("a")))
    bare: tuple[object, ...] = () if case.tool.kind == "thehive" else ([],)
    for content in (*bare, {}, {"result": {"sys_id": "../x"}}, {"issues": [{"id": "1 OR 1"}]}, [{"_id": "../../user"}]):
        case.server.fault = lambda request, content=content: Reply(200, content)
        with pytest.raises(UnavailableError):
            case.again().tool.act(permit_for(cancel(), key("b")))
