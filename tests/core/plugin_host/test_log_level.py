import logging
from pathlib import Path

import pytest

from iskra_sdk.errors import PluginNotFoundError
from plugin_workshop import workshop

TALKING = '''
import logging

from iskra_sdk import hookimpl, tool

logger = logging.getLogger(__name__)

@hookimpl
def register_tools(context):
    @tool(risk="read")
    async def talk() -> str:
        """Talk."""
        logger.debug("by the module")
        context.logger.debug("by the context")
        return "done"
    return [talk]
'''


async def test_only_the_plugin_talks_and_only_while_it_should(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    caplog.handler.setLevel(logging.NOTSET)
    async with workshop(tmp_path) as shop:
        await shop.drop("talking", TALKING)
        await shop.call("talk")
        assert "by the" not in caplog.text
        loggers = shop.host.set_log_level("talking", "debug")
        try:
            await shop.call("talk")
            assert "by the context" in caplog.text
            assert "by the module" in caplog.text
        finally:
            shop.host.set_log_level("talking", "default")
        assert [logging.getLogger(name).level for name in loggers] == [logging.NOTSET] * len(loggers)
        with pytest.raises(PluginNotFoundError):
            shop.host.set_log_level("nobody", "debug")
