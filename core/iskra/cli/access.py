"""``iskra token`` and ``iskra login``."""

import typer

from iskra.cli.terminal import DataDirOption, UrlOption, connect, say

app = typer.Typer(help="The token that proves who calls the server.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _token() -> None:
    """Keep `show` a command of its own, so that `iskra token` alone prints no secret."""


@app.command()
def show(data_dir: DataDirOption = None) -> None:
    """Print the owner's token."""
    from iskra.settings import load_settings
    from iskra_sdk.errors import ConfigurationError

    settings = load_settings(overrides={"data_dir": data_dir})
    if settings.token is not None:
        say(settings.token.get_secret_value())
        return
    path = settings.data_dir / "token"
    try:
        say(path.read_text(encoding="utf-8").strip())
    except OSError as exc:
        raise ConfigurationError(
            f"There is no token to be read in {path}: {exc.strerror}.",
            mend="The first `iskra serve` makes it. If the server has another data directory, name it with --data-dir.",
        ) from exc


def login(url: UrlOption = None, data_dir: DataDirOption = None) -> None:
    """Print an address that logs a browser in to the console, once."""
    with connect(url, data_dir) as client:
        say(str(client.login_link()["url"]))
