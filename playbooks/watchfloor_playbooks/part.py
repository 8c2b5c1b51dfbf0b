"""What all parts of a CACAO v2.0 playbook have in common, and the small ones that stand inside others (section 10).

Properties that the standard does not name are kept as they came (`Part.others`), for extensions and other
organisations' additions are not ours to drop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

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
