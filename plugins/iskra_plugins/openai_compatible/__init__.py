"""The plugin ``openai_compatible``: one provider per configured server."""

from collections.abc import Iterable

from pydantic import BaseModel

from iskra_plugins.openai_compatible.settings import EndpointSettings, OpenAICompatibleSettings
from iskra_sdk import LLMProvider, PluginContext, hookimpl

__all__ = ["EndpointSettings", "OpenAICompatibleSettings", "register_llm_providers", "settings_schema"]


@hookimpl
def settings_schema() -> type[BaseModel]:
    return OpenAICompatibleSettings


@hookimpl
def register_llm_providers(context: PluginContext) -> Iterable[LLMProvider]:
    settings = OpenAICompatibleSettings.model_validate(context.settings, from_attributes=True)
    if not settings.endpoints:
        return []
    # The HTTP client takes long to import; a server without endpoints starts without it.
    from iskra_plugins.openai_compatible.provider import OpenAICompatibleProvider

    providers = []
    for name, endpoint in settings.endpoints.items():
        provider = OpenAICompatibleProvider(name, endpoint, now=context.clock.now)
        context.on_close(provider.aclose)
        providers.append(provider)
    return providers
