"""Who gives a command that decides: the user of this machine, or whoever's token stands in a file they can read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, RefusedError
from watchfloor_core.keys.private_file import read_private
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import Scope, roles_within
from watchfloor_service.access.caller import Caller, Via, caller_of_token, callers_of_session
from watchfloor_service.access.local_api import LocalApi, local_api
from watchfloor_service.access.operator_token import local_principal
from watchfloor_service.access.passwords import Passwords
from watchfloor_service.access.sessions import end_session
from watchfloor_service.access.sign_in import sign_in_by_password
from watchfloor_service.access.tokens import verify_token
from watchfloor_service.commands.place import Place

TokenOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help="File (mode 0600) with a token of `watchfloor token create --kind person`: act as that person.",
        show_default=False,
        dir_okay=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Me:
    """The person, as they look at the store and as they call the API."""

    place: Place
    caller: Caller
    token: str | None
    """Their own; None for the operator, whose token the API's owner keeps, and for who signed in here."""

    def api(self) -> LocalApi:
        """The running stack's API. Raises `UnavailableError` where none runs."""
        return local_api(self.place.settings, self.place.store, token=self.token)


@contextmanager
def signed_in(place: Place, principal: str, password: str) -> Iterator[Me]:
    """The person of an account, signed in for as long as the block lasts. Raises `RefusedError` where it is not so."""
    entered = sign_in_by_password(
        place.store, Passwords(), principal, password, tenant=place.tenant, home=place.settings.tenant
    )
    if entered is None:
        raise RefusedError("the name or the password is not right, or the account is locked for a while")
    session = entered.issued.session
    try:
        with place.store.read() as connection:
            caller = callers_of_session(connection, session)[place.tenant]
        yield Me(place, caller, None)
    finally:
        with place.store.write() as connection:
            end_session(connection, session.id, now_us())


def whoever(place: Place, token_file: Path | None) -> Me:
    """The person who gives this command. Raises `RefusedError` where the token is not live."""
    if token_file is None:
        scopes = frozenset(Scope)
        roles = roles_within(scopes)
        caller = Caller(place.tenant, local_principal(), PrincipalKind.PERSON, scopes, roles, Via.TOKEN, "")
        return Me(place, caller, None)
    text = read_private(token_file).decode("ascii", "replace").strip()
    with place.store.read() as connection:
        token = verify_token(connection, text)
        found = None if token is None else caller_of_token(connection, token)
    if found is None:
        raise RefusedError(f"{str(token_file)!r} holds no live token")
    if found.tenant != place.tenant:
        raise ConfigurationError(f"the token in {str(token_file)!r} is of another tenant than {place.tenant!r}")
    return Me(place, found, text)
