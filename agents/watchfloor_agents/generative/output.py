"""The form in which a model has to answer. What does not fit is sent back, a bounded number of times."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from watchfloor_core.incident import Verdict
from watchfloor_core.report import HypothesisKind, Stance

MAX_CLAIMS: Final = 30

Handle = Annotated[str, Field(min_length=2, max_length=64, description="Id of evidence as given, e.g. E7")]
Technique = Annotated[str, Field(pattern=r"^T[0-9]{4}(\.[0-9]{3})?$", description="ATT&CK id, e.g. T1059.001")]
Sentence = Annotated[str, Field(min_length=1, max_length=600)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CitedText(_Strict):
    """The place that a claim rests on."""

    evidence: Handle
    field: str = Field(min_length=1, max_length=128, description="The field's name exactly as given")
    text: str = Field(min_length=1, max_length=1_000, description="Text that stands in the field, exactly")


class ModelClaim(_Strict):
    """One thing that the evidence shows."""

    text: Sentence
    citations: tuple[CitedText, ...] = Field(min_length=1, max_length=8)
    about: Literal[HypothesisKind.ATTACK, HypothesisKind.BENIGN] = Field(description="The explanation that it bears on")
    stance: Literal[Stance.SUPPORTS, Stance.REFUTES] = Stance.SUPPORTS
    techniques: tuple[Technique, ...] = Field(default=(), max_length=6)


class Proposal(_Strict):
    """What the model makes of the incident; a proposal to people, never a decision."""

    verdict: Verdict
    confidence: float = Field(ge=0, le=1, description="How sure of the verdict, 0 to 1")
    summary: str = Field(min_length=1, max_length=1_500)
    claims: tuple[ModelClaim, ...] = Field(default=(), max_length=MAX_CLAIMS)
    root_cause: Sentence | None = Field(default=None, description="Where it began; null where not established")
    root_cause_claims: tuple[int, ...] = Field(default=(), max_length=8, description="Numbers of claims, from 0")
    unknowns: tuple[Sentence, ...] = Field(default=(), max_length=20, description="What could not be told, and why")
