"""Amazon's SDK, as tools use it: it tries once, for a limited time, and errors say whether anything can have changed.

The SDK comes with the extra ``aws`` and is loaded when a tool is first used.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from watchfloor_connectors.targets.base import NotReadyError, ToolOptions
from watchfloor_connectors.targets.files import absolute
from watchfloor_connectors.targets.http_api import SYSTEM_CLOCK, BaseUrl, Clock, NotThereError
from watchfloor_connectors.targets.secret import SecretReference, read_secret
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_guardrails.effect import NotDoneError

Service: TypeAlias = Literal["ec2", "iam"]
ModelT = TypeVar("ModelT", bound=BaseModel)
FoundT = TypeVar("FoundT")

_BUSY: Final = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded"})
"""Refused for its rate, which EC2 says with status 503 (Amazon EC2 Developer Guide, "Request throttling")."""
_UNKNOWN_KEY: Final = frozenset({"InvalidClientTokenId", "AuthFailure", "SignatureDoesNotMatch"})
_MISSING: Final = frozenset({"NoSuchEntity", "InvalidInstanceID.NotFound"})


class AwsClientOptions(ToolOptions):
    """How a kind gets to Amazon."""

    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{4,32}$")]
    access_key_id: Annotated[str, Field(pattern=r"^AKIA[A-Z0-9]{16}$")] | None = None
    """None: the role of the instance or container that the executor runs in, or what else the SDK finds."""
    secret_access_key: SecretReference | None = None
    endpoint_url: BaseUrl | None = None
    """One endpoint for all services, e.g. of a gateway; None: Amazon's own."""
    timeout_s: float = Field(default=2.5, gt=0, le=2.5)
    """For the requests of looking, and again for changing; one that has begun may take as long once more."""
    ca: Annotated[str, AfterValidator(absolute)] | None = None
    """A file of certificates in PEM to trust instead of those that come with the SDK."""


def is_installed() -> bool:
    return importlib.util.find_spec("botocore") is not None


class Aws:
    """Clients of one account and region, made at the first use. Thread-safe."""

    def __init__(self, tool: str, options: AwsClientOptions, *, denied: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self.tool, self.options, self.denied, self.clock = tool, options, denied, clock
        self._lock = threading.Lock()
        # Any: the SDK makes its clients from data and has no types.
        self._clients: dict[Service, Any] = {}

    def client(self, service: Service) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._made(service)
            return self._clients[service]

    def forget(self) -> None:
        """The next request reads the secret anew."""
        with self._lock:
            self._clients.clear()

    def calls(self) -> Calls:
        """The requests of one call of a tool: they share ``timeout_s``."""
        return Calls(self)

    def _made(self, service: Service) -> Any:
        from botocore.config import Config
        from botocore.session import Session

        given = self.options
        keys: dict[str, str] = {}
        if given.access_key_id is not None and given.secret_access_key is not None:
            keys["aws_access_key_id"] = given.access_key_id
            keys["aws_secret_access_key"] = read_secret(given.secret_access_key).get_secret_value()
        settings = Config(
            connect_timeout=given.timeout_s / 2,
            read_timeout=given.timeout_s / 2,
            # What was sent is sent once: whether it had an effect is looked for, not tried again.
            retries={"total_max_attempts": 1},
            proxies={},
        )
        session = Session()
        session.register_component("data_loader", _loader())
        where = {"region_name": given.region, "endpoint_url": given.endpoint_url, "verify": given.ca or True}
        return session.create_client(service, config=settings, **where, **keys)


@cache
def _loader() -> Any:
    """What the SDK knows of Amazon's services: megabytes, the same for every client."""
    from botocore.loaders import create_loader

    return create_loader()


class Calls:
    """Requests within one budget of time.

    An error is `NotDoneError` too where for certain nothing was changed. Once a change was sent, none is any more.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._ends_s = aws.clock.now_s() + aws.options.timeout_s
        self._may_have_changed = False

    def read(self, model: type[ModelT], service: Service, operation: str, **given: object) -> ModelT:
        """Raises `NotFoundError`, `UnavailableError`."""
        told = self._sent(service, operation, given, is_change=False)
        try:
            return model.model_validate(told)
        except ValidationError:
            raise self._not_ready(f"{self._aws.tool!r} gets an answer without the documented form") from None

    def note(self, service: Service, operation: str, **given: object) -> None:
        """As `change`, for what only leaves a note, such as a tag: whatever comes of it, nothing counts as changed."""
        self._sent(service, operation, given, is_change=False)

    def change(self, service: Service, operation: str, **given: object) -> None:
        """Raises `NotDoneError` where it was refused or never sent, `UnavailableError` where the outcome is open."""
        self._sent(service, operation, given, is_change=True)

    def until(self, look: Callable[[], FoundT], is_settled: Callable[[FoundT], bool], every_s: float = 0.5) -> FoundT:
        """What ``look`` finds once it is settled, or last within the time: Amazon's own parts agree after a while."""
        found = look()
        while not is_settled(found) and self._left_s() > 2 * every_s:
            self._aws.clock.sleep(every_s)
            if self._left_s() <= 0:
                break
            found = look()
        return found

    def _left_s(self) -> float:
        return self._ends_s - self._aws.clock.now_s()

    def _sent(
        self, service: Service, operation: str, given: Mapping[str, object], *, is_change: bool
    ) -> Mapping[str, object]:
        from botocore import exceptions
        from botocore.parsers import ResponseParserError

        if self._left_s() <= 0:
            raise self._not_ready(f"{self._aws.tool!r} had no time left to ask")
        client = self._aws.client(service)
        before = self._may_have_changed
        try:
            self._may_have_changed = before or is_change
            told: Mapping[str, object] = getattr(client, operation)(**given)
        except exceptions.ClientError as error:
            raise self._refused(error, before, is_change=is_change) from None
        except (
            exceptions.EndpointConnectionError,
            exceptions.ConnectTimeoutError,
            exceptions.SSLError,
            exceptions.NoCredentialsError,
            exceptions.PartialCredentialsError,
            exceptions.CredentialRetrievalError,
            exceptions.ParamValidationError,
        ) as error:
            self._may_have_changed = before
            raise self._not_ready(f"{self._aws.tool!r} could not ask ({type(error).__name__})") from None
        # The SDK raises the latter where an answer is XML, and not that which it expects.
        except (exceptions.BotoCoreError, ResponseParserError, LookupError, TypeError, ValueError) as error:
            message = f"{self._aws.tool!r} gets no answer ({type(error).__name__})"
            raise (UnavailableError(message) if is_change else self._not_ready(message)) from None
        return told

    # Any: the exception's class is the SDK's.
    def _refused(self, error: Any, before: bool, *, is_change: bool) -> Exception:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        is_certain = code in _BUSY or (400 <= status < 500 and status != 408)
        if is_certain:
            self._may_have_changed = before
        if code in _UNKNOWN_KEY:
            self._aws.forget()
        # Amazon's message may repeat what was sent; its code is one of a list.
        shown = code if code.replace(".", "").isalnum() and len(code) <= 60 else "no code"
        message = f"{self._aws.tool!r} is answered with status {status} ({shown})"
        if status in (401, 403):
            message = f"{message}: {self._aws.denied}"
        if code in _MISSING:
            return NotFoundError(message) if self._may_have_changed else NotThereError(message)
        if is_change and is_certain and not self._may_have_changed:
            return NotDoneError(message)
        return UnavailableError(message) if is_change else self._not_ready(message)

    def _not_ready(self, message: str) -> UnavailableError:
        return UnavailableError(message) if self._may_have_changed else NotReadyError(message)
