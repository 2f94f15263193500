"""Programs and optional packages that some tests need.

A test that lacks one is skipped, and the skip says how to install it. Where the environment variable ``CI`` is set the
same lack is a failure, so that continuous integration cannot pass by testing less.
"""

import importlib.util
import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

# Debian keeps the server programs of PostgreSQL out of PATH.
_POSTGRES_FOLDERS = Path("/usr/lib/postgresql")


def require_program(name: str, install: str) -> str:
    """Return the path of a program, for example ``require_program("redis-server", "apt-get install redis-server")``.

    Args:
        name: The program as it would be typed.
        install: The command that installs it, shown when it is missing.
    """
    path = _find_program(name)
    if path is None:
        _report_missing(f"the program {name!r}", install)
    return path


def require_module(name: str, install: str) -> None:
    """Make sure that an optional package can be imported, without importing it.

    Args:
        name: The top-level import name, for example ``llama_cpp``.
        install: The command that installs it, shown when it is missing.
    """
    if importlib.util.find_spec(name) is None:
        _report_missing(f"the Python module {name!r}", install)


def _find_program(name: str) -> str | None:
    path = shutil.which(name)
    if path is not None:
        return path
    newest_first = sorted(_POSTGRES_FOLDERS.glob(f"*/bin/{name}"), key=_major_version, reverse=True)
    return str(newest_first[0]) if newest_first else None


def _major_version(program: Path) -> int:
    version = program.parent.parent.name
    return int(version) if version.isdigit() else 0


def _report_missing(what: str, install: str) -> NoReturn:
    message = f"{what} is missing; install it with: {install}"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
