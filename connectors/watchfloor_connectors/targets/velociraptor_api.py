"""Velociraptor's API: VQL over gRPC with certificates on both sides.

Source of the wire format: https://github.com/Velocidex/pyvelociraptor (``api.proto``, MIT; the few messages that are
used are declared below, so that no compiler of protocols is needed) and
https://docs.velociraptor.app/docs/server_automation/server_api/.
Values go beside a query as its environment, never into it. Imported where it is needed: it takes the extra
``velociraptor``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import grpc
import orjson
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from pydantic import BaseModel, ValidationError

from watchfloor_connectors.targets.base import NotReadyError
from watchfloor_connectors.targets.http_api import Clock
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.effect import NotDoneError

MAX_ANSWER: Final = 1024 * 1024
"""Bytes of the rows of one query."""
_SERVER_NAME: Final = "VelociraptorServer"
"""In every server's certificate, which its own authority signs."""
_AWAY: Final = "Velociraptor's API cannot be reached, or it and api_config do not match"
_REFUSED: Final = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "INVALID_ARGUMENT", "UNIMPLEMENTED"})
_PLACE: Final = re.compile(r"[A-Za-z0-9.\[\]:-]{1,253}:[0-9]{1,5}")
_TEXT: Final = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_NUMBER: Final = descriptor_pb2.FieldDescriptorProto.TYPE_UINT64
_MESSAGE: Final = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE

ModelT = TypeVar("ModelT", bound=BaseModel)
FoundT = TypeVar("FoundT")


class ApiConfig(BaseModel):
    """What ``velociraptor config api_client`` writes."""

    name: str = ""
    ca_certificate: str
    client_cert: str
    client_private_key: str
    api_connection_string: str


def _messages() -> tuple[Any, Any]:  # classes that are made at run time
    file = descriptor_pb2.FileDescriptorProto(name="velociraptor_api.proto", package="proto", syntax="proto3")
    fields: Mapping[str, Sequence[tuple[str, int, Any, str | None]]] = {
        "VQLRequest": [("VQL", 1, _TEXT, None), ("Name", 2, _TEXT, None)],
        "VQLEnv": [("key", 1, _TEXT, None), ("value", 2, _TEXT, None)],
        "VQLCollectorArgs": [
            ("Query", 2, _MESSAGE, "VQLRequest"),
            ("env", 3, _MESSAGE, "VQLEnv"),
            ("max_row", 4, _NUMBER, None),
            ("max_wait", 6, _NUMBER, None),
            ("org_id", 35, _TEXT, None),
        ],
        "VQLResponse": [("Response", 1, _TEXT, None), ("log", 9, _TEXT, None)],
    }
    for name, declared in fields.items():
        message = file.message_type.add(name=name)
        for field, number, kind, of in declared:
            label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED if of else None
            message.field.add(name=field, number=number, type=kind, label=label, type_name=of and f".proto.{of}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    request, response = (pool.FindMessageTypeByName(f"proto.{name}") for name in ("VQLCollectorArgs", "VQLResponse"))
    return message_factory.GetMessageClass(request), message_factory.GetMessageClass(response)


_REQUEST, _RESPONSE = _messages()


def read_config(text: str) -> ApiConfig:
    """Raises `NotReadyError` without a word of the file: it holds a private key."""
    try:
        config = ApiConfig.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError):
        raise NotReadyError("api_config is not what 'velociraptor config api_client' writes") from None
    if "ENCRYPTED" in config.client_private_key:
        raise NotReadyError("the private key of api_config is encrypted; protect the file instead (chmod 600)")
    if not _PLACE.fullmatch(config.api_connection_string):
        raise NotReadyError("the api_connection_string of api_config is not host:port")
    return config


class VqlSession:
    """Queries of one call of a tool, within one budget of time."""

    def __init__(self, channel: Any, org: str, ends_s: float, clock: Clock, denied: str) -> None:
        self._channel, self._org, self._ends_s, self._clock, self._denied = channel, org, ends_s, clock, denied
        self._has_changed = False

    def left_s(self) -> float:
        return self._ends_s - self._clock.now_s()

    def read(self, model: type[ModelT], query: str, **values: str) -> list[ModelT]:
        """The rows of a query that changes nothing. Raises `UnavailableError`."""
        try:
            return self._rows(model, query, values)
        except grpc.RpcError as error:
            is_away = error.code() is grpc.StatusCode.UNAVAILABLE
            raise self._not_ready(_AWAY if is_away else self._why(error)) from None
        except UnavailableError as error:
            raise self._not_ready(str(error)) from None

    def change(self, model: type[ModelT], query: str, **values: str) -> list[ModelT]:
        """Raises `NotDoneError` where the server refuses, `UnavailableError` where the outcome is open."""
        try:
            rows = self._rows(model, query, values)
        except grpc.RpcError as error:
            if error.code().name in _REFUSED and not self._has_changed:
                raise NotDoneError(self._why(error)) from None
            raise UnavailableError(self._why(error)) from None
        self._has_changed = True
        return rows

    def until(self, look: Callable[[], FoundT], is_settled: Callable[[FoundT], bool], every_s: float = 0.5) -> FoundT:
        """What ``look`` finds once it is settled, or last within the time."""
        found = look()
        while not is_settled(found) and self.left_s() > 2 * every_s:
            self._clock.sleep(every_s)
            found = look()
        return found

    def _rows(self, model: type[ModelT], query: str, values: Mapping[str, str]) -> list[ModelT]:
        request = _REQUEST(
            Query=[{"Name": "watchfloor", "VQL": query}],
            env=[{"key": name, "value": value} for name, value in values.items()],
            max_row=1_000,
            max_wait=1,
            org_id=self._org,
        )
        call = self._channel.unary_stream(
            "/proto.API/Query",
            request_serializer=_REQUEST.SerializeToString,
            response_deserializer=_RESPONSE.FromString,
        )
        answers = call(request, timeout=max(self.left_s(), 0.01))
        rows: list[ModelT] = []
        size = 0
        for answer in answers:
            size += len(answer.Response)
            if size > MAX_ANSWER:
                answers.cancel()
                raise UnavailableError(f"its answer is longer than {MAX_ANSWER // 1024} KiB")
            if answer.Response:
                rows += _parsed(model, answer.Response)
        return rows

    def _not_ready(self, message: str) -> UnavailableError:
        return UnavailableError(message) if self._has_changed else NotReadyError(message)

    def _why(self, error: grpc.RpcError) -> str:
        name = error.code().name
        return f"Velociraptor answers {name}" + (f": {self._denied}" if name in _REFUSED else "")


@contextmanager
def vql_session(config: ApiConfig, org: str, timeout_s: float, clock: Clock, denied: str) -> Iterator[VqlSession]:
    """The first query is a look: it raises `NotReadyError` where the server is away, or the two do not match."""
    ends_s = clock.now_s() + timeout_s
    credentials = grpc.ssl_channel_credentials(
        root_certificates=config.ca_certificate.encode(),
        private_key=config.client_private_key.encode(),
        certificate_chain=config.client_cert.encode(),
    )
    options = (
        ("grpc.ssl_target_name_override", _SERVER_NAME),
        ("grpc.max_receive_message_length", MAX_ANSWER),
        # Where it is asked is in its own file; a proxy of the environment is not.
        ("grpc.enable_http_proxy", 0),
    )
    with grpc.secure_channel(config.api_connection_string, credentials, options) as channel:
        # The first query connects. To wait until the channel is ready would make closing it wait as well: it is looked
        # at by a thread that sleeps 0.2 s at a time.
        yield VqlSession(channel, org, ends_s, clock, denied)


def _parsed(model: type[ModelT], text: str) -> list[ModelT]:
    try:
        return [model.model_validate(row) for row in orjson.loads(text)]
    except (orjson.JSONDecodeError, ValidationError, TypeError):
        raise UnavailableError("its answer does not have the documented form") from None
