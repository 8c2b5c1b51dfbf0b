"""Write an engine that looks into what the rules leave open: the protocol, and what it takes to keep to it."""

from watchfloor_agents.generative.desk import RefusedQuestionError
from watchfloor_agents.generative.output import CitedText, ModelClaim, Proposal
from watchfloor_agents.opinion.engine import OpenCase, OpinionEngine, cite

__all__ = ["CitedText", "ModelClaim", "OpenCase", "OpinionEngine", "Proposal", "RefusedQuestionError", "cite"]
