"""The commands of the ``iskra`` program, put together.

Everything heavy is imported inside the commands, so that ``iskra --help`` answers at once.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from iskra import __version__
from iskra.cli import access, approvals, chat, check, database, doctor, insight, inventory, new, plugins, serve

_EPILOG = "Plugins add commands of their own; `iskra plugins commands` lists them."


class _Program(TyperGroup):
    """The program's commands, and behind them those of plugins."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None or cmd_name.startswith("-"):
            return command
        from iskra.cli.plugin_commands import find_command

        found = find_command(cmd_name)
        if found is None:
            return None

        def run(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
            raise typer.Exit(found.run(arguments or []))

        wrapper = typer.Typer(add_completion=False, rich_markup_mode=None)
        # Everything after the name is the plugin's business, options included.
        wrapper.command(
            cmd_name,
            help=found.help,
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
            cls=TyperCommand,
        )(run)
        return typer.main.get_command(wrapper)


app = typer.Typer(
    name="iskra",
    cls=_Program,
    help="An agent server whose every part is a plugin.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command("version")
def _version() -> None:
    """Print the version."""
    typer.echo(__version__)


app.command("serve")(serve.serve)
app.command("chat")(chat.chat)
app.add_typer(new.app, name="new")
app.command("check")(check.check)
app.add_typer(plugins.app, name="plugins")
app.add_typer(approvals.app, name="approvals")
app.command("models")(inventory.models)
app.command("context")(insight.context)
app.command("trace")(insight.trace)
app.command("replay")(insight.replay)
app.command("record")(insight.record)
app.command("doctor")(doctor.doctor)
app.add_typer(database.app, name="db")
app.add_typer(access.app, name="token")
app.command("login")(access.login)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status: 0 for done, 1 for failed, 2 for wrong usage."""
    _speak_utf8()
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="iskra")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not trip over it again at its end.
        sys.stdout = None
        return 1
    except Exception as error:
        from iskra_sdk.errors import IskraError

        if not isinstance(error, IskraError):
            raise
        from iskra.cli.terminal import show_error

        show_error(error)
        return 1
    return 0


def _speak_utf8() -> None:
    """Write UTF-8 whatever the locale says, and never fail over a character."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")
