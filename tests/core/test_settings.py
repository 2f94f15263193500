"""Settings: where they come from and how mistakes are told."""

from pathlib import Path

import pytest

from iskra.settings import load_settings
from iskra_sdk.errors import ConfigurationError


def test_command_line_beats_environment_beats_file(tmp_path: Path) -> None:
    file = tmp_path / "iskra.toml"
    file.write_text('port = 1\nhost = "a"\nlog_level = "debug"\n[llm]\nretries = 1\n')
    environment = {"ISKRA_PORT": "2", "ISKRA_HOST": "b", "ISKRA_LLM__RETRIES": "3"}
    settings = load_settings(overrides={"port": 3, "host": None}, file=file, environment=environment)
    assert (settings.port, settings.host, settings.log_level, settings.llm.retries) == (3, "b", "debug", 3)


def test_file_in_the_data_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / "iskra.toml").write_text("port = 4321\n")
    assert load_settings(environment={"ISKRA_DATA_DIR": str(tmp_path)}).port == 4321


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("port = 99999", "port"),
        ("colour = 1", "colour"),
        ("[llm.aliases.default]\ntargets = []", "llm.aliases.default.targets"),
        ('[llm.aliases.default]\ntargets = ["nonsense"]', "llm.aliases.default.targets"),
        ('[[approvals.rules]]\nname = "x"\nverdict = "maybe"', "approvals.rules.0.verdict"),
        ("port = ", "TOML"),
        ('[[users]]\nname = "a b"\ntoken_sha256 = "00"', "users.0.name"),
    ],
)
def test_mistake_names_its_key(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "iskra.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=named.replace(".", r"\.")):
        load_settings(file=file, environment={})


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(file=tmp_path / "none.toml", environment={})


def test_secrets_do_not_show() -> None:
    settings = load_settings(environment={"ISKRA_TOKEN": "hush-hush", "ISKRA_MODEL_KEY": "sk-quiet"})
    assert "hush-hush" not in repr(settings)
    assert "sk-quiet" not in repr(settings)


def test_shortcut_makes_the_default_alias_and_its_endpoint() -> None:
    environment = {"ISKRA_MODEL_URL": "http://127.0.0.1:1/v1", "ISKRA_MODEL": "tiny", "ISKRA_MODEL_KEY": "k"}
    settings = load_settings(environment=environment)
    assert settings.aliases["default"].targets == ("openai/tiny",)
    endpoint = {"base_url": "http://127.0.0.1:1/v1", "api_key": "k"}
    assert settings.plugin_settings("openai_compatible") == {"endpoints": {"openai": endpoint}}


def test_without_a_model_the_offline_provider_answers() -> None:
    assert load_settings(environment={}).aliases["default"].targets == ("offline/offline",)


def test_lists_and_tables_can_stand_in_the_environment() -> None:
    environment = {"ISKRA_ALLOWED_HOSTS": '["a", "b"]', "ISKRA_LLM__ALIASES": '{fast = {targets = ["x/y"]}}'}
    settings = load_settings(environment=environment)
    assert settings.allowed_hosts == ("a", "b")
    assert settings.llm.aliases["fast"].targets == ("x/y",)


def test_default_data_directory_is_in_the_home_directory() -> None:
    assert load_settings(environment={}).data_dir == Path.home() / ".iskra"
    assert load_settings(environment={}).workspace == Path.cwd()
