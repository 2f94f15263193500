"""Asks the providers of models whether they work, for ``iskra doctor``."""

import asyncio

from iskra.kernel import Kernel
from iskra.plugin_host.catalog import Owned
from iskra_sdk.errors import LLMError
from iskra_sdk.llm import LLMProvider

_DEADLINE = 5.0  # seconds one provider may take


async def check_providers(kernel: Kernel) -> list[dict[str, object]]:
    """Return how each provider is, all asked side by side."""
    with kernel.plugins.lease() as lease:
        providers = sorted(lease.catalog.providers.items())
        async with asyncio.TaskGroup() as group:
            checks = [group.create_task(_check(kernel, name, owned)) for name, owned in providers]
    return [check.result() for check in checks]


async def _check(kernel: Kernel, name: str, owned: Owned[LLMProvider]) -> dict[str, object]:
    is_fine, mend = False, ""
    try:
        async with asyncio.timeout(_DEADLINE):
            text = await owned.value.check()
        is_fine = True
    except TimeoutError:
        text = f"It gave no answer within {_DEADLINE:g} s."
    except LLMError as error:
        text, mend = error.message, error.mend
    except Exception as error:  # plugin code
        kernel.plugins.record_failure(owned.plugin, error)
        text = f"Its check failed: {type(error).__name__}."
    return {"name": name, "plugin": owned.plugin, "ok": is_fine, "text": text, "mend": mend}
