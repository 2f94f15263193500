"""``iskra plugins``: through the running server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iskra.cli.terminal import DataDirOption, JsonOption, UrlOption, connect, say, show_json, show_table, tell

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(help="Plugins of the running server.", no_args_is_help=True, rich_markup_mode=None)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The plugin.", show_default=False)]


@app.command("list")
def list_plugins(url: UrlOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """List plugins and how they stand."""
    with connect(url, data_dir) as client:
        found = client.plugins.list()
    if as_json:
        show_json([plugin.model_dump(mode="json") for plugin in found])
        return
    show_table(
        ("plugin", "version", "state", "gen", "source", "description"),
        (
            (
                plugin.name,
                plugin.version,
                plugin.state,
                str(plugin.generation or ""),
                plugin.source,
                plugin.error["message"] if plugin.error else plugin.description,
            )
            for plugin in found
        ),
    )


@app.command()
def show(name: _Name, url: UrlOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Show one plugin: what it offers, what it may, what is wrong with it."""
    with connect(url, data_dir) as client:
        plugin = client.plugins.get(name)
    document = plugin.model_dump(mode="json")
    if as_json:
        show_json(document)
        return
    error = document.pop("error", None)
    document["receipts"] = [
        f"{receipt.get('action')} of generation {receipt.get('new_generation') or '-'}: {receipt.get('verdict')}"
        for receipt in document.get("receipts") or ()
    ]
    _show_fields({key: value for key, value in document.items() if value not in (None, "", [], {})})
    if error:
        say(f"error: {error['message']}")
        if error.get("mend"):
            say(f"mend:  {error['mend']}")


@app.command()
def enable(name: _Name, url: UrlOption = None, data_dir: DataDirOption = None) -> None:
    """Switch a plugin on, for good; also lifts a quarantine."""
    with connect(url, data_dir) as client:
        client.plugins.enable(name)
    say(f"{name} is enabled.")


@app.command()
def disable(name: _Name, url: UrlOption = None, data_dir: DataDirOption = None) -> None:
    """Switch a plugin off, for good; running turns finish on it."""
    with connect(url, data_dir) as client:
        client.plugins.disable(name)
    say(f"{name} is disabled.")


@app.command()
def reload(name: _Name, url: UrlOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Load a plugin's code again and print the receipt; if the new code fails, the old one stays."""
    with connect(url, data_dir) as client:
        receipt = client.plugins.reload(name).model_dump(mode="json")
    if as_json:
        show_json(receipt)
    else:
        show_receipt(receipt)


@app.command()
def receipts(name: _Name, url: UrlOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Show what the latest loads and reloads of a plugin did."""
    with connect(url, data_dir) as client:
        found = [receipt.model_dump(mode="json") for receipt in client.plugins.receipts(name)]
    if as_json:
        show_json(found)
        return
    for receipt in found:
        show_receipt(receipt)
        say()
    if not found:
        say(f"{name} has no receipts yet.")


@app.command()
def install(
    source: Annotated[str, typer.Argument(help="A plugin's file or directory.")],
    url: UrlOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Install a plugin into the server's plugin folder."""
    path = Path(source).expanduser()
    with connect(url, data_dir) as client:
        # The server resolves paths from its own folder, so it gets an absolute one.
        plugin = client.plugins.install(str(path.resolve()) if path.exists() else source)
        names = (plugin.model_extra or {}).get("installed") or [plugin.name]
        found = [client.plugins.get(name) for name in names]
    for one in found:
        say(f"{one.name}: {one.state}.")
        if one.error:
            tell(f"Error: {one.error['message']}")
    if any(one.error for one in found):
        raise typer.Exit(1)


@app.command()
def settings(
    name: _Name,
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change; values are JSON or text.")
    ] = None,
    url: UrlOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show a plugin's settings, or change some of them."""
    given = dict(_setting(change) for change in changes or ())
    with connect(url, data_dir) as client:
        document = client.plugins.configure(name, given) if given else client.plugins.settings(name)
    if given:
        tell(f"{name} runs with the new settings.")
    show_json(document)


@app.command()
def commands() -> None:
    """List the commands that plugins add to this program."""
    from iskra.cli.plugin_commands import find_commands

    found = find_commands()
    if not found:
        say("No plugin adds a command.")
        return
    show_table(
        ("command", "plugin", "what it does"), ((one.command.name, one.plugin, one.command.help) for one in found)
    )


def _setting(change: str) -> tuple[str, object]:
    import json

    key, equals, text = change.partition("=")
    if not equals or not key:
        raise typer.BadParameter(f"{change!r} is not of the form KEY=VALUE.")
    try:
        return key, json.loads(text)
    except ValueError:
        return key, text


def show_receipt(receipt: "Mapping[str, Any]") -> None:
    """Print a receipt for people."""
    old, new = receipt.get("old_generation"), receipt.get("new_generation")
    say(f"{receipt.get('action', 'reload')} of {receipt.get('plugin')}: {receipt.get('verdict')}")
    say(f"  generation  {old or '-'} -> {new or '-'}")
    say(f"  source      {str(receipt.get('old_hash') or '-')[:12]} -> {str(receipt.get('new_hash') or '-')[:12]}")
    seconds = (receipt.get(name) or 0.0 for name in ("load_seconds", "swap_seconds", "drain_seconds"))
    say("  took        load {:.3f} s, swap {:.6f} s, drain {:.3f} s".format(*seconds))
    say(f"  turns       {receipt.get('turns_drained', 0)} drained, {receipt.get('turns_parked', 0)} parked")
    released = ", ".join(f"{count} {kind}" for kind, count in (receipt.get("released") or {}).items())
    say(f"  released    {released or 'nothing'}")
    for kind, names in (receipt.get("leaked") or {}).items():
        say(f"  leaked      {kind}: {', '.join(names)}")


def _show_fields(document: "Mapping[str, Any]") -> None:
    for key, value in document.items():
        if isinstance(value, dict):
            say(f"{key}:")
            for inner, item in value.items():
                say(f"  {inner}: {', '.join(map(str, item)) if isinstance(item, list) else item}")
        else:
            say(f"{key}: {', '.join(map(str, value)) if isinstance(value, list) else value}")


@app.command("log-level")
def log_level(
    name: _Name,
    level: Annotated[str, typer.Argument(help="debug, info, warning, error, or default for the server's own.")],
    url: UrlOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Set how much a plugin logs, until it is loaded again."""
    with connect(url, data_dir) as client:
        client.plugins.set_log_level(name, level)
    say(f"{name} logs at the level {level}.")
