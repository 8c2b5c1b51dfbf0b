"""Which connectors there are, and which of them an input is of."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from watchfloor_connectors.framing import read_bytes
from watchfloor_connectors.registry import Registry
from watchfloor_connectors.template import Acme
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.ports import Record
from watchfloor_core.settings import Settings

MAPPING = """\
name: {name}
version: "1"
detect: {{required: [vendor_x]}}
time: {{path: time}}
detector: {{product: {{constant: x}}, uid: {{path: rule}}, title: {{path: rule}}}}
severity: {{constant: low}}
"""
SURICATA: Record = {"event_type": "stats", "timestamp": "2024-06-13T07:46:10Z"}
Install = Callable[[str, str], None]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(Settings())


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a distribution with one module and one entry point where Python finds it, as pip would."""

    def put(entry: str, code: str) -> None:
        name, _, target = entry.partition("=")
        module = target.partition(":")[0].strip()
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[watchfloor.connectors]\n{name.strip()} = {target.strip()}\n")
        modules.append(module)

    modules: list[str] = []
    monkeypatch.syspath_prepend(tmp_path)
    yield put
    for module in modules:
        sys.modules.pop(module, None)


def test_a_connector_is_found_by_its_exact_name(registry: Registry) -> None:
    assert registry.get("suricata").name == "suricata"
    with pytest.raises(ConfigurationError, match=r"no connector 'Suricata'; known are: ait-ads, crowdstrike, .*wazuh"):
        registry.get("Suricata")


def test_an_allowed_third_party_connector_is_loaded(install: Install) -> None:
    install("acme_one = acme_one:make", "from watchfloor_connectors.template import Acme\n"
            "class One(Acme):\n    name = 'acme_one'\nmake = One\n")  # fmt: skip
    registry = Registry.load(Settings(connectors_allowed=("acme_one",)))
    assert registry.get("acme_one").version == "1"


def test_a_connector_that_is_not_allowed_is_never_imported(install: Install, tmp_path: Path) -> None:
    install("acme_two = acme_two:make", f"open({str(tmp_path / 'imported')!r}, 'w').close()\nmake = None\n")
    assert "acme_two" not in Registry.load(Settings()).names()
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ImportError('no such library')", "cannot be loaded: ImportError: no such library"),
        ("other = 1", "cannot be loaded: AttributeError"),
        ("def make(): raise ValueError('no key')", "cannot be loaded: ValueError: no key"),
        ("make = dict", "is no connector: name, version, recognises and to_alert were expected, found dict"),
        ("from watchfloor_connectors.template import Acme as make", "calls itself 'acme'; the two must agree"),
    ],
)
def test_an_allowed_connector_that_is_broken_stops_the_start(install: Install, code: str, message: str) -> None:
    install("acme_three = acme_three:make", code + "\n")
    with pytest.raises(ConfigurationError) as found:
        Registry.load(Settings(connectors_allowed=("acme_three",)))
    assert message in str(found.value)


def test_every_allowed_connector_that_cannot_be_loaded_is_named_at_once(install: Install) -> None:
    install("acme_four = acme_four:make", "raise RuntimeError('x')\n")
    with pytest.raises(ConfigurationError) as found:
        Registry.load(Settings(connectors_allowed=("acme_four", "acme_five")))
    assert len(found.value.problems) == 2
    assert "'acme_five' is allowed and not installed; installed are: acme_four" in str(found.value)


def test_the_operators_mappings_are_connectors_by_their_name(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(MAPPING.format(name="vendor-x"))
    registry = Registry.load(Settings(mappings_dir=tmp_path))
    assert registry.detect([{"vendor_x": 1, "time": "x"}]).name == "vendor-x"


def test_two_connectors_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(MAPPING.format(name="suricata"))
    with pytest.raises(ConfigurationError, match="two connectors are named 'suricata'"):
        Registry.load(Settings(mappings_dir=tmp_path))


def test_a_mapping_given_for_one_run_comes_before_one_of_the_same_name(tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(MAPPING.format(name="panther").replace('"1"', '"mine"'))
    extended, name = registry.with_mapping(file)
    assert extended.get(name).version == "mine"
    assert registry.get(name).version == "1"


def test_a_majority_of_one_format_is_that_format(registry: Registry) -> None:
    assert registry.detect([SURICATA, SURICATA, {"odd": 1}]).name == "suricata"
    with pytest.raises(ConfigurationError, match="only 1 of the first 3 records are of 'suricata'"):
        registry.detect([SURICATA, {"odd": 1}, {"odd": 2}])


def test_an_unknown_format_names_its_columns_and_the_remedy(registry: Registry) -> None:
    with pytest.raises(ConfigurationError) as found:
        registry.detect(read_bytes(b"when,what\x1b[2J\n1,2\n").peek(10))
    message = str(found.value)
    assert 'The columns or keys are "when", "what\\u{001B}[2J"' in message
    assert "--connector NAME" in message
    assert "mapping file" in message


def test_an_ambiguous_format_names_the_connectors() -> None:
    class Twin(Acme):
        name = "twin"

    with pytest.raises(ConfigurationError, match="several connectors recognise the records: acme, twin"):
        Registry([Acme(), Twin()]).detect([{"acme": "1.0", "rule": {}}])


def test_records_of_two_formats_in_one_input_are_ambiguous(registry: Registry) -> None:
    sigma: Record = {"sigma": {"title": "x"}, "event": {}, "timestamp": "x"}
    with pytest.raises(ConfigurationError, match="several connectors recognise the records: sigma, suricata"):
        registry.detect([SURICATA, sigma])


def test_a_header_alone_is_enough_and_nothing_is_not(registry: Registry) -> None:
    framed = read_bytes(b"time,name,ip,host,short,time_label,event_label\n")
    assert registry.detect(framed.peek(10), columns=framed.columns).name == "ait-ads"
    with pytest.raises(ConfigurationError, match="no readable record"):
        registry.detect([])


def test_a_hint_decides(registry: Registry) -> None:
    assert registry.detect([SURICATA], hint="wazuh").name == "wazuh"
    with pytest.raises(ConfigurationError, match="no connector 'x'"):
        registry.detect([SURICATA], hint="x")
