"""A private PostgreSQL server on a Unix socket, for tests."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT

from programs import require_program

_INSTALL = "apt-get install postgresql"
_READY = "database system is ready to accept connections"
_PATIENCE = 30.0


@dataclass(frozen=True)
class PostgresCluster:
    """A running server.

    Attributes:
        folder: Holds its socket and, in ``data``, its files.
        process: The first of its processes.
    """

    folder: Path
    process: subprocess.Popen[str]

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql:///{database}?host={self.folder}&user=postgres"


@contextmanager
def postgres_cluster() -> Iterator[PostgresCluster]:
    """Make a cluster, start its server, and remove both at the end."""
    initdb, server = require_program("initdb", _INSTALL), require_program("postgres", _INSTALL)
    # The server refuses to run as root, and the path of a socket must be short.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="iskra-pg-", dir="/tmp"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        subprocess.run(
            [initdb, "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            user=user,
            cwd="/",
            stdout=subprocess.DEVNULL,
        )
        with running_server(folder, server, user) as process:
            yield PostgresCluster(folder, process)
    finally:
        shutil.rmtree(folder)


@contextmanager
def running_server(folder: Path, server: str, user: str | None) -> Iterator[subprocess.Popen[str]]:
    """Start the server of a cluster and end it."""
    options = [f"unix_socket_directories={folder}", "listen_addresses=", "fsync=off", "max_connections=50"]
    command = [server, "-D", str(folder / "data"), *(part for option in options for part in ("-c", option))]
    is_ready = threading.Event()

    def watch() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            if _READY in line:
                is_ready.set()

    with subprocess.Popen(command, user=user, cwd="/", stderr=subprocess.PIPE, text=True) as process:
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            assert is_ready.wait(_PATIENCE), "PostgreSQL did not start"
            yield process
        finally:
            process.send_signal(SIGINT)  # end now, and do not wait for clients
            process.wait(_PATIENCE)
            watcher.join()
