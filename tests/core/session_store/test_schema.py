import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

from iskra import session_store
from iskra.session_store import open_store, upgrade
from iskra.session_store.operations import load_statements
from iskra.session_store.schema import metadata
from iskra.session_store.sqlite_store import connect
from iskra.session_store.statements import (
    DATABASES,
    Database,
    compile_statements,
    compile_tables,
    compiled_file,
)
from iskra.session_store.upgrade import BRANCH, HEAD, migrate_sqlite, tables_file, upgrade_sqlite
from iskra_sdk.errors import ConfigurationError, DataDirectoryError
from iskra_sdk.session_store import CreateSession
from iskra_sdk.testing.store_conformance import ANNA, fails, make_session
from postgres_cluster import PostgresCluster

PACKAGE = Path(session_store.__file__).parent
REGENERATE = "run `python -m iskra.session_store.statements`"


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


@pytest.mark.parametrize("database", DATABASES)
def test_the_written_sql_fits_the_tables(database: Database) -> None:
    assert json.loads(compiled_file(database).read_text()) == compile_statements(database), REGENERATE


def test_the_written_tables_are_what_the_migrations_make() -> None:
    assert json.loads(tables_file().read_text()) == compile_tables(), REGENERATE


def test_the_newest_migration_is_the_one_a_start_looks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(PACKAGE / "migrations"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_revision(f"{BRANCH}@head") is scripts.get_revision(HEAD)


def test_migrations_make_the_tables_of_the_schema_on_sqlite(tmp_path: Path) -> None:
    migrate_sqlite(connect(tmp_path / "migrated.db"))
    upgrade_sqlite(tmp_path / "created.db")
    for name in ("migrated", "created"):
        engine = create_engine(f"sqlite:///{tmp_path / name}.db")
        with engine.connect() as connection:
            assert differences(connection) == []
        engine.dispose()


@pytest.mark.xdist_group("postgres")
async def test_migrations_make_the_tables_of_the_schema_on_postgresql(
    tmp_path: Path, postgres: PostgresCluster
) -> None:
    import asyncpg
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    connection = await asyncpg.connect(postgres.url())
    await connection.execute("CREATE DATABASE migrated")
    await connection.close()
    assert await upgrade(data_dir=tmp_path, database_url=postgres.url("migrated"))
    assert not await upgrade(data_dir=tmp_path, database_url=postgres.url("migrated"))
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(postgres.url("migrated")), poolclass=NullPool
    )
    async with engine.connect() as bound:
        assert await bound.run_sync(differences) == []
    await engine.dispose()


async def test_upgrade_says_whether_there_was_anything_to_do(tmp_path: Path) -> None:
    assert await upgrade(data_dir=tmp_path)
    assert not await upgrade(data_dir=tmp_path)
    store = await open_store(data_dir=tmp_path)
    await fails(DataDirectoryError, upgrade(data_dir=tmp_path))
    await store.close()


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    store = await open_store(data_dir=tmp_path)
    session = make_session()
    await store.apply([CreateSession(session)])
    await store.close()
    with closing(sqlite3.connect(tmp_path / "iskra.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'iskra_9999'")
    error = await fails(ConfigurationError, open_store(data_dir=tmp_path))
    assert "newer version" in error.mend
    with closing(sqlite3.connect(tmp_path / "iskra.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (HEAD,))
    store = await open_store(data_dir=tmp_path)
    assert await store.session(ANNA, session.id) == session
    await store.close()


async def test_the_branch_of_a_plugin_does_not_disturb_a_start(tmp_path: Path) -> None:
    await upgrade(data_dir=tmp_path)
    with closing(sqlite3.connect(tmp_path / "iskra.db")) as connection, connection:
        connection.execute("INSERT INTO alembic_version VALUES ('weather_0001')")
    assert not await upgrade(data_dir=tmp_path)
    await (await open_store(data_dir=tmp_path)).close()


async def test_an_unknown_database_is_refused(tmp_path: Path) -> None:
    error = await fails(ConfigurationError, open_store(data_dir=tmp_path, database_url="mysql://user:secret@host/x"))
    assert "mysql" in error.message
    assert "secret" not in str(error)


def test_a_start_imports_neither_alembic_nor_sqlalchemy(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, pathlib\n"
        "from iskra.session_store import open_store\n"
        "async def main():\n"
        "    store = await open_store(data_dir=pathlib.Path(sys.argv[1]))\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
        "print(sorted({'alembic', 'sqlalchemy', 'sqlmodel', 'asyncpg'} & set(sys.modules)))\n"
    )
    for _ in ("a new database", "an old one"):
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"


@pytest.fixture
def populated(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with 10,000 sessions of 100 people, analysed as a long-lived one would be."""
    upgrade_sqlite(tmp_path / "iskra.db")
    connection = connect(tmp_path / "iskra.db")
    insert = load_statements("sqlite")["insert_session"].sql
    rows = [(f"ses_{n:06d}", f"p{n % 100}", n, n, "", "iskra", "{}", "{}", 0) for n in range(10_000)]
    connection.execute("BEGIN")
    connection.executemany(insert, rows)
    connection.execute("COMMIT")
    yield connection
    connection.close()


# Run once, at the start.
MAY_READ_ALL = {"delete_expired_credentials"}


def test_every_statement_finds_its_rows_by_an_index(populated: sqlite3.Connection) -> None:
    for name, statement in load_statements("sqlite").items():
        if " VALUES " in statement.sql or name in MAY_READ_ALL:
            continue
        params = [0] * statement.sql.count("?")
        plan = [str(row[3]) for row in populated.execute(f"EXPLAIN QUERY PLAN {statement.sql}", params)]
        assert plan, name
        # A scan of an index in its order is how the newest of all are found.
        assert not [line for line in plan if re.fullmatch(r"SCAN \w+", line)], (name, plan)
        assert "USE TEMP B-TREE FOR ORDER BY" not in plan, (name, plan)


def test_a_page_of_sessions_reads_no_more_rows_than_it_shows(populated: sqlite3.Connection) -> None:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    statements = load_statements("sqlite")
    populated.set_progress_handler(count, 1)  # once per instruction of SQLite's virtual machine
    page = populated.execute(statements["sessions"].sql, ("p7", 50)).fetchall()
    first = steps
    rows = populated.execute(statements["sessions_before"].sql, ("p7", page[-1][2], page[-1][0], 50)).fetchall()
    populated.set_progress_handler(None, 0)
    assert [row[2] for row in page + rows] == list(range(9907, -1, -100))[:100]
    assert first < 50 * 40
    assert steps - first < 50 * 40
