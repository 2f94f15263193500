"""The checks of ``iskra doctor``, each a function that yields findings."""

import os
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from iskra import __version__
from iskra.cli.plugin_check import check_source, known_plugins
from iskra.cli.schema_revision import read_revisions
from iskra.cli.terminal import connect, server_url
from iskra.plugin_host.discovery import SourceKind
from iskra.settings import Settings, load_settings
from iskra_sdk.client import IskraClient, ProviderInfo
from iskra_sdk.errors import AuthenticationError, IskraError, PluginError, ServerUnreachableError, UnexpectedAnswerError

_OLDEST_PYTHON = (3, 11)
_LITTLE_SPACE = 100 * 1024 * 1024  # bytes
_TOKEN_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        mend: What to do about a problem.
    """

    subject: str
    text: str
    is_problem: bool = False
    mend: str = ""

    @property
    def document(self) -> dict[str, object]:
        """The finding for programs."""
        return {"subject": self.subject, "text": self.text, "is_problem": self.is_problem, "mend": self.mend}


def _problem(subject: str, text: str, mend: str) -> Finding:
    return Finding(subject, text, True, mend)


def _from_error(subject: str, error: IskraError) -> Finding:
    text = error.reason if isinstance(error, PluginError) else error.message
    return _problem(subject, text, error.mend or "See the server's log.")


def examine(url: str | None, data_dir: Path | None) -> list[Finding]:
    """Run all checks; those that need a running server only if there is one."""
    findings = [_python()]
    try:
        settings = load_settings(overrides={"data_dir": data_dir})
    except IskraError as error:
        return [*findings, _from_error("settings", error)]
    findings.append(Finding("settings", "valid"))
    findings += _data_directory(settings)
    findings.append(_database(settings))
    findings += _token(settings)
    try:
        client = connect(url, data_dir)
    except IskraError as error:
        return [*findings, _from_error("token", error)]
    with client:
        try:
            is_running = _answers(client)
        except IskraError as error:
            return [*findings, _from_error("server", error)]
        if is_running:
            findings += _server(client)
        else:
            findings += _port(settings, client.url, is_named=url is not None)
            findings += _plugins(settings)
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST_PYTHON:
        return _problem("python", f"{version} is too old.", "Install Python 3.11 or newer.")
    return Finding("python", f"{version}, iskra {__version__}")


def _data_directory(settings: Settings) -> Iterator[Finding]:
    path = settings.data_dir
    existing = path
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    mend = f"Make {path} a directory that you may write to, or name another one with --data-dir."
    if not existing.is_dir():
        yield _problem("data directory", f"{existing} is no directory.", mend)
        return
    try:
        # Permissions do not tell everything: read-only mounts, quotas and full disks show only when writing.
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"iskra")
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        yield _problem("data directory", f"{existing} cannot be written: {exc.strerror}.", mend)
        return
    usage = os.statvfs(existing)
    free = usage.f_bavail * usage.f_frsize
    if free < _LITTLE_SPACE:
        yield _problem(
            "data directory", f"only {free >> 20} MiB are free on the disk of {existing}.", "Free some space."
        )
        return
    state = "" if path.exists() else ", which the first start makes"
    yield Finding("data directory", f"{path}{state}")


def _database(settings: Settings) -> Finding:
    try:
        revisions = read_revisions(settings)
    except IskraError as error:
        return _from_error("database", error)
    if not revisions.current:
        return Finding("database", "none yet; the first start makes it")
    if not revisions.is_current:
        return _problem(
            "database",
            f"its schema is at {revisions.current}, this version needs {revisions.head}.",
            "Run `iskra db upgrade`, or start the server. A database of a newer version needs that version.",
        )
    return Finding("database", f"schema {revisions.current}")


def _token(settings: Settings) -> Iterator[Finding]:
    path = settings.data_dir / "token"
    if settings.token is not None:
        yield Finding("token", "given by the settings or ISKRA_TOKEN")
        return
    try:
        status = path.stat()
    except FileNotFoundError:
        yield Finding("token", "none yet; the first start makes it")
        return
    except OSError as exc:
        yield _problem("token", f"{path} cannot be read: {exc.strerror}.", "Run as the user who started the server.")
        return
    mode = stat.S_IMODE(status.st_mode)
    if mode & ~_TOKEN_MODE:
        yield _problem("token", f"{path} has the mode {mode:04o}: others may read it.", f"chmod 600 {path}")
        return
    yield Finding("token", f"{path}, mode {mode:04o}")


def _answers(client: IskraClient) -> bool:
    try:
        client.health()
    except ServerUnreachableError:
        return False
    except UnexpectedAnswerError as exc:
        raise UnexpectedAnswerError(
            f"Something answers at {client.url}, but it is no Iskra server: {exc.message}",
            mend="Stop the other program, or use another port: iskra serve --port 8701.",
        ) from exc
    return True


def _port(settings: Settings, url: str, *, is_named: bool) -> Iterator[Finding]:
    if is_named:
        yield _problem("server", f"no server answers at {url}.", "Check the address, or start one with `iskra serve`.")
        return
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as exc:
            yield _problem(
                "server",
                f"not running, and it could not start at {settings.host}:{settings.port}: {exc.strerror}.",
                "Stop what uses the port, or choose another: iskra serve --port 8701.",
            )
            return
    address = server_url(settings.host, settings.port)
    yield Finding("server", f"not running; `iskra serve` would start it at {address}")


def _plugins(settings: Settings) -> Iterator[Finding]:
    """Check plugins without a server: those of the plugin folder in full, installed ones by their manifest."""
    try:
        sources = known_plugins(settings)
    except IskraError as error:
        yield _from_error("plugins", error)
        return
    for source in sources:
        if source.name in settings.plugins.disabled:
            yield Finding(f"plugin {source.name}", "disabled")
        elif source.error is not None:
            yield _from_error(f"plugin {source.name}", source.error)
        elif source.kind is SourceKind.ENTRY_POINT:
            yield Finding(f"plugin {source.name}", f"installed at {source.path}")
        else:
            report = check_source(source, settings)
            for problem in report.problems:
                yield _problem(f"plugin {source.name}", problem.text, problem.mend or f"iskra check {source.path}")
            if not report.problems:
                yield Finding(f"plugin {source.name}", f"can be loaded from {source.path}")


def _server(client: IskraClient) -> Iterator[Finding]:
    yield Finding("server", f"running at {client.url}")
    try:
        ready = client.ready()
        if ready.status in ("ready", "ok"):
            yield Finding("server", "ready")
        else:
            details = ", ".join(f"{name}: {value}" for name, value in (ready.model_extra or {}).items())
            yield _problem("server", f"not ready ({details or ready.status}).", "Look at the server's log.")
        for plugin in client.plugins.list():
            yield _plugin_state(plugin.name, plugin.state, plugin.error)
        yield from _models(client)
    except AuthenticationError as error:
        yield _problem("token", error.message, "Use the token that the server was started with: `iskra token show`.")
    except IskraError as error:
        yield _from_error("server", error)


def _plugin_state(name: str, state: str, error: Any) -> Finding:
    subject = f"plugin {name}"
    if state == "unavailable" and error:
        return Finding(subject, f"left out; to use it: {error.get('mend', '')}")
    if error:
        return _problem(subject, str(error.get("message", state)), str(error.get("mend") or f"iskra check {name}"))
    if state in ("running", "disabled"):
        return Finding(subject, state)
    return _problem(subject, state, f"iskra plugins show {name}; then mend it and `iskra plugins enable {name}`.")


def _providers(client: IskraClient) -> list[ProviderInfo]:
    try:
        return client.providers()
    except IskraError as error:
        if error.facts.get("status") != HTTPStatus.NOT_FOUND:
            raise
        # A server that does not tell has nothing wrong with it for that.
        return []


def _models(client: IskraClient) -> Iterator[Finding]:
    for provider in _providers(client):
        subject = f"provider {provider.name}"
        if provider.ok:
            yield Finding(subject, provider.text)
        else:
            yield _problem(subject, provider.text, provider.mend or "Check its server, key and settings.")
    for target, breaker in client.breakers().items():
        if breaker["state"] == "closed":
            yield Finding(f"breaker {target}", "closed")
        else:
            yield _problem(
                f"breaker {target}",
                f"{breaker['state']}: the target failed {breaker['opened_after']} times in a row.",
                "Check the model's server and key.",
            )
