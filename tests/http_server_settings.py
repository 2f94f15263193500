"""Settings of servers for tests of the HTTP layer."""

import hashlib
import importlib.metadata
import shutil
from pathlib import Path

from http_probe import OTHER_TOKEN, READER_TOKEN, TOKEN
from iskra.settings import AliasSettings, LimitSettings, LLMSettings, PluginSettings, Settings, UserSettings

PROBE = Path(__file__).parent / "core" / "http" / "probe_plugin.py"
BUILT_IN = tuple(sorted({point.name for point in importlib.metadata.entry_points(group="iskra.plugins")}))


def make_settings(data_dir: Path, **changes: object) -> Settings:
    """Return settings for a server with the probe plugin and nothing else."""
    plugin_dir = data_dir / "plugins"
    plugin_dir.mkdir(parents=True, exist_ok=True)
    shutil.copy(PROBE, plugin_dir / "probe.py")
    given: dict[str, object] = {
        "host": "127.0.0.1",
        "port": 0,
        "data_dir": data_dir,
        "workspace": data_dir,
        "token": TOKEN,
        "shutdown_grace": 1.0,
        "limits": LimitSettings(message_bytes=2000, body_bytes=100_000),
        "llm": LLMSettings(
            aliases={"default": AliasSettings(targets=("fake/plain",), pass_through=True)}, retries=0, gap_timeout=60
        ),
        "plugins": PluginSettings(disabled=BUILT_IN, drain_deadline=1.0),
        "users": (
            UserSettings(name="other", token_sha256=hashlib.sha256(OTHER_TOKEN.encode()).hexdigest()),
            UserSettings(
                name="reader",
                token_sha256=hashlib.sha256(READER_TOKEN.encode()).hexdigest(),
                permissions=("sessions:read",),
            ),
        ),
        **changes,
    }
    return Settings.model_validate(given)
