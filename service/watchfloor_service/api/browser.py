"""What a browser brings along by itself: cookies, and from where a request was started.

Cookies of ours are sent over TLS, or on this machine alone; a session over plain HTTP from elsewhere is not to be had.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request, Response

from watchfloor_service.access.sessions import LIFE_US, csrf_token

COOKIE_HTTPS: Final = "__Host-watchfloor"
"""The prefix makes browsers refuse it from another host, another path and plain HTTP (RFC 6265bis, section 4.1.3.2)."""
COOKIE_LOOPBACK: Final = "watchfloor"
OIDC_SUFFIX: Final = "-oidc"
CSRF_HEADER: Final = "x-watchfloor-csrf"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def cookie_name(request: Request, suffix: str = "") -> str | None:
    """What our cookie is called on this connection; None where there may be none."""
    if request.scope.get("scheme") == "https":
        return COOKIE_HTTPS + suffix
    host = _hostname(request)
    client = request.client.host if request.client is not None else ""
    return COOKIE_LOOPBACK + suffix if _is_loopback(host) and _is_loopback(client) else None


def session_cookie(request: Request) -> str | None:
    """The session's text, where one was sent that may be used on this connection."""
    name = cookie_name(request)
    return None if name is None else request.cookies.get(name)


def set_session_cookie(request: Request, response: Response, text: str) -> None:
    """Strict: the cookie does not come with a request that another site started, a link to us included."""
    _set(request, response, "", text, "strict", LIFE_US // 1_000_000)


def set_oidc_cookie(request: Request, response: Response, text: str, life_s: int) -> None:
    """Lax: it has to come with the redirect back from the identity provider, which is another site."""
    _set(request, response, OIDC_SUFFIX, text, "lax", life_s)


def drop_cookie(request: Request, response: Response, suffix: str = "") -> None:
    """Make the browser forget it."""
    _set(request, response, suffix, "", "strict", 0)


def _set(request: Request, response: Response, suffix: str, text: str, same_site: str, life_s: int) -> None:
    name = cookie_name(request, suffix)
    if name is None:
        return
    secure = "; Secure" if name.startswith(COOKIE_HTTPS) else ""
    response.headers.append(
        "set-cookie", f"{name}={text}; Max-Age={life_s}; Path=/; HttpOnly; SameSite={same_site.capitalize()}{secure}"
    )


def is_foreign(request: Request) -> bool:
    """Whether a browser says that a page of another origin started this request. A program says neither."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return True
    origin = request.headers.get("origin")
    if origin is None:
        return False
    if origin == "null":
        # So says a form on one of our own pages, which tell browsers not to name them; then the other header speaks.
        return site is None
    own = f"{request.scope.get('scheme', 'http')}://{request.headers.get('host', '')}"
    return origin.lower() != own.lower()


def shows_csrf_token(request: Request, session_text: str) -> bool:
    """Whether the request shows what only a page that may read our answers can know."""
    sent = request.headers.get(CSRF_HEADER, "")
    return hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), csrf_token(session_text).encode())


def _hostname(request: Request) -> str:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
