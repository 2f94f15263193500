"""``iskra new``: begins a plugin from a template that works at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from iskra.cli.terminal import DataDirOption, say

app = typer.Typer(help="Begin a plugin from a template.", no_args_is_help=True, rich_markup_mode=None)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and `_`.")]
_Dir = Annotated[
    Path | None,
    typer.Option("--dir", help="Where to put it; the server's plugin folder by default.", show_default=False),
]


@app.command()
def agent(name: _Name, folder: _Dir = None, data_dir: DataDirOption = None) -> None:
    """Begin an agent: one file of less than 20 lines."""
    _write(name, "agent.py", f"{name}.py", folder, data_dir)
    say(f"Talk to it: iskra chat --model agent:{name}")


@app.command()
def tool(name: _Name, folder: _Dir = None, data_dir: DataDirOption = None) -> None:
    """Begin a tool that agents can call."""
    _write(name, "tool.py", f"{name}.py", folder, data_dir)
    say(f'Let an agent use it: put "{name}" into the agent\'s `tools`.')


@app.command()
def voice(name: _Name, folder: _Dir = None, data_dir: DataDirOption = None) -> None:
    """Begin a voice: a manner of speaking."""
    _write(name, "voice.py", f"{name}.py", folder, data_dir)
    say(f"Hear it: iskra chat --model voice:{name}")


@app.command()
def plugin(name: _Name, folder: _Dir = None, data_dir: DataDirOption = None) -> None:
    """Begin a plugin package: manifest, settings, an agent, a tool, a README and a test."""
    _write(
        name,
        "plugin",
        name,
        folder,
        data_dir,
        {
            "iskra-plugin.toml": "plugin_manifest.toml",
            "__init__.py": "plugin.py",
            "README.md": "plugin_readme.md",
            f"test_{name}.py": "plugin_test.py",
        },
    )
    say(f"Talk to its agent: iskra chat --model agent:{name}")


def _write(
    name: str,
    template: str,
    target: str,
    folder: Path | None,
    data_dir: Path | None,
    files: Mapping[str, str] | None = None,
) -> None:
    from iskra.plugin_host.discovery import check_name
    from iskra.settings import load_settings
    from iskra_sdk.errors import ConfigurationError, PluginConflictError

    check_name(name)
    place = folder if folder is not None else load_settings(overrides={"data_dir": data_dir}).plugin_folder
    path = place.expanduser() / target
    for taken in (place / f"{name}.py", place / name):
        if taken.exists() or taken.is_symlink():
            raise PluginConflictError(
                name,
                f"{taken} exists already, and nothing is overwritten.",
                mend="Choose another name or another --dir.",
            )
    try:
        if files is None:
            place.mkdir(parents=True, exist_ok=True)
            _create(path, _filled(template, name))
        else:
            # Made complete beside its place first: a watching server must not load half a plugin.
            draft = place / f".{name}.new"
            draft.mkdir(parents=True)
            for file, source in files.items():
                _create(draft / file, _filled(source, name))
            draft.rename(path)
    except OSError as exc:
        raise ConfigurationError(
            f"{path} cannot be written: {exc.strerror}.", mend="Name a directory that you may write to with --dir."
        ) from exc
    say(f"Wrote {path}.")
    say(f"Check it: iskra check {path}")


def _create(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)


def _filled(template: str, name: str) -> str:
    text = (Path(__file__).parent / "templates" / f"{template}.txt").read_text(encoding="utf-8")
    return text.replace("{{name}}", name).replace("{{Class}}", "".join(part.capitalize() for part in name.split("_")))
