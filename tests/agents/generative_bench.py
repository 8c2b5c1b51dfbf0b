"""A case, sources that answer from a list, and models that follow a script."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from watchfloor_agents.generative.engine import research
from watchfloor_agents.generative.providers import ReadyModel
from watchfloor_agents.generative.result import GenerativeResult
from watchfloor_agents.generative.settings import ModelChoice, ModelSettings, Price
from watchfloor_agents.generative.spending import Allowance
from watchfloor_agents.investigation.case import CaseAlert, CaseEntity, InvestigationCase
from watchfloor_agents.investigation.view import Answer, CaseView, Question
from watchfloor_core.alert import EntityKind, EntityRole, Integrity, TimePrecision
from watchfloor_core.evidence import Evidence, EvidenceKind, evidence_of_event, evidence_of_groups
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.event import EventType, LogEvent
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import Aggregate, Select, TimeRange
from watchfloor_core.logs.source import Coverage, Group, Groups, Health

T0: Final = 1_780_000_000_000_000
HOUR_US: Final = 3_600_000_000
COMMAND: Final = "powershell.exe -enc SQBFAFgA"
FREE: Final = Price(input=Decimal(0), output=Decimal(0))
DEAR: Final = Price(input=Decimal(3), output=Decimal(15), cached_input=Decimal("0.3"))
PLENTY: Final = Allowance(tokens=10_000_000, micro_usd=1_000_000_000)
OPEN_CASE: Final = 0.45


def event(number: int, type_: EventType = EventType.PROCESS_START, **fields: str | int) -> LogEvent:
    known = {Field(name.replace("__", ".")): value for name, value in fields.items()}
    return LogEvent(f"{number:064x}", "sysmon", T0 + number, TimePrecision.MICROSECOND, type_, known)


def start(command: str = COMMAND, number: int = 1) -> LogEvent:
    """A process start on host ws1."""
    return event(
        number,
        host__name="ws1",
        user__name="ann",
        process__name="powershell.exe",
        process__command_line=command,
        process__entity_id=f"{{guid-{number}}}",
    )


def case_view(command: str = COMMAND) -> CaseView:
    """An incident of one alert, E1 to a model, that triage left open."""
    fields = {"rule.name": "Encoded PowerShell", "process.command_line": command, "host.name": "ws1"}
    alert = Evidence(EvidenceKind.ALERT, "edr", {"fields": fields}, T0)
    entity = CaseEntity(
        kind=EntityKind.HOST, value="ws1", role=EntityRole.TARGET, integrity=Integrity.SENSOR, alerts=1, tier=2
    )
    one = CaseAlert(
        evidence=alert,
        product="edr",
        detector="Encoded PowerShell",
        severity=3,
        tactics=("execution",),
        techniques=("T1059.001",),
        entities=((EntityKind.HOST, "ws1", EntityRole.TARGET),),
        count=1,
        first_us=T0,
        last_us=T0,
    )
    return CaseView(
        InvestigationCase(
            tenant="acme",
            incident_id="inc-0123456789abcdef",
            revision=3,
            title="Encoded PowerShell on ws1",
            range=TimeRange(T0, T0 + HOUR_US),
            alerts=(one,),
            entities=(entity,),
            triage_verdict=Verdict.UNDETERMINED,
            triage_probability=OPEN_CASE,
        )
    )


@dataclass
class Sources:
    """Answers every question with the same events, or their number."""

    events: Sequence[LogEvent] = ()
    health: Health = Health.WHOLE
    error: Exception | None = None
    questions: list[Question] = field(default_factory=list)

    async def __call__(self, question: Question) -> Answer:
        self.questions.append(question)
        if self.error is not None:
            raise self.error
        coverage = Coverage("sysmon", self.health, "" if self.health is Health.WHOLE else "the agent is down")
        match question.query:
            case Select(limit=limit):
                found = tuple(evidence_of_event(one) for one in self.events[:limit])
            case Aggregate() as query:
                group = Group(("ws1",), len(self.events), T0, T0)
                found = (evidence_of_groups(query, Groups((group,), coverage)),)
        return Answer(question, found, (coverage,), len(found) < len(self.events))


Reply = ModelResponse | Exception
Step = Reply | Callable[[list[ModelMessage], AgentInfo], Reply]


@dataclass
class Script:
    """What a model does, turn by turn; the last step is repeated for ever."""

    steps: Sequence[Step]
    heard: list[list[ModelMessage]] = field(default_factory=list)
    offered: list[AgentInfo] = field(default_factory=list)

    def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        step = self.steps[min(len(self.heard), len(self.steps) - 1)]
        self.heard.append(list(messages))
        self.offered.append(info)
        reply = step(messages, info) if callable(step) else step
        if isinstance(reply, Exception):
            raise reply
        return reply

    @property
    def turns(self) -> int:
        return len(self.heard)

    def model(self) -> FunctionModel:
        return FunctionModel(self, model_name="scripted")


def call(tool: str, **arguments: object) -> ModelResponse:
    return ModelResponse(parts=[ToolCallPart(tool, dict(arguments))])


def says(text: str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(text)])


def concludes(
    *claims: Mapping[str, object],
    verdict: Verdict = Verdict.TRUE_POSITIVE,
    confidence: float = 0.9,
    usage: RequestUsage | None = None,
    **others: object,
) -> ModelResponse:
    body = {"verdict": verdict.value, "confidence": confidence, "summary": "In short.", "claims": list(claims)}
    parts = [ToolCallPart("final_result", body | others)]
    return ModelResponse(parts=parts) if usage is None else ModelResponse(parts=parts, usage=usage)


def claim(
    evidence: str = "E1",
    field_: str = "process.command_line",
    text: str = "powershell.exe -enc",
    *,
    says_: str = "An encoded command was run.",
    about: str = "attack",
    **others: object,
) -> dict[str, object]:
    cited = {"evidence": evidence, "field": field_, "text": text}
    return {"text": says_, "citations": [cited], "about": about} | others


def ready(model: Script | FunctionModel, name: str = "openai:scripted", price: Price = FREE) -> ReadyModel:
    choice = ModelChoice(name=name, api_key="env:MODEL_KEY", price=price)
    return ReadyModel(choice, model.model() if isinstance(model, Script) else model)


def settings(**changes: object) -> ModelSettings:
    chosen = {"models": [{"name": "openai:scripted", "api_key": "env:MODEL_KEY", "price": {"input": 0, "output": 0}}]}
    return ModelSettings.model_validate(chosen | {"retries": 0} | changes)


async def no_wait(_: float) -> None:
    """In place of waiting before a repetition."""


async def run(
    *scripts: Script,
    view: CaseView | None = None,
    sources: Sources | None = None,
    allowance: Allowance = PLENTY,
    price: Price = FREE,
    **changes: object,
) -> GenerativeResult:
    models = [ready(one, f"openai:scripted{number}", price) for number, one in enumerate(scripts)]
    asked = Sources([start()]) if sources is None else sources
    return await research(view or case_view(), asked, models, settings(**changes), allowance, sleep=no_wait)


def prompt_of(messages: Sequence[ModelMessage]) -> str:
    """What the user's part of the first request says."""
    first = messages[0]
    assert isinstance(first, ModelRequest)
    return "\n".join(str(part.content) for part in first.parts if isinstance(part, UserPromptPart))


def fenced(text: str) -> list[object]:
    """The contents of the fences in a text."""
    return [json.loads(found) for found in re.findall(r"<<<DATA [0-9a-f]{16} integrity=\w+\n(.*)\nDATA ", text)]
