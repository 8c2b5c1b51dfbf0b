"""Reaching Temporal, and telling clearly why not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pydantic import SecretStr
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
    RemoveSearchAttributesRequest,
)
from temporalio.service import TLSConfig

from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_workflows import search_attributes
from watchfloor_workflows.client import connect, temporal_address, tls_of
from watchfloor_workflows.testing import DevServer, Workbench

anyio = pytest.mark.anyio


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@anyio
async def test_a_server_that_is_down_is_unavailable_and_named(tmp_path: Path) -> None:
    port = closed_port()
    with pytest.raises(UnavailableError, match=rf"127\.0\.0\.1:{port}.*TLS off.*watchfloor up"):
        await connect(Settings(data_dir=tmp_path, temporal_port=port))


@anyio
async def test_tls_against_a_server_without_it_is_unavailable_and_said(
    temporal_server: DevServer, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, temporal_address=temporal_server.address, temporal_tls=True)
    with pytest.raises(UnavailableError, match="TLS on"):
        await connect(settings)


def test_without_an_address_the_embedded_server_is_meant(tmp_path: Path) -> None:
    assert temporal_address(Settings(data_dir=tmp_path, temporal_port=7300)) == "127.0.0.1:7300"
    assert temporal_address(Settings(data_dir=tmp_path, temporal_address="t.example:443")) == "t.example:443"


def test_tls_files_are_read_and_handed_over(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")}
    for name, path in files.items():
        path.write_text(name)
    settings = Settings(
        data_dir=tmp_path,
        temporal_tls_ca=files["ca.pem"],
        temporal_tls_cert=files["cert.pem"],
        temporal_tls_key=files["key.pem"],
    )

    assert tls_of(settings) == TLSConfig(b"ca.pem", None, b"cert.pem", b"key.pem")


def test_a_certificate_without_its_key_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="go together"):
        tls_of(Settings(data_dir=tmp_path, temporal_tls_cert=tmp_path / "cert.pem"))


def test_a_tls_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"temporal_tls_ca: .*missing\.pem.*No such file"):
        tls_of(Settings(data_dir=tmp_path, temporal_tls_ca=tmp_path / "missing.pem"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, False), ({"temporal_tls": True}, True), ({"temporal_api_key": SecretStr("k")}, True)],
)
def test_an_api_key_never_travels_without_tls(tmp_path: Path, settings: dict[str, object], expected: bool) -> None:
    assert tls_of(Settings(data_dir=tmp_path).model_copy(update=settings)) is expected


@anyio
async def test_search_attributes_are_registered_once(bench: Workbench) -> None:
    service, namespace = bench.client.operator_service, bench.client.namespace
    await service.remove_search_attributes(
        RemoveSearchAttributesRequest(namespace=namespace, search_attributes=["WatchfloorLevel"])
    )
    first = await search_attributes.register(bench.client)
    second = await search_attributes.register(bench.client)
    listed = await service.list_search_attributes(ListSearchAttributesRequest(namespace=namespace))

    assert (first, second) == (("WatchfloorLevel",), ())
    assert listed.custom_attributes["WatchfloorLevel"] == IndexedValueType.INDEXED_VALUE_TYPE_INT


@anyio
async def test_a_search_attribute_of_another_type_is_a_configuration_error(bench: Workbench) -> None:
    service, namespace = bench.client.operator_service, bench.client.namespace
    name = "WatchfloorVerdict"

    async def put(kind: IndexedValueType.ValueType) -> None:
        await service.remove_search_attributes(
            RemoveSearchAttributesRequest(namespace=namespace, search_attributes=[name])
        )
        await service.add_search_attributes(
            AddSearchAttributesRequest(namespace=namespace, search_attributes={name: kind})
        )

    await put(IndexedValueType.INDEXED_VALUE_TYPE_INT)
    try:
        with pytest.raises(ConfigurationError, match=r"WatchfloorVerdict as INDEXED_VALUE_TYPE_KEYWORD"):
            await search_attributes.register(bench.client)
    finally:
        await put(IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
