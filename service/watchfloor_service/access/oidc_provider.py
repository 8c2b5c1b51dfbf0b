"""The identity provider: its endpoints and keys, and what it says about a person.

OpenID Connect Core 1.0 (authorization code), Discovery 1.0, PKCE (RFC 7636, S256). An ID token counts only with a
signature by RS256 or ES256 under a key that the provider publishes: "none" and shared-secret algorithms are not among
what is tried, so that no published key can be taken for a shared secret.
"""

from __future__ import annotations

import base64
import hmac
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeGuard
from urllib.parse import quote, urlencode

import httpx
import orjson
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from watchfloor_core.errors import RefusedError, UnavailableError
from watchfloor_service.access.oidc_settings import OidcSettings, is_secure_url

ALGORITHMS: Final = {"RS256": "RSA", "ES256": "EC"}
TIMEOUT_S: Final = 10.0
MAX_ANSWER: Final = 1 << 20
MAX_TOKEN: Final = 64 * 1024
METADATA_S: Final = 3600.0
"""Endpoints and keys are asked for again after so long, keys also when one is named that is not known."""
KEYS_AT_MOST_EVERY_S: Final = 10.0
"""But not more often: what names a key may come from a stranger."""
LEEWAY_S: Final = 60
"""How far the provider's clock may be off."""
MAX_SUBJECT: Final = 255
RSA_BYTES: Final = 256
"""Of the modulus at least: 2048 bits."""


class SignInRefusedError(RefusedError):
    """What came back proves nobody's identity; ``reason`` is for the log, strangers are told nothing of it."""


@dataclass(frozen=True, slots=True)
class _Endpoints:
    authorization: str
    token: str
    keys: str
    takes_basic: bool
    fetched_s: float


class OidcProvider:
    """Asked over HTTP when somebody signs in, not before: a provider that is down stops no start. Thread-safe."""

    def __init__(
        self,
        settings: OidcSettings,
        clock: Callable[[], float] = time.time,
        client: httpx.Client | None = None,
    ) -> None:
        self.settings: Final = settings
        self._clock = clock
        # Redirects are not followed and the environment's proxies are not used: it speaks to the provider alone.
        self._client = client or httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)
        self._lock = threading.Lock()
        self._endpoints: _Endpoints | None = None
        self._keys: Mapping[str | None, list[RSAKey | ECKey]] = {}
        self._keys_s = 0.0

    def close(self) -> None:
        self._client.close()

    def authorization_url(self, state: str, nonce: str, challenge: str) -> str:
        """Where the browser is sent. Raises `UnavailableError` where the provider does not answer."""
        endpoint = self._metadata().authorization
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.settings.client_id,
                "redirect_uri": self.settings.redirect_url,
                "scope": "openid profile",
                "state": state,
                "nonce": nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

    def claims_for_code(self, code: str, verifier: str, nonce: str) -> Mapping[str, object]:
        """Exchange the code; gives the verified claims of the ID token.

        Raises `SignInRefusedError` where the provider takes it back or the token does not hold, `UnavailableError`
        where the provider does not answer.
        """
        endpoints = self._metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.settings.redirect_url,
            "code_verifier": verifier,
        }
        secret, auth = self.settings.client_secret, None
        if secret is not None and endpoints.takes_basic:
            # Form-encoded before they are joined: RFC 6749, section 2.3.1.
            auth = httpx.BasicAuth(quote(self.settings.client_id, safe=""), quote(secret.get_secret_value(), safe=""))
        else:
            form["client_id"] = self.settings.client_id
            if secret is not None:
                form["client_secret"] = secret.get_secret_value()
        status, answer = self._ask("POST", endpoints.token, form, auth)
        token = answer.get("id_token")
        if status != 200 or not isinstance(token, str):
            raise SignInRefusedError(f"the provider answered {status} and no ID token to the code")
        return self.verify(token, nonce)

    def verify(self, token: str, nonce: str) -> Mapping[str, object]:
        """The claims of an ID token that is the provider's, for us, for this sign-in and for now."""
        if len(token) > MAX_TOKEN:
            raise SignInRefusedError("the ID token is too long")
        try:
            header = jws.extract_compact(token.encode()).headers()
        except (JoseError, ValueError) as error:
            raise SignInRefusedError(f"the ID token cannot be read: {error}") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS or not isinstance(kid, str | None):
            raise SignInRefusedError("the ID token is signed by another algorithm than RS256 and ES256")
        for key in self._keys_for(kid, ALGORITHMS[algorithm]):
            try:
                claims = jwt.decode(token, key, algorithms=[algorithm]).claims
            except (JoseError, ValueError):
                continue
            self._check(claims, nonce)
            return claims
        raise SignInRefusedError("no key of the provider fits the ID token's signature")

    def _check(self, claims: Mapping[str, object], nonce: str) -> None:
        us, now = self.settings.client_id, self._clock()
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience
        expires, issued, begins = claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)
        subject, said = claims.get("sub"), claims.get("nonce")
        wrong = []
        if claims.get("iss") != self.settings.issuer:
            wrong.append("iss")
        if not isinstance(audiences, list) or us not in audiences:
            wrong.append("aud")
        elif len(audiences) > 1 and "azp" not in claims:
            wrong.append("azp")
        if claims.get("azp", us) != us:
            wrong.append("azp")
        if not _is_number(expires) or now >= expires + LEEWAY_S:
            wrong.append("exp")
        if not _is_number(issued) or issued > now + LEEWAY_S:
            wrong.append("iat")
        if not _is_number(begins) or begins > now + LEEWAY_S:
            wrong.append("nbf")
        if not isinstance(said, str) or not hmac.compare_digest(said.encode("utf-8", "replace"), nonce.encode()):
            wrong.append("nonce")
        if not isinstance(subject, str) or not 1 <= len(subject) <= MAX_SUBJECT or "\0" in subject:
            wrong.append("sub")
        if wrong:
            raise SignInRefusedError(f"the ID token's {', '.join(wrong)} do not hold")

    def _metadata(self) -> _Endpoints:
        with self._lock:
            now = self._clock()
            if self._endpoints is None or now - self._endpoints.fetched_s >= METADATA_S:
                self._endpoints = self._discover(now)
            return self._endpoints

    def _discover(self, now: float) -> _Endpoints:
        issuer = self.settings.issuer
        _, document = self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != issuer:
            raise UnavailableError(f"the identity provider does not call itself {issuer!r}; mend oidc_issuer")
        urls = [document.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        found = [url for url in urls if isinstance(url, str) and is_secure_url(url)]
        if len(found) < len(urls):
            raise UnavailableError("the identity provider names an endpoint that is neither https nor loopback")
        methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        authorization, token, keys = found
        return _Endpoints(
            authorization, token, keys, isinstance(methods, list) and "client_secret_basic" in methods, now
        )

    def _keys_for(self, kid: str | None, key_type: str) -> list[RSAKey | ECKey]:
        """The provider's keys of that name and type; without a name all of the type."""
        endpoint = self._metadata().keys
        with self._lock:
            now = self._clock()
            is_old = now - self._keys_s >= METADATA_S
            is_unknown = kid is not None and kid not in self._keys and now - self._keys_s >= KEYS_AT_MOST_EVERY_S
            if is_old or is_unknown:
                _, document = self._ask("GET", endpoint)
                self._keys, self._keys_s = _signing_keys(document), now
            named = self._keys.get(kid, []) if kid is not None else [k for keys in self._keys.values() for k in keys]
            return [key for key in named if key.key_type == key_type]

    def _ask(
        self, method: str, url: str, form: Mapping[str, str] | None = None, auth: httpx.Auth | None = None
    ) -> tuple[int, dict[str, object]]:
        """The status and the JSON object of an answer of at most 1 MiB."""
        body = bytearray()
        try:
            with self._client.stream(method, url, data=form, auth=auth, headers={"Accept": "application/json"}) as got:
                for chunk in got.iter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise UnavailableError("the identity provider's answer is larger than 1 MiB")
            answer = orjson.loads(bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, orjson.JSONDecodeError) as error:
            raise UnavailableError(f"the identity provider does not answer rightly ({type(error).__name__})") from error
        if not isinstance(answer, dict) or (method == "GET" and got.status_code != 200):
            raise UnavailableError(f"the identity provider answered {got.status_code} where JSON was expected")
        return got.status_code, answer


def _signing_keys(document: Mapping[str, object]) -> Mapping[str | None, list[RSAKey | ECKey]]:
    """Those that can be used; a set may hold keys for other purposes, which are left out."""
    found: dict[str | None, list[RSAKey | ECKey]] = {}
    listed = document.get("keys")
    for data in listed if isinstance(listed, list) else []:
        if not isinstance(data, dict) or data.get("use", "sig") != "sig":
            continue
        try:
            key: RSAKey | ECKey
            if data.get("kty") == "RSA" and len(base64.urlsafe_b64decode(f"{data['n']}==").lstrip(b"\0")) >= RSA_BYTES:
                key = RSAKey.import_key(data)
            elif data.get("kty") == "EC" and data.get("crv") == "P-256":
                key = ECKey.import_key(data)
            else:
                continue
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        kid = data.get("kid")
        if isinstance(kid, str | None):
            found.setdefault(kid, []).append(key)
    return found


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
