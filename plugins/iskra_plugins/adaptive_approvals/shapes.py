"""The shape of a tool call: what calls must have in common so that a decision on one says something about the others.

A shape is narrow on purpose. It names the tool, every argument, and the values of all of them but free text; of a path
it keeps the topmost folder and the ending. A command or a call to another server has no shape but itself, to the
letter. What can do lasting harm has none at all, so nothing is ever learned about it.
"""

import hashlib
import re
import shlex
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic_core import to_json

from iskra_sdk import Risk

_PATHS = frozenset(
    {"path", "file", "filename", "file_name", "file_path", "filepath", "target", "destination", "source"}
)
_COMMANDS = frozenset({"command", "cmd", "argv", "args", "script", "code", "sql"})
_FREE_TEXTS = frozenset({"content", "text", "body", "old_text", "new_text", "description", "message", "title"})

_LONGEST_FREE_TEXT = 100_000  # characters
_LONGEST_VALUE = 200
_LONGEST_EXACT = 2_000

_RUN_BY_OTHERS = frozenset(
    {
        "makefile", "gnumakefile", "dockerfile", "containerfile", "jenkinsfile", "procfile", "vagrantfile", "rakefile",
        "gemfile", "conftest.py", "setup.py", "setup.cfg", "pyproject.toml", "tox.ini", "noxfile.py", "package.json",
        "package-lock.json", "cargo.toml", "build.rs", "build.gradle", "pom.xml", "crontab", "authorized_keys",
        "sitecustomize.py", "usercustomize.py", "__init__.py", "docker-compose.yml", "compose.yml",
    }
)  # fmt: skip
_ENDINGS_RUN_BY_OTHERS = frozenset(
    {
        ".sh", ".bash", ".zsh", ".fish", ".bat", ".cmd", ".ps1", ".exe", ".so", ".dll", ".dylib", ".pth", ".service",
        ".timer", ".desktop", ".key", ".pem", ".crt", ".env", ".lock", ".sql", ".mk", ".cmake", ".gradle", ".jar",
    }
)  # fmt: skip
_WRITTEN_PLAINLY = re.compile(r"[\w .,()+@=/-]+\Z")

_SHELL_SIGNS = re.compile(r"[;&|<>`$\\\n\r\0*?~{}!#]")
_HARMFUL_PROGRAMS = frozenset(
    {
        "rm", "rmdir", "dd", "mkfs", "shred", "truncate", "mv", "ln", "chmod", "chown", "chgrp", "kill",
        "pkill", "killall", "sudo", "su", "doas", "mount", "umount", "shutdown", "reboot", "systemctl",
        "service", "crontab", "curl", "wget", "nc", "ncat", "netcat", "socat", "ssh", "scp", "sftp", "rsync",
        "ftp", "telnet", "openssl", "docker", "podman", "kubectl", "helm", "terraform", "ansible", "aws",
        "gcloud", "az", "psql", "mysql", "sqlite3", "redis-cli", "mongo", "node", "deno", "bun", "java",
        "ts-node", "tsx", "lua", "rscript", "julia", "cargo", "go", "dotnet", "pip", "pip3", "pipx", "uv",
        "poetry", "conda", "npx", "gem", "apt", "apt-get", "dnf", "yum", "brew", "sh", "bash", "zsh", "dash",
        "fish", "ksh", "csh", "env", "xargs", "eval", "exec", "nohup", "perl", "ruby", "php", "awk", "gawk",
        "sed", "find", "tee", "install", "iskra", "gh", "twine", "powershell",
    }
)  # fmt: skip
_MODULES_RUN = frozenset({"pytest", "unittest", "mypy", "ruff", "black", "isort", "coverage", "compileall", "doctest"})
"""What ``python -m`` may run; a script's content may change between two runs of it."""
_HARMFUL_WORDS = frozenset(
    {
        "push", "reset", "clean", "publish", "deploy", "install", "uninstall", "delete", "destroy", "drop", "prune",
        "purge", "force", "--force", "-f", "--hard", "release", "remove", "rebase", "filter-branch", "config", "exec",
        "add-host", "login", "logout", "migrate", "upgrade", "downgrade", "flush", "-c", "-e", "--eval", "rm",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """What calls have in common.

    Attributes:
        id: Short and the same for equal shapes.
        text: For people.
    """

    id: str
    text: str


def shape_of(tool: str, risk: Risk, arguments: Mapping[str, object]) -> Shape | None:
    """Return the shape of a call, or ``None`` if nothing may be learned about calls like it."""
    if risk is Risk.WRITE:
        parts = {name: _written(name, value) for name, value in arguments.items()}
    elif risk is Risk.EXECUTE:
        parts = {name: _executed(name, value) for name, value in arguments.items()}
    else:
        parts = {name: _exact(value) for name, value in arguments.items()}
    if any(part is None for part in parts.values()) or not parts:
        return None
    text = ", ".join(f"{name}={parts[name]}" for name in sorted(parts))
    if len(text) > _LONGEST_EXACT:
        return None
    key = "\0".join((tool, risk, text))
    return Shape(hashlib.sha256(key.encode()).hexdigest()[:12], f"{tool} ({text})")


def _written(name: str, value: object) -> str | None:
    if name in _PATHS:
        return _place(value)
    if name in _COMMANDS:
        return None
    if name in _FREE_TEXTS:
        return "any text" if isinstance(value, str) and len(value) <= _LONGEST_FREE_TEXT else None
    return _value(value)


def _place(value: object) -> str | None:
    """Return the topmost folder and the ending of a path, the whole path where it is in no folder."""
    if not isinstance(value, str) or not value or len(value) > _LONGEST_VALUE:
        return None
    if unicodedata.normalize("NFKC", value) != value or not _WRITTEN_PLAINLY.match(value) or value.startswith("/"):
        return None
    path = PurePosixPath(value)
    names = [part.lower() for part in path.parts]
    if any(part.startswith(".") or part != part.strip() or part.startswith("-") for part in names) or "//" in value:
        return None
    if path.name.lower() in _RUN_BY_OTHERS or not path.suffix or path.suffix.lower() in _ENDINGS_RUN_BY_OTHERS:
        return None
    return f"{path.parts[0]}/**/*{path.suffix}" if len(path.parts) > 1 else str(path)


def _executed(name: str, value: object) -> str | None:
    if name not in _COMMANDS:
        return _value(value)
    words = _command_words(value)
    if words is None:
        return None
    program = PurePosixPath(words[0]).name.lower()
    if "/" in words[0] or program in _HARMFUL_PROGRAMS or any(word.lower() in _HARMFUL_WORDS for word in words[1:]):
        return None
    if program.startswith(("python", "pypy")) and (len(words) < 3 or words[1] != "-m" or words[2] not in _MODULES_RUN):
        return None
    return shlex.join(words)


def _command_words(value: object) -> list[str] | None:
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        text = " ".join(value)
        words = list(value)
    elif isinstance(value, str):
        text = value
        try:
            words = shlex.split(value)
        except ValueError:
            return None
    else:
        return None
    if (
        not words
        or not text.isascii()
        or not text.isprintable()
        or len(text) > _LONGEST_VALUE
        or _SHELL_SIGNS.search(text)
    ):
        return None
    return words


def _exact(value: object) -> str | None:
    text = to_json(value).decode()
    return text if len(text) <= _LONGEST_EXACT else None


def _value(value: object) -> str | None:
    if value is None or isinstance(value, bool | int | float):
        return to_json(value).decode()
    if isinstance(value, str) and len(value) <= _LONGEST_VALUE and value.isprintable():
        return to_json(value).decode()
    return None
