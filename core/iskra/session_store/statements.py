"""The store's SQL, written against the tables of :mod:`iskra.session_store.schema`.

The server itself does not import this module: importing SQLAlchemy takes longer than opening the database, and the SQL
never changes between two releases. ``python -m iskra.session_store.statements`` writes it to ``sql/<database>.json``,
and what the migrations make of an empty SQLite database beside it; a test compares those files with what this module
makes of the tables.
"""

import contextlib
import itertools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Executable,
    Integer,
    Select,
    Table,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql.compiler import SQLCompiler

from iskra.session_store import schema
from iskra.session_store.sqlite_store import connect
from iskra.session_store.upgrade import VERSION_QUERY, migrate_sqlite, tables_file

Database = Literal["sqlite", "postgresql"]
DATABASES: tuple[Database, ...] = ("sqlite", "postgresql")

_tables = schema.metadata.tables


def compiled_file(database: Database) -> Path:
    """Return the file that holds the SQL for one database."""
    return Path(__file__).parent / "sql" / f"{database}.json"


def compile_statements(database: Database) -> dict[str, str]:
    """Return the SQL of every statement by name, with positional parameters in the order they are written here."""
    statements = _Statements(database)
    return {name: statements.compile(clause) for name, clause in statements.all().items()}


def compile_tables() -> list[str]:
    """Return the statements that make the tables of an empty SQLite database, as the migrations make them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "iskra.db"
        migrate_sqlite(connect(file))
        with contextlib.closing(connect(file)) as connection:
            found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid").fetchall()
            versions = connection.execute(VERSION_QUERY).fetchall()
    statements = [" ".join(sql.split()) for (sql,) in found]
    return statements + [f"INSERT INTO alembic_version VALUES ('{version}')" for (version,) in versions]  # noqa: S608


class _Statements:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers = itertools.count()
        self._insert: Callable[[Table], Any] = sqlite.insert if database == "sqlite" else postgresql.insert
        self._dialect = (
            sqlite.dialect(paramstyle="qmark")
            if database == "sqlite"
            else PGDialect_asyncpg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
        )

    def compile(self, clause: Executable) -> str:
        compiled = clause.compile(dialect=self._dialect)  # type: ignore[attr-defined]  # every clause has it
        assert isinstance(compiled, SQLCompiler)  # noqa: S101 - for the type checker
        sql, order = " ".join(str(compiled).split()), list(compiled.positiontup or ())
        if sql.endswith(" OFFSET ?"):  # added to every LIMIT on SQLite, with a parameter of its own
            sql, order = sql.removesuffix(" OFFSET ?"), order[:-1]
        if order != sorted(order, key=lambda name: int(name.removeprefix("p"))):
            raise ValueError(f"the parameters are not in the order they are written: {sql}")
        return sql

    def _p(self, column: ColumnElement[Any]) -> BindParameter[Any]:
        return bindparam(f"p{next(self._numbers)}", type_=column.type)

    def _limit(self) -> BindParameter[int]:
        return bindparam(f"p{next(self._numbers)}", type_=Integer())

    def all(self) -> dict[str, Executable]:
        return {**self._writes(), **self._reads()}

    # Changes ----------------------------------------------------------------------------------------------------

    def _writes(self) -> dict[str, Executable]:
        return {
            "insert_session": self._add("sessions"),
            "update_session": self._change(
                "sessions", keep=("updated_at",), coalesce=("title", "agent", "metadata", "contexts"), where=("id",)
            ),
            "reserve_seq": self._reserve_seq(),
            "delete_session": self._remove("sessions", "id"),
            "insert_turn": self._add("turns"),
            "update_turn": self._update_turn(),
            "insert_message": self._add("messages"),
            "insert_step": self._add("steps"),
            "update_step": self._change(
                "steps",
                keep=("kind", "state", "started_at", "name", "data", "effect_id", "ended_at"),
                where=("turn_id", "position", "state"),
            ),
            "insert_event": self._add("events"),
            "insert_approval": self._add("approvals"),
            "close_approval": self._close_approval(),
            "insert_audit": self._add("audit_log"),
            "insert_transcript": self._add("transcripts"),
            "insert_credential": self._add("credentials"),
            "delete_credential": self._remove("credentials", "digest"),
            "delete_credentials_of": self._remove("credentials", "principal_id"),
            "delete_expired_credentials": delete(_tables["credentials"]).where(
                _tables["credentials"].c.expires_at <= self._p(_tables["credentials"].c.expires_at)
            ),
            "put_plugin": self._put("plugins", ("name",)),
            "put_plugin_value": self._put("plugin_values", ("plugin", "key")),
            "delete_plugin_value": self._remove("plugin_values", "plugin", "key"),
            "add_usage": self._add_usage(),
            "put_write_check": self._put("write_checks", ("id",)),
        }

    def _add(self, name: str) -> Executable:
        table = _tables[name]
        clause: Executable = self._insert(table).values(
            {column.name: self._p(column) for column in table.columns if not _is_serial(column)}
        )
        return clause

    def _change(
        self, name: str, *, keep: tuple[str, ...] = (), coalesce: tuple[str, ...] = (), where: tuple[str, ...]
    ) -> Executable:
        columns = _tables[name].c
        values: list[tuple[Any, Any]] = [(columns[column], self._p(columns[column])) for column in keep]
        values += [(columns[column], func.coalesce(self._p(columns[column]), columns[column])) for column in coalesce]
        clause = update(_tables[name]).ordered_values(*values)
        return clause.where(*(columns[column] == self._p(columns[column]) for column in where))

    def _remove(self, name: str, *where: str) -> Executable:
        columns = _tables[name].c
        return delete(_tables[name]).where(*(columns[column] == self._p(columns[column]) for column in where))

    def _put(self, name: str, key: tuple[str, ...]) -> Executable:
        table = _tables[name]
        insert = self._insert(table).values({column.name: self._p(column) for column in table.columns})
        clause: Executable = insert.on_conflict_do_update(
            index_elements=list(key),
            set_={column.name: insert.excluded[column.name] for column in table.columns if column.name not in key},
        )
        return clause

    def _reserve_seq(self) -> Executable:
        columns = _tables["sessions"].c
        reserved = columns.reserved_seq
        higher = case((reserved < self._p(reserved), self._p(reserved)), else_=reserved)
        return update(_tables["sessions"]).values(reserved_seq=higher).where(columns.id == self._p(columns.id))

    def _update_turn(self) -> Executable:
        columns = _tables["turns"].c
        values: list[tuple[Any, Any]] = [(columns.state, self._p(columns.state))]
        values += [
            (columns[name], func.coalesce(self._p(columns[name]), columns[name]))
            for name in ("agent", "first_seq", "ended_at", "error", "prompt_tokens", "completion_tokens")
        ]
        has_id = columns.id == self._p(columns.id)
        # As many as there are states; who expects fewer repeats one.
        expected = [self._p(columns.state) for _ in range(7)]
        return update(_tables["turns"]).ordered_values(*values).where(has_id, columns.state.in_(expected))

    def _close_approval(self) -> Executable:
        columns = _tables["approvals"].c
        values: list[tuple[Any, Any]] = [
            (columns[name], self._p(columns[name])) for name in ("state", "decided_by", "decided_at", "remark")
        ]
        values += [
            (columns[name], func.coalesce(self._p(columns[name]), columns[name])) for name in ("arguments", "hash")
        ]
        clause = update(_tables["approvals"]).ordered_values(*values)
        return clause.where(columns.id == self._p(columns.id), columns.state == literal_column("'open'"))

    def _add_usage(self) -> Executable:
        table = _tables["usage"]
        insert = self._insert(table).values({column.name: self._p(column) for column in table.columns})
        clause: Executable = insert.on_conflict_do_update(
            index_elements=["principal_id", "day", "agent", "target"],
            set_={
                name: table.c[name] + insert.excluded[name] for name in ("prompt_tokens", "completion_tokens", "calls")
            },
        )
        return clause

    # Reads ------------------------------------------------------------------------------------------------------

    def _reads(self) -> dict[str, Executable]:
        unfinished = text(schema.UNFINISHED_SQL)
        turns, approvals, audit = _tables["turns"].c, _tables["approvals"].c, _tables["audit_log"].c
        found: dict[str, Executable] = {
            "session": self._one("sessions", "id"),
            "session_owner": self._pick(_tables["sessions"].c.principal_id, "id"),
            "messages": self._after("messages", "position"),
            "events": self._after("events", "seq"),
            "turn": self._one("turns", "id"),
            "turn_state": self._pick(turns.state, "id"),
            "turn_owner": self._turn_owner(),
            "turn_by_key": self._one("turns", "session_id", "idempotency_key").where(
                turns.idempotency_key != literal_column("''")
            ),
            "turns": self._turns(),
            "steps": self._one("steps", "turn_id").order_by(_tables["steps"].c.position),
            "approval": self._one("approvals", "id"),
            "approval_state": self._pick(approvals.state, "id"),
            "approval_by_code": self._one("approvals", "principal_id", "code")
            .order_by(approvals.created_at.desc(), approvals.id.desc())
            .limit(literal_column("1")),
            "approval_open_code": self._pick(approvals.id, "principal_id", "code").where(
                approvals.state == literal_column("'open'")
            ),
            "unfinished_turns": select(_tables["turns"]).where(unfinished).order_by(turns.session_id, turns.number),
            "transcript": self._transcript(),
            "credential": self._one("credentials", "digest"),
            "plugins": select(_tables["plugins"]).order_by(_tables["plugins"].c.name),
            "plugin_value": self._pick(_tables["plugin_values"].c.value, "plugin", "key"),
            "plugin_keys": self._plugin_keys(),
            "audit": self._newest("audit_log", (), audit.id),
            "audit_of_action": self._newest("audit_log", ("action",), audit.id),
            "audit_of_actions": self._audit_of_actions(),
            "usage": self._usage(("principal_id",)),
            "usage_of_all": self._usage(()),
        }
        for whose, filters in (("", ("principal_id",)), ("_of_all", ())):
            found[f"sessions{whose}"] = self._sessions(filters)
            found[f"sessions_before{whose}"] = self._sessions_before(filters)
        for chosen in itertools.product((False, True), repeat=3):
            kept = tuple(itertools.compress(("principal_id", "state", "session_id"), chosen))
            found["_".join(("approvals", *kept))] = self._approvals(kept)
        return found

    def _one(self, name: str, *where: str) -> Select[Any]:
        columns = _tables[name].c
        return select(_tables[name]).where(*(columns[column] == self._p(columns[column]) for column in where))

    def _pick(self, column: ColumnElement[Any], *where: str) -> Select[Any]:
        columns = column.table.c
        return select(column).where(*(columns[name] == self._p(columns[name]) for name in where))

    def _after(self, name: str, order: str) -> Select[Any]:
        columns = _tables[name].c
        clause = self._one(name, "session_id").where(columns[order] > self._p(columns[order]))
        return clause.order_by(columns[order]).limit(self._limit())

    def _newest(self, name: str, filters: tuple[str, ...], number: ColumnElement[Any]) -> Select[Any]:
        return self._one(name, *filters).where(number < self._p(number)).order_by(number.desc()).limit(self._limit())

    def _turn_owner(self) -> Select[Any]:
        sessions, turns = _tables["sessions"].c, _tables["turns"].c
        both = _tables["turns"].join(_tables["sessions"], sessions.id == turns.session_id)
        return select(sessions.principal_id).select_from(both).where(turns.id == self._p(turns.id))

    def _turns(self) -> Select[Any]:
        return self._newest("turns", ("session_id",), _tables["turns"].c.number)

    def _sessions(self, filters: tuple[str, ...]) -> Select[Any]:
        columns = _tables["sessions"].c
        clause = self._one("sessions", *filters)
        return clause.order_by(columns.created_at.desc(), columns.id.desc()).limit(self._limit())

    def _sessions_before(self, filters: tuple[str, ...]) -> Select[Any]:
        columns = _tables["sessions"].c
        at = tuple_(columns.created_at, columns.id)
        clause = self._one("sessions", *filters).where(at < tuple_(self._p(columns.created_at), self._p(columns.id)))
        return clause.order_by(columns.created_at.desc(), columns.id.desc()).limit(self._limit())

    def _approvals(self, filters: tuple[str, ...]) -> Select[Any]:
        columns = _tables["approvals"].c
        clause = self._one("approvals", *filters)
        return clause.order_by(columns.created_at.desc(), columns.id.desc()).limit(self._limit())

    def _transcript(self) -> Select[Any]:
        columns = _tables["transcripts"].c
        clause = select(columns.session_id, columns.position).where(columns.digest == self._p(columns.digest))
        return clause.order_by(columns.id.desc()).limit(literal_column("1"))

    def _plugin_keys(self) -> Select[Any]:
        columns = _tables["plugin_values"].c
        clause = self._pick(columns.key, "plugin")
        return clause.where(func.substr(columns.key, literal_column("1"), self._limit()) == self._p(columns.key))

    def _audit_of_actions(self) -> Select[Any]:
        columns = _tables["audit_log"].c
        operator = "GLOB" if self._database == "sqlite" else "~"
        clause = select(_tables["audit_log"]).where(columns.action.op(operator)(self._p(columns.action)))
        clause = clause.where(columns.id < self._p(columns.id))
        return clause.order_by(columns.id.desc()).limit(self._limit())

    def _usage(self, filters: tuple[str, ...]) -> Select[Any]:
        columns = _tables["usage"].c
        clause = self._one("usage", *filters).where(columns.day >= self._p(columns.day))
        return clause.order_by(columns.day.desc(), columns.principal_id, columns.agent, columns.target)


def _is_serial(column: Any) -> bool:
    return column.autoincrement is True


def main() -> None:
    """Write the files."""
    for database in DATABASES:
        file = compiled_file(database)
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(compile_statements(database), indent=1) + "\n", encoding="utf-8")
    tables_file().write_text(json.dumps(compile_tables(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
