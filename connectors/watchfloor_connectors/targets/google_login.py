"""A Google service account that acts for an administrator of a Workspace (domain-wide delegation).

Source: https://developers.google.com/identity/protocols/oauth2/service-account (HTTP/REST).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from pydantic import BaseModel, Field, SecretStr, ValidationError

from watchfloor_connectors.targets.base import NotReadyError
from watchfloor_connectors.targets.http_credentials import OAuthToken
from watchfloor_connectors.targets.secret import read_secret

_LIFETIME_S: Final = 3_600
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class _ServiceAccount(BaseModel):
    """The file that Google gives for a service account's key. Where it says to ask for tokens is not followed."""

    type: Literal["service_account"]
    client_email: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{3,254}$")]
    private_key: SecretStr
    private_key_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,64}$")]


def delegated_token(
    key: str, administrator: str, scopes: Sequence[str], token_url: str, now_s: Callable[[], float] = time.time
) -> OAuthToken:
    """``key`` refers to the file of the service account's key. Its content is read for each token."""

    def form() -> Mapping[str, str]:
        return {"grant_type": _GRANT, "assertion": _assertion(key, administrator, scopes, token_url, int(now_s()))}

    return OAuthToken(token_url, form)


def _assertion(key: str, administrator: str, scopes: Sequence[str], token_url: str, now_s: int) -> str:
    try:
        account = _ServiceAccount.model_validate_json(read_secret(key).get_secret_value())
        signer = RSAKey.import_key(account.private_key.get_secret_value())
    except (ValidationError, ValueError, TypeError, JoseError):
        # Neither what it says nor what is wrong with it: it is a secret.
        raise NotReadyError(f"{key.removeprefix('file:')!r} is no key of a Google service account, in JSON") from None
    claims = {
        "iss": account.client_email,
        "sub": administrator,
        "scope": " ".join(scopes),
        "aud": token_url,
        "iat": now_s,
        "exp": now_s + _LIFETIME_S,
    }
    return jwt.encode({"alg": "RS256", "typ": "JWT", "kid": account.private_key_id}, claims, signer)
