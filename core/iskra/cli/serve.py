"""``iskra serve``."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; loopback by default.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 8700 by default, 0 for a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Database, token, plugins' data; ~/.iskra by default.")] = None,
    plugin_dir: Annotated[
        Path | None, typer.Option(help="Watched plugin folder; <data dir>/plugins by default.")
    ] = None,
    workspace: Annotated[
        Path | None, typer.Option(help="What the workspace tools may see; this folder by default.")
    ] = None,
    safe_mode: Annotated[bool, typer.Option("--safe-mode", help="Start the kernel without any plugin.")] = False,
    model_url: Annotated[str | None, typer.Option(help="OpenAI-compatible server to use as the default model.")] = None,
    model: Annotated[str | None, typer.Option(help="Its model; the first one it lists by default.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file; <data dir>/iskra.toml by default.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings and errors only.")] = False,
) -> None:
    """Start the server."""
    from iskra.garbage import collect_seldom

    collect_seldom()

    from iskra.server import run
    from iskra.settings import load_settings

    settings = load_settings(
        overrides={
            "host": host,
            "port": port,
            "data_dir": data_dir,
            "plugin_dir": plugin_dir,
            "workspace": workspace,
            "safe_mode": safe_mode or None,
            "model_url": model_url,
            "model": model,
            "log_level": "warning" if quiet else None,
        },
        file=config,
    )
    raise typer.Exit(run(settings))
