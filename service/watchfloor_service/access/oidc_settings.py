"""What single sign-on is configured to do, checked as a whole before anything is asked of the provider."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.settings import Settings
from watchfloor_guardrails.roles import Role
from watchfloor_service.access.tokens import TENANT

MAX_ISSUER: Final = 255
MAX_GROUPS: Final = 1_000
"""Read of one person's groups; a provider with more than that must be told to send fewer."""

_ROLES: Final = {role.value: role for role in Role}


@dataclass(frozen=True, slots=True)
class MappedRole:
    group: str
    tenant: str
    role: Role


@dataclass(frozen=True, slots=True)
class OidcSettings:
    issuer: str
    client_id: str
    client_secret: SecretStr | None
    redirect_url: str
    role_claim: str
    mapping: tuple[MappedRole, ...]

    def roles_of(self, claims: Mapping[str, object]) -> frozenset[MappedRole]:
        """What the mapping makes of a person's groups, by exact name; nothing where the claim is not a list of text."""
        groups = claims.get(self.role_claim)
        if isinstance(groups, str):
            groups = [groups]
        if not isinstance(groups, list) or len(groups) > MAX_GROUPS:
            return frozenset()
        named = {group for group in groups if isinstance(group, str)}
        return frozenset(one for one in self.mapping if one.group in named)


def oidc_settings(settings: Settings) -> OidcSettings | None:
    """None where no provider is set. Raises `ConfigurationError` with everything that is wrong or missing."""
    if settings.oidc_issuer is None:
        return None
    problems: list[str] = []
    for name, url in (("oidc_issuer", settings.oidc_issuer), ("oidc_redirect_url", settings.oidc_redirect_url)):
        if url is None or not is_secure_url(url):
            problems.append(f"{name} is {url!r}; expected an https URL, or http on a loopback address")
    if len(settings.oidc_issuer) > MAX_ISSUER or urlsplit(settings.oidc_issuer).query:
        problems.append(f"oidc_issuer has at most {MAX_ISSUER} characters and no query")
    if not settings.oidc_client_id:
        problems.append("oidc_client_id is not set; the provider gives it when Watchfloor is registered there")
    mapping = list(_mapping(settings.oidc_role_mapping, settings.tenant, problems))
    if problems:
        raise ConfigurationError([Problem(problem) for problem in problems])
    return OidcSettings(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id or "",
        client_secret=settings.oidc_client_secret,
        redirect_url=settings.oidc_redirect_url or "",
        role_claim=settings.oidc_role_claim,
        mapping=tuple(mapping),
    )


def _mapping(entries: Iterable[str], home: str, problems: list[str]) -> Iterable[MappedRole]:
    for entry in entries:
        # A group's name may hold "=" (a distinguished name does); a role's never.
        group, _, target = entry.rpartition("=")
        tenant, _, role = target.rpartition("/")
        tenant = tenant or home
        if not group or role not in _ROLES or not TENANT.fullmatch(tenant):
            problems.append(
                f"oidc_role_mapping has {entry!r}; expected group=role or group=tenant/role with a role of "
                f"{', '.join(_ROLES)}"
            )
            continue
        yield MappedRole(group, tenant, _ROLES[role])


def is_secure_url(url: str) -> bool:
    """Whether what goes there can be read and changed by nobody in between."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    if parts.scheme == "https":
        return True
    try:
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
