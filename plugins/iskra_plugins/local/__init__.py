"""The plugin ``local``: GGUF models on this machine."""

import importlib.util
import os
from collections.abc import Iterable

from pydantic import BaseModel

from iskra_plugins.local.local_provider import LocalProvider
from iskra_plugins.local.model_process import ModelProcess
from iskra_plugins.local.settings import LocalModel, LocalSettings
from iskra_sdk import LLMProvider, PluginContext, hookimpl

__all__ = ["LocalModel", "LocalSettings", "register_llm_providers", "settings_schema"]


@hookimpl
def settings_schema() -> type[BaseModel]:
    return LocalSettings


@hookimpl
def register_llm_providers(context: PluginContext) -> Iterable[LLMProvider]:
    settings = LocalSettings.model_validate(context.settings.model_dump())
    if not settings.models:
        return ()
    if importlib.util.find_spec("llama_cpp") is None:
        context.logger.error("local models need llama-cpp-python: pip install 'iskra[local]'")
        return ()
    processes = [
        ModelProcess(name, model, settings, clock=context.clock, logger=context.logger, environment=dict(os.environ))
        for name, model in settings.models.items()
    ]
    provider = LocalProvider(processes)
    context.on_close(provider.aclose)
    if settings.idle_seconds:
        for process in processes:
            context.tasks.start(process.unload_when_idle, name=f"idle-{process.name}")
    return (provider,)
