"""An engine to copy: it looks for tools that copy files to another place."""

from __future__ import annotations

from watchfloor_agents.investigation.view import Question
from watchfloor_agents.opinion import ModelClaim, OpenCase, Proposal, cite
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import Operator, Select, Where
from watchfloor_core.report import HypothesisKind

TOOLS = ("rclone.exe", "megasync.exe", "winscp.exe")


class CopyingTools:
    name = "copying_tools"
    version = "1"

    def opinion(self, case: OpenCase) -> Proposal:
        started = Select(
            range=case.view.case.range.widened(3600),
            types=frozenset({EventType.PROCESS_START}),
            where=Where(Field.PROCESS_NAME, Operator.EQUALS, TOOLS),
        )
        answer = case.ask(Question(started, "search_events", "whether a tool that copies files away was started"))
        claims = tuple(
            ModelClaim(
                text="A tool that copies files to another place was started.",
                citations=(cite(one, Field.PROCESS_NAME.value),),
                about=HypothesisKind.ATTACK,
                techniques=("T1567.002",),
            )
            for one in answer.evidence[:5]
        )
        unknowns = () if answer.can_say_no or claims else ("No source could have shown a tool that copies files.",)
        return Proposal(
            verdict=Verdict.UNDETERMINED, confidence=0.5, summary="Looked for tools that copy files away.",
            claims=claims, unknowns=unknowns,
        )  # fmt: skip
