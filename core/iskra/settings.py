"""The server's settings: read once at the edge, from the environment, then from a file."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from iskra_sdk.approval import TimeoutAction, Verdict
from iskra_sdk.errors import ConfigurationError
from iskra_sdk.tool import Risk

Seconds = Annotated[float, Field(gt=0, le=86_400 * 30)]
Directory = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]

_ENVIRONMENT_PREFIX = "ISKRA_"
_NESTING = "__"
_SHORTCUT_PLUGIN = "openai_compatible"  # what `model_url` is short for a setting of


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class AliasSettings(_Section):
    """A router alias: targets in order of preference."""

    targets: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+/.+$")], ...] = Field(min_length=1)
    """``provider/model``; the next one is tried when one fails."""
    pass_through: bool = False
    """Whether ``<alias>/<model>`` reaches any model of the first target's provider."""


class LLMSettings(_Section):
    """The LLM router."""

    aliases: Mapping[str, AliasSettings] = Field(default_factory=dict)
    """Alias → targets; ``default`` is what agents use."""
    connect_timeout: Seconds = 5.0
    first_token_timeout: Seconds = 20.0
    gap_timeout: Seconds = 15.0
    """Longest silence between two tokens."""
    total_timeout: Seconds = 300.0
    retries: Annotated[int, Field(ge=0, le=5)] = 2
    """Repetitions per target after the first attempt, for transient errors before the first token."""
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    """Consecutive failures that open a target's circuit."""
    breaker_rest: Seconds = 60.0
    """Seconds an open circuit waits before one probe."""
    breaker_successes: Annotated[int, Field(ge=1)] = 3
    """Successful probes that close it."""


class RuleSettings(_Section):
    """An approval rule of the admin; see ``iskra_sdk.ApprovalRule`` for the meaning of each field."""

    name: str
    verdict: Verdict
    tools: tuple[str, ...] = ()
    risks: tuple[Risk, ...] = ()
    agents: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    arguments: Mapping[str, str] = Field(default_factory=dict)
    timeout: Seconds | None = None
    on_timeout: TimeoutAction | None = None
    reason: str = ""
    even_untrusted: bool = False


class ApprovalSettings(_Section):
    """Approvals."""

    timeout: Seconds = 3600.0
    """How long a request stays open."""
    on_timeout: TimeoutAction = TimeoutAction.REJECT
    rules: tuple[RuleSettings, ...] = ()
    """Rules of the admin, first match wins; they come before those of plugins and the defaults."""


class LimitSettings(_Section):
    """Bounds that protect the server."""

    message_bytes: Annotated[int, Field(ge=1)] = 1_048_576
    """Largest message."""
    body_bytes: Annotated[int, Field(ge=1024)] = 16_777_216
    """Largest request body; a chat client sends its whole history each time."""
    queued_turns: Annotated[int, Field(ge=0)] = 16
    """Messages that may wait in one session while a turn runs."""
    parallel_tools: Annotated[int, Field(ge=1)] = 8
    """Tool calls of one turn that may run at the same time."""
    tool_calls_per_answer: Annotated[int, Field(ge=1)] = 64
    """Tool calls of one model answer that are run; the model is told about the others."""
    context_tokens: Annotated[int, Field(ge=256)] = 32_000
    """Budget of a model call's messages."""
    requests_per_minute: Annotated[int, Field(ge=0)] = 0
    """Requests one principal may send a minute; 0 for no limit."""
    tokens_per_day: Annotated[int, Field(ge=0)] = 0
    """Model tokens one principal may use a day (UTC); 0 for no limit."""
    agent_tokens_per_day: Mapping[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Agent → model tokens it may use a day for one principal."""


class PluginSettings(_Section):
    """Plugins."""

    disabled: tuple[str, ...] = ()
    """Plugins that are never loaded, whatever is stored."""
    settings: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """Plugin name → its settings; what is changed at run time comes on top."""
    drain_deadline: Seconds = 60.0
    """Longest time an old generation is kept for turns that still run on it."""
    start_timeout: Seconds = 10.0
    """Longest time a plugin may take to import and start."""


class UserSettings(_Section):
    """A user besides the owner of the server's token."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    token_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 (hex) of the user's token; the token itself is never stored."""
    permissions: tuple[str, ...] = ("chat", "sessions:*", "approvals:*", "agents:read", "tools:read")
    claims: tuple[str, ...] = ()
    """What is known of how the token was handed out, e.g. ``mfa``: plugins may ask for it before something grave."""


class Settings(_Section):
    """Everything that can be set. See ``docs/reference/settings.md``."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8700
    """0 takes a free one."""
    data_dir: Directory = Path("~/.iskra")
    """Database, token, plugins' data."""
    plugin_dir: Directory | None = None
    """Watched plugin folder; ``<data_dir>/plugins`` by default."""
    workspace: Directory = Path()
    """What the workspace tools may see; the current folder by default."""
    safe_mode: bool = False
    """Start the kernel without any plugin."""
    token: SecretStr | None = None
    """The owner's token; made at the first start and kept in ``<data_dir>/token`` by default."""
    database_url: SecretStr | None = None
    """``postgresql://…``; SQLite in the data directory by default."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    allowed_hosts: tuple[str, ...] = ()
    """Host names the server answers to besides loopback and the bound address; ``*`` for any."""
    cors_origins: tuple[str, ...] = ()
    """Web origins whose pages may call the API with a token."""
    allowed_private_hosts: tuple[str, ...] = ()
    """Hosts on private addresses that plugins' HTTP client may reach."""
    shutdown_grace: Seconds = 10.0
    """Longest time streams and turns get to end when the server stops."""
    context_strategy: str = "compact"
    model_url: str | None = None
    """Shortcut: an OpenAI-compatible server to use as the default model, e.g. ``http://127.0.0.1:11434/v1``."""
    model: str | None = None
    """Its model; without it the first one it lists."""
    model_key: SecretStr | None = None
    """Its key."""
    llm: LLMSettings = LLMSettings()
    approvals: ApprovalSettings = ApprovalSettings()
    limits: LimitSettings = LimitSettings()
    plugins: PluginSettings = PluginSettings()
    users: tuple[UserSettings, ...] = ()

    @property
    def plugin_folder(self) -> Path:
        """The watched plugin folder."""
        return self.plugin_dir or self.data_dir / "plugins"

    @property
    def aliases(self) -> Mapping[str, AliasSettings]:
        """The aliases, with ``default`` filled in: the shortcut's model if one is set, the offline provider if not."""
        if "default" in self.llm.aliases:
            return self.llm.aliases
        if self.model_url:
            default = AliasSettings(targets=(f"openai/{self.model or '*'}",), pass_through=True)
        else:
            default = AliasSettings(targets=("offline/offline",))
        return {"default": default, **self.llm.aliases}

    def plugin_settings(self, plugin: str) -> Mapping[str, Any]:
        """Return a plugin's settings from file and environment, with the shortcut's endpoint filled in."""
        given = self.plugins.settings.get(plugin, {})
        if plugin != _SHORTCUT_PLUGIN or not self.model_url:
            return given
        endpoint = {"base_url": self.model_url, "api_key": self.model_key.get_secret_value() if self.model_key else ""}
        return {**given, "endpoints": {"openai": endpoint, **given.get("endpoints", {})}}


def load_settings(
    *,
    overrides: Mapping[str, object] | None = None,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings: overrides (the command line) before the environment before the file before defaults.

    Args:
        overrides: Top-level settings by name; ``None`` values are ignored.
        file: A TOML file; ``<data_dir>/iskra.toml`` if it exists by default.
        environment: ``ISKRA_NAME=value``, nested as ``ISKRA_LLM__RETRIES=3``; lists and tables in TOML's notation.

    Raises:
        ConfigurationError: A value is not allowed or a key unknown; the message names the key.
    """
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    from_environment = _read_environment(os.environ if environment is None else environment)
    if file is None:
        data_dir = (
            given.get("data_dir") or from_environment.get("data_dir") or Settings.model_fields["data_dir"].default
        )
        file = Path(str(data_dir)).expanduser() / "iskra.toml"
        document = _read_file(file) if file.is_file() else {}
    else:
        document = _read_file(file)
    try:
        return Settings.model_validate(_merge(_merge(document, from_environment), given))
    except ValidationError as exc:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
            for error in exc.errors(include_url=False, include_input=False)
        )
        raise ConfigurationError(
            f"The settings are not valid: {problems}.",
            mend=f"Mend them in {file} or in the environment (`ISKRA_…`); docs/reference/settings.md lists all.",
        ) from exc


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigurationError(f"The settings file {file} cannot be read: {exc.strerror}.") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"The settings file {file} is no valid TOML: {exc}.") from exc


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(_ENVIRONMENT_PREFIX):
            continue
        path = variable.removeprefix(_ENVIRONMENT_PREFIX).lower().split(_NESTING)
        if path[0] not in Settings.model_fields:
            continue
        section = document
        for part in path[:-1]:
            section = section.setdefault(part, {})
        section[path[-1]] = _decode(text)
    return document


def _decode(text: str) -> object:
    """Read a value as a TOML value if it looks like a list or table, as text otherwise."""
    if text[:1] not in "[{":
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in top.items():
        below = merged.get(name)
        merged[name] = _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
