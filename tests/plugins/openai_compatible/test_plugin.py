import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

import iskra_plugins.openai_compatible as plugin
from iskra_sdk.manifest import PluginPermission, parse_manifest
from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.testing.manual_clock import ManualClock

FOLDER = Path(plugin.__file__).parent


def context(**endpoints: object) -> Any:
    released: list[Any] = []
    return SimpleNamespace(
        settings=plugin.OpenAICompatibleSettings.model_validate({"endpoints": endpoints}),
        clock=ManualClock(),
        on_close=released.append,
        released=released,
    )


def test_the_manifest_asks_for_the_network_only() -> None:
    manifest = parse_manifest((FOLDER / "iskra-plugin.toml").read_text(encoding="utf-8"), name="openai_compatible")
    assert manifest.permissions == (PluginPermission.NETWORK,)


async def test_each_endpoint_becomes_a_provider_that_is_closed_with_the_plugin() -> None:
    given = context(openai={"base_url": "http://127.0.0.1:1/v1"}, big={"base_url": "https://example.invalid/v1"})
    providers = list(plugin.register_llm_providers(cast("PluginContext", given)))
    assert [provider.name for provider in providers] == ["openai", "big"]
    assert len(given.released) == 2
    for release in given.released:
        await release()


def test_without_endpoints_the_http_client_is_not_even_imported() -> None:
    assert list(plugin.register_llm_providers(context())) == []
    code = "import sys, iskra_plugins.openai_compatible; sys.exit('aiohttp' in sys.modules or 'openai' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, env={"PYTHONPATH": ":".join(sys.path)}).returncode
        == 0
    )


def test_the_schema_is_the_settings_class() -> None:
    assert plugin.settings_schema() is plugin.OpenAICompatibleSettings


@pytest.mark.parametrize(
    "endpoint",
    [
        {},
        {"base_url": "127.0.0.1:11434"},
        {"base_url": "file:///etc/passwd"},
        {"base_url": "http://"},
        {"base_url": "http://user:pass@host/v1"},
        {"base_url": "http://host/v1", "api_key": "a\nX-Evil: b"},
        {"base_url": "http://host/v1", "headers": {"X\nY": "b"}},
        {"base_url": "http://host/v1", "surprise": 1},
    ],
    ids=str,
)
def test_endpoints_that_cannot_work_are_refused(endpoint: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        context(up=endpoint)


def test_secrets_do_not_show() -> None:
    given = context(up={"base_url": "http://host/v1", "api_key": "sk-secret", "headers": {"api-key": "sk-other"}})
    assert "sk-" not in repr(given.settings)
