"""``iskra db``."""

import asyncio

import typer

from iskra.cli.terminal import DataDirOption, say

app = typer.Typer(help="The database of the server.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def upgrade(data_dir: DataDirOption = None) -> None:
    """Bring the database up to date; a starting server does so by itself."""
    from iskra.session_store import upgrade as upgrade_store
    from iskra.settings import load_settings

    settings = load_settings(overrides={"data_dir": data_dir})
    database_url = settings.database_url.get_secret_value() if settings.database_url else None
    has_changed = asyncio.run(upgrade_store(data_dir=settings.data_dir, database_url=database_url))
    say("The database was brought up to date." if has_changed else "The database is up to date.")


@app.command()
def current(data_dir: DataDirOption = None) -> None:
    """Print the schema revision of the database, and the one this version needs."""
    from iskra.cli.schema_revision import read_revisions
    from iskra.settings import load_settings

    revisions = read_revisions(load_settings(overrides={"data_dir": data_dir}))
    say(f"database: {revisions.current or 'none yet'}")
    say(f"needed:   {revisions.head}")
    if not revisions.is_current:
        say("Run `iskra db upgrade`, or start the server.")
        raise typer.Exit(1)
