"""The plugin ``offline``: the provider that needs no model and no network."""

from collections.abc import Iterable

from pydantic import BaseModel

from iskra_plugins.offline.handbook import Handbook, find_docs
from iskra_plugins.offline.provider import OfflineProvider
from iskra_plugins.offline.settings import OfflineSettings
from iskra_sdk import LLMProvider, PluginContext, hookimpl

__all__ = ["Handbook", "OfflineProvider", "OfflineSettings", "find_docs", "register_llm_providers", "settings_schema"]


@hookimpl
def settings_schema() -> type[BaseModel]:
    return OfflineSettings


@hookimpl
def register_llm_providers(context: PluginContext) -> Iterable[LLMProvider]:
    settings = OfflineSettings.model_validate(context.settings.model_dump())
    return [OfflineProvider(Handbook(find_docs()), context.clock, tokens_per_second=settings.tokens_per_second)]
