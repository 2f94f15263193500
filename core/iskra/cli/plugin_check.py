"""Checks one plugin as a server would load it, the code in a process of its own."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import orjson

from iskra.plugin_host.discovery import (
    PluginSource,
    discover_entry_points,
    discover_folder,
    flag_conflicts,
    read_folder_entry,
)
from iskra.settings import Settings
from iskra_sdk.errors import ConfigurationError, PluginError, PluginNotFoundError

_CHILD = "iskra.cli.plugin_check_child"
_STARTING = 10.0  # seconds for the process itself, on top of the plugin's own time


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that stops a plugin from loading, and how to mend it."""

    text: str
    mend: str = ""


@dataclass(slots=True)
class Report:
    """What a check found.

    Attributes:
        problems: What stops the plugin from loading.
        hints: What does not stop it, but is probably not meant.
        offers: Kind → names of what it registers.
    """

    plugin: str
    problems: list[Problem] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    offers: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, object]:
        """The report for programs."""
        return {
            "plugin": self.plugin,
            "problems": [{"text": problem.text, "mend": problem.mend} for problem in self.problems],
            "hints": self.hints,
            "offers": {kind: list(names) for kind, names in self.offers.items()},
        }


def find_source(target: str, settings: Settings) -> PluginSource:
    """Return the plugin at a path, or the installed one of a name.

    Raises:
        PluginNotFoundError: There is none.
    """
    path = Path(target).expanduser()
    if path.exists():
        source = read_folder_entry(path.resolve())
        if source is not None:
            return source
        raise PluginNotFoundError(
            f"{target} is no plugin.",
            mend="A plugin is a file `<name>.py`, or a directory with `__init__.py` and `iskra-plugin.toml`.",
        )
    known = known_plugins(settings)
    for source in known:
        if source.name == target:
            return source
    names = ", ".join(sorted({source.name for source in known})) or "none"
    raise PluginNotFoundError(
        f"There is no plugin {target!r}, neither as a path nor as a name.", mend=f"Known plugins: {names}."
    )


def known_plugins(settings: Settings) -> list[PluginSource]:
    """Return all plugins a server with these settings would find.

    Raises:
        ConfigurationError: The plugin folder cannot be read.
    """
    folder = settings.plugin_folder
    try:
        return flag_conflicts([*discover_entry_points(), *discover_folder(folder)])
    except OSError as exc:
        raise ConfigurationError(
            f"The plugin folder {folder} cannot be read: {exc.strerror}.",
            mend="Make it a directory that you may read, or name another one with --plugin-dir.",
        ) from exc


def check_source(source: PluginSource, settings: Settings) -> Report:
    """Check a plugin."""
    report = Report(source.name)
    if source.error is not None:
        report.problems.append(_problem(source.error))
    if source.manifest is None:
        return report
    others = {other.name: other for other in known_plugins(settings)}
    twin = others.get(source.name)
    if twin is not None and twin.path.resolve() != source.path.resolve():
        report.problems.append(
            Problem(f"another plugin of this name is at {twin.path}.", "Rename one of them in its manifest.")
        )
    for name in source.manifest.requires:
        if name not in others:
            report.problems.append(
                Problem(
                    f"it requires the plugin {name!r}, which is not there.",
                    f"Install {name}, or drop it from `requires`.",
                )
            )
        elif name in settings.plugins.disabled:
            report.problems.append(Problem(f"it requires the plugin {name!r}, which is disabled.", f"Enable {name}."))
    for module, remedy in source.manifest.extras.items():
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            report.problems.append(
                Problem(f"it needs the module {module!r}, which is not installed.", f"pip install {remedy!r}")
            )
    if not report.problems:
        _check_code(source, settings, report)
    return report


def _check_code(source: PluginSource, settings: Settings, report: Report) -> None:
    assert source.manifest is not None  # noqa: S101 - for the type checker
    job = {
        "manifest": source.manifest.model_dump(mode="json"),
        "kind": source.kind,
        "path": str(source.path),
        "module": source.module,
        "attribute": source.attribute,
        "prefix": source.prefix,
        "settings": settings.plugin_settings(source.name),
        "workspace": str(settings.workspace),
    }
    answer = _ask_child(orjson.dumps(job, default=str), settings.plugins.start_timeout)
    problems = answer.get("problems")
    if isinstance(problems, list):
        report.problems += [Problem(str(item["text"]), str(item["mend"])) for item in problems]
    offers = answer.get("offers")
    report.offers = offers if isinstance(offers, dict) else {}
    wanted, tools = answer.get("agent_tools"), report.offers.get("tools", ())
    if isinstance(wanted, dict):
        for agent, globs in wanted.items():
            if missing := _unmatched(globs, tools):
                listed = ", ".join(repr(glob) for glob in missing)
                report.hints.append(f"the agent {agent!r} wants tools that another plugin has to offer: {listed}.")


def _unmatched(globs: Iterable[str], names: Sequence[str]) -> list[str]:
    return [glob for glob in globs if not any(fnmatchcase(name, glob) for name in names)]


def _ask_child(job: bytes, seconds: float) -> dict[str, object]:
    process = subprocess.Popen(
        [sys.executable, "-m", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(job, timeout=seconds + _STARTING)
    except subprocess.TimeoutExpired:
        return _found(
            f"importing it and calling its hooks did not end within {seconds:g} s.",
            "Move slow work into `lifespan` or a task; hooks only return objects.",
        )
    finally:
        # Threads, forks and programs that the plugin started go with it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    answer = next((line for line in reversed(out.splitlines()) if line.startswith(b"{")), None)
    if answer is not None and process.returncode == 0:
        decoded: dict[str, object] = orjson.loads(answer)
        return decoded
    if process.returncode < 0:
        return _found(f"it crashed the process ({signal.Signals(-process.returncode).name}).", "Look for native code.")
    return _found(
        f"it ended the process with status {process.returncode}.", "Do not call `sys.exit` or `os._exit` in a plugin."
    )


def _found(text: str, mend: str) -> dict[str, object]:
    return {"problems": [{"text": text, "mend": mend}]}


def _problem(error: PluginError) -> Problem:
    return Problem(error.reason, error.mend)
