"""An application's own sign-in at Microsoft Entra ID, for Microsoft's APIs.

Source: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from watchfloor_connectors.targets.http_api import ApiOptions, BaseUrl
from watchfloor_connectors.targets.http_credentials import OAuthToken
from watchfloor_connectors.targets.secret import SecretReference, read_secret

Guid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class MicrosoftOptions(ApiOptions):
    """What every kind takes that speaks to one of Microsoft's APIs."""

    directory: Guid
    """The id of the Entra tenant."""
    application: Guid
    """The id (``appId``) of the application that is registered for Watchfloor."""
    application_secret: SecretReference
    login_url: BaseUrl = "https://login.microsoftonline.com"


def application_token(options: MicrosoftOptions, resource: str) -> OAuthToken:
    """A token for ``resource``, with all that was granted to the application there."""

    def form() -> Mapping[str, str]:
        return {
            "grant_type": "client_credentials",
            "client_id": options.application,
            "client_secret": read_secret(options.application_secret).get_secret_value(),
            "scope": f"{resource}/.default",
        }

    return OAuthToken(f"{options.login_url}/{options.directory}/oauth2/v2.0/token", form)
