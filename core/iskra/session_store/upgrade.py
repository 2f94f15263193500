"""Brings a database's tables up to date with Alembic.

Importing Alembic and SQLAlchemy takes longer than everything else a start does with the database. So a database that is
up to date is recognised without them, and an empty SQLite database gets at once what the migrations would make of it;
:mod:`iskra.session_store.statements` has run them and written down the outcome.
"""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from iskra_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD = "iskra_0001"
"""Revision of the kernel's tables; the newest file in ``migrations/versions``."""

BRANCH = "iskra"
"""Label of the kernel's migrations; a plugin brings a branch of its own."""

VERSION_QUERY = "SELECT version_num FROM alembic_version"


def upgrade_sqlite(file: Path) -> bool:
    """Bring a SQLite database up to date, in one transaction; return whether there was anything to do.

    Raises:
        ConfigurationError: A newer version of the server wrote the database.
        sqlite3.Error: It cannot be read or written.
    """
    from iskra.session_store.sqlite_store import connect

    connection = connect(file)
    try:
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _create_sqlite(connection)
        else:
            with contextlib.suppress(sqlite3.OperationalError):  # no such table
                if (HEAD,) in connection.execute(VERSION_QUERY).fetchall():
                    return False
            migrate_sqlite(connection)
    finally:
        connection.close()
    return True


def tables_file() -> Path:
    """Return the file with the statements that make the tables of an empty SQLite database."""
    return Path(__file__).parent / "sql" / "sqlite_tables.json"


def _create_sqlite(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in json.loads(tables_file().read_text(encoding="utf-8")):
            connection.execute(statement)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def migrate_sqlite(connection: sqlite3.Connection) -> None:
    """Run the migrations that are missing, in one transaction, and close the connection.

    Raises:
        ConfigurationError: A newer version of the server wrote the database.
        sqlite3.Error: It cannot be read or written.
    """
    from sqlalchemy import Connection, StaticPool, create_engine, event
    from sqlalchemy.exc import DBAPIError

    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)

    @event.listens_for(engine, "begin")
    def begin(bound: Connection) -> None:
        # The driver would begin only at the first change of rows, and leave the creation of tables outside.
        bound.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as bound:
            run_migrations(bound)
    except DBAPIError as exc:
        if isinstance(exc.orig, sqlite3.Error):
            raise exc.orig from exc
        raise
    finally:
        engine.dispose()


def run_migrations(connection: "Connection") -> None:
    """Run the migrations that are missing, within the connection's transaction.

    Raises:
        ConfigurationError: A newer version of the server wrote the database.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, f"{BRANCH}@head")
    except CommandError as exc:
        raise ConfigurationError(
            f"The tables of the database cannot be brought up to date: {exc}.",
            mend="A newer version of the server may have written this database; install that version.",
        ) from exc
