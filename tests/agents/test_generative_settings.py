"""The file of models: what it takes, and how it says what is wrong without repeating a key."""

from __future__ import annotations

import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from watchfloor_agents.generative.extra import missing
from watchfloor_agents.generative.settings import ModelChoice, ModelSettings, OutputMode, Price, load_model_settings
from watchfloor_core.errors import ConfigurationError

WHOLE = """\
models:
  - name: anthropic:claude-sonnet
    api_key: vault:secret/soc/models#anthropic
    price: {input: 3, output: 15, cached_input: 0.3}
  - name: qwen3-coder
    base_url: http://127.0.0.1:8080/v1
    price: {input: 0, output: 0}
    output: json_schema
usd_per_incident: 0.5
tokens_per_incident: 100000
"""


def test_a_whole_file_gives_the_chain_in_its_order() -> None:
    settings = load_model_settings(WHOLE, "models.yaml")
    assert [(one.provider, one.model) for one in settings.models] == [
        ("anthropic", "claude-sonnet"),
        ("openai_compatible", "qwen3-coder"),
    ]
    assert settings.models[1].output is OutputMode.JSON_SCHEMA
    assert settings.micro_usd_per_incident == 500_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("    price: {input: 0, output: 0}\n", ""), "Field required (at models[1].price)"),
        (("anthropic:claude-sonnet", "claude-sonnet"), "expected one of openai, anthropic, google"),
        (("    api_key: vault:secret/soc/models#anthropic\n", ""), "anthropic wants one; give a reference"),
        (("http://127.0.0.1:8080", "http://gpu.example.org"), "clear text"),
        (("http://127.0.0.1:8080/v1", "https://user:pw@gpu.example.org/v1"), "without user"),
        (("usd_per_incident: 0.5", "usd_per_incident: -1"), "greater than or equal to 0"),
        (("usd_per_incident: 0.5", "usd_per_incidents: 1"), "Extra inputs are not permitted"),
        (("qwen3-coder", "qwen 3"), "match pattern"),
        (("json_schema", "xml"), "'tool', 'json_schema' or 'prompt'"),
    ],
)
def test_a_mistake_is_named_with_its_place(change: tuple[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_model_settings(WHOLE.replace(*change), "models.yaml")
    assert message in str(caught.value)
    assert "models.yaml:" in str(caught.value)


def test_a_key_where_its_reference_belongs_is_not_repeated() -> None:
    text = WHOLE.replace("vault:secret/soc/models#anthropic", "sk-ant-very-secret")
    with pytest.raises(ConfigurationError, match="is no reference to a secret") as caught:
        load_model_settings(text, "models.yaml")
    seen: BaseException | None = caught.value
    while seen is not None:
        assert "very-secret" not in str(seen)
        seen = None if seen.__suppress_context__ else seen.__cause__ or seen.__context__


def test_a_model_that_stands_there_twice_is_a_mistake() -> None:
    entry = WHOLE.split("models:\n")[1].split("  - name: qwen")[0]
    with pytest.raises(ConfigurationError, match="twice"):
        load_model_settings(WHOLE.replace("models:\n", f"models:\n{entry}"), "models.yaml")


def test_cached_input_has_its_own_price_and_a_fraction_counts_as_a_whole() -> None:
    price = Price(input=Decimal(3), output=Decimal(15), cached_input=Decimal("0.3"))
    assert price.micro_usd(1_000, 100, 600) == 400 * 3 + 180 + 1_500
    assert price.micro_usd(1, 0, 1) == 1
    assert price.micro_usd(10, 0, 99) == 3


def test_writing_to_the_cache_has_its_own_price_and_the_dearest_way_is_what_a_request_can_cost() -> None:
    price = Price(input=Decimal(3), output=Decimal(15), cached_input=Decimal("0.3"), cache_write=Decimal("3.75"))
    assert price.micro_usd(1_000, 0, 400, 400) == 200 * 3 + 120 + 1_500
    assert price.most_micro_usd(1_000, 100) == 3_750 + 1_500
    assert price.micro_usd(10, 0, 8, 99) == 10  # 2.4 and 7.5, rounded up together


def test_without_the_extra_the_settings_load_and_the_engine_says_what_to_install() -> None:
    program = """
import sys
sys.modules["pydantic_ai"] = None
from watchfloor_agents.generative import reconcile, result, settings
from watchfloor_agents.generative.extra import load_research
try:
    load_research()
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ConfigurationError")
    assert "pip install 'watchfloor[generative]'" in done.stdout


@pytest.mark.parametrize(
    ("package", "extra"), [("openai", "generative"), ("anthropic", "anthropic"), ("google.genai", "google")]
)
def test_a_providers_missing_package_is_named_with_its_extra(package: str, extra: str) -> None:
    error = ImportError("Please install")
    error.__cause__ = ModuleNotFoundError("No module", name=package)
    assert f"watchfloor[{extra}]" in str(missing(error))


def test_another_missing_module_is_no_missing_extra() -> None:
    with pytest.raises(ModuleNotFoundError, match="elsewhere"):
        missing(ModuleNotFoundError("No module named elsewhere", name="elsewhere"))


def test_the_default_path_imports_neither_the_engine_nor_its_library() -> None:
    program = """
import sys
import watchfloor_service.cli, watchfloor_workflows.worker
foreign = ("pydantic_ai", "openai", "anthropic", "watchfloor_agents.generative.engine")
print([name for name in sys.modules if name.startswith(foreign)])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_document_has_a_file_that_loads_and_names_every_setting_with_its_default() -> None:
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "use-a-model.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    settings = load_model_settings(block, "models.yaml")
    assert [one.provider for one in settings.models] == ["anthropic", "openai", "openai_compatible"]
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| .* \| ([^|]+) \|$", text, re.MULTILINE)
    told = {
        name: default
        for names, defaults in rows
        for name, default in zip(re.findall(r"`([a-z_]+)`", names), defaults.split(", "), strict=True)
    }
    fields = ModelSettings.model_fields
    assert set(told) == set(fields) - {"models"}
    for name, value in told.items():
        assert (
            getattr(ModelSettings.model_validate({"models": settings.models, name: value}), name)
            == fields[name].default
        )
    assert set(re.findall(r"^\| `([a-z_]+)` \| [^|]+ \|$", text, re.MULTILINE)) == set(ModelChoice.model_fields)


def test_the_document_counts_the_tools_and_refusals_rightly() -> None:
    pytest.importorskip("pydantic_ai", reason="the extra 'generative' is not installed")
    from watchfloor_agents.generative.admission import MAX_REFUSALS
    from watchfloor_agents.generative.rendering import MAX_VALUE
    from watchfloor_agents.generative.tools import READ_ONLY

    assert (len(READ_ONLY), MAX_REFUSALS, MAX_VALUE) == (11, 6, 400)
