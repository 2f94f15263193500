import http.server
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from core.cli.conftest import Outcome, Program


def finding(done: Outcome, subject: str) -> dict[str, Any]:
    return next(found for found in json.loads(done.out) if found["subject"] == subject)


@pytest.fixture
def port(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A free port that the settings name."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    monkeypatch.setenv("ISKRA_PORT", str(number))
    return number


def test_before_the_first_start_nothing_is_missing(iskra: Program, data_dir: Path, port: int) -> None:
    done = iskra("doctor", "--json")
    for subject in ("python", "settings", "data directory", "database", "token", "server"):
        assert not finding(done, subject)["is_problem"]
    assert f"http://127.0.0.1:{port}" in finding(done, "server")["text"]
    assert not data_dir.exists()


def test_the_text_says_the_same(iskra: Program, data_dir: Path, port: int) -> None:
    data_dir.mkdir()
    token = data_dir / "token"
    token.write_text("secret")
    token.chmod(0o644)
    done = iskra("doctor")
    assert done.status == 1
    assert f"problem token: {token} has the mode 0644: others may read it." in done.out
    assert f"mend: chmod 600 {token}" in done.out
    token.chmod(0o600)
    assert f"ok      token: {token}, mode 0600" in iskra("doctor").out


def test_every_problem_has_a_mend(iskra: Program, data_dir: Path, port: int) -> None:
    data_dir.write_text("a file where the directory should be")
    done = iskra("doctor", "--json")
    assert done.status == 1
    assert "no directory" in finding(done, "data directory")["text"]
    assert all(found["mend"] for found in json.loads(done.out) if found["is_problem"])


def test_an_outdated_database_is_a_problem(iskra: Program, data_dir: Path, port: int) -> None:
    import sqlite3

    iskra("db", "upgrade")
    assert not finding(iskra("doctor", "--json"), "database")["is_problem"]
    connection = sqlite3.connect(data_dir / "iskra.db")
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = 'older'")
    connection.close()
    assert "iskra db upgrade" in finding(iskra("doctor", "--json"), "database")["mend"]


def test_a_port_in_use_is_a_problem(iskra: Program, port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        done = iskra("doctor", "--json")
    assert "could not start" in finding(done, "server")["text"]


def test_another_program_at_the_address_is_told(iskra: Program, port: int) -> None:
    class Foreign(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", port), Foreign) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        done = iskra("doctor", "--json")
        server.shutdown()
        thread.join()
    assert "it is no Iskra server" in finding(done, "server")["text"]


def test_settings_that_are_not_valid_are_a_problem(iskra: Program, data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "iskra.toml").write_text("log_level = 'x'\n")
    assert "log_level" in finding(iskra("doctor", "--json"), "settings")["text"]


def test_a_broken_plugin_is_a_problem(iskra: Program, data_dir: Path, port: int) -> None:
    (data_dir / "plugins").mkdir(parents=True)
    (data_dir / "plugins" / "broken.py").write_text("1 / 0\n")
    assert "line 1: ZeroDivisionError" in finding(iskra("doctor", "--json"), "plugin broken")["text"]


def test_a_server_named_by_address_must_be_there(iskra: Program, data_dir: Path) -> None:
    done = iskra("doctor", "--json", "--url", "http://127.0.0.1:1")
    assert done.status == 1
    assert "no server answers" in finding(done, "server")["text"]
