"""An answer of a vendor's API: bytes until they are checked against what the vendor documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from watchfloor_core.errors import UnavailableError

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of any status."""

    status: int
    body: bytes
    retry_after_s: float | None = None
    """What the header ``Retry-After`` asks for, in seconds."""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_refusal(self) -> bool:
        """It was not carried out: 4xx, but for 408, after which that is open."""
        return 400 <= self.status < 500 and self.status != 408

    def parse(self, model: type[ModelT]) -> ModelT:
        """Raises `UnavailableError`, without a word of the answer, where it is something else."""
        try:
            return model.model_validate_json(self.body)
        except ValidationError:
            raise UnavailableError("the answer does not have the documented form") from None
