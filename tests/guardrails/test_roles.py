"""Which role carries what, and what a program can never hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import PEOPLE_ONLY, SCOPES_OF_ROLE, Role, Scope, holdable, roles_within, scopes_of

TABLE = """
                   viewer analyst responder lead admin auditor service agent
alerts:write       -      -       -         -    -     -       yes     -
incidents:read     yes    yes     yes       yes  -     yes     yes     yes
incidents:decide   -      yes     yes       yes  -     -       -       -
deadletters:read   -      yes     yes       yes  -     yes     yes     -
health:read        yes    yes     yes       yes  yes   yes     yes     yes
actions:read       yes    yes     yes       yes  -     yes     yes     yes
actions:propose    -      yes     yes       yes  -     -       yes     yes
approvals:decide   -      -       yes       yes  -     -       -       -
kill:engage        -      -       yes       yes  yes   -       -       -
policy:write       -      -       -         yes  -     -       -       -
accounts:write     -      -       -         -    yes   -       -       -
ledger:read        -      -       -         -    -     yes     yes     -
"""


def columns() -> dict[str, frozenset[Scope]]:
    header, *rows = (line.split() for line in TABLE.strip().splitlines())
    return {
        name: frozenset(Scope(row[0]) for row in rows if row[place] == "yes")
        for place, name in enumerate(header, start=1)
    }


def test_the_roles_and_the_programs_hold_what_the_table_says() -> None:
    expected = columns()
    assert {line.split()[0] for line in TABLE.strip().splitlines()[1:]} == {scope.value for scope in Scope}
    assert {role.value: SCOPES_OF_ROLE[role] for role in Role} == {role.value: expected[role] for role in Role}
    assert holdable(PrincipalKind.SERVICE) == expected["service"]
    assert holdable(PrincipalKind.AGENT) == expected["agent"]
    assert holdable(PrincipalKind.PERSON) == frozenset(Scope)


@pytest.mark.parametrize("kind", [PrincipalKind.SERVICE, PrincipalKind.AGENT])
def test_no_program_can_hold_what_is_for_people(kind: PrincipalKind) -> None:
    assert not holdable(kind) & PEOPLE_ONLY


def test_whoever_hands_out_authority_does_not_approve_with_it() -> None:
    assert Scope.APPROVALS_DECIDE not in SCOPES_OF_ROLE[Role.ADMIN]
    assert [role for role in Role if Scope.ACCOUNTS_WRITE in SCOPES_OF_ROLE[role]] == [Role.ADMIN]


def test_the_auditor_changes_nothing() -> None:
    assert all(scope.endswith(":read") for scope in SCOPES_OF_ROLE[Role.AUDITOR])


@given(st.frozensets(st.sampled_from(Role)), st.frozensets(st.sampled_from(Role)))
def test_more_roles_never_carry_less_and_carry_nothing_of_their_own(
    some: frozenset[Role], more: frozenset[Role]
) -> None:
    together = scopes_of(some | more)
    assert scopes_of(some) <= together
    assert together == scopes_of(some) | scopes_of(more)
    assert some <= roles_within(scopes_of(some))
    assert scopes_of(roles_within(together)) == together
