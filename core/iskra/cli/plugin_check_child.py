"""The process in which ``iskra check`` imports a plugin: a job on standard input, a report on standard output."""

import inspect
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import orjson

from iskra.plugin_host.contributions import Hooks, describe_failure
from iskra.plugin_host.discovery import PluginSource, SourceKind
from iskra.plugin_host.importing import ImportedPlugin, import_plugin
from iskra.plugin_host.preflight_child import StandIn
from iskra_sdk.errors import PluginError
from iskra_sdk.manifest import PluginManifest
from iskra_sdk.plugin_context import PluginContext


def main() -> None:
    """Do the one job and end the process, whatever the plugin left running."""
    job = orjson.loads(sys.stdin.buffer.read())
    # What the plugin prints must not get into the report.
    report = os.dup(1)
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory(prefix="iskra-check-") as folder:
        answer = _check(job, Path(folder))
        os.write(report, orjson.dumps(answer, default=str) + b"\n")
    os._exit(0)


def _check(job: dict[str, Any], folder: Path) -> dict[str, object]:
    manifest = PluginManifest.model_validate(job["manifest"])
    path = Path(job["path"])
    source = PluginSource(
        manifest.name,
        SourceKind(job["kind"]),
        path,
        manifest,
        module=job["module"],
        attribute=job["attribute"],
        prefix=job["prefix"],
    )

    def is_own(file: str) -> bool:
        return file.startswith(str(path))

    sys.dont_write_bytecode = True
    imported: list[ImportedPlugin] = []
    failure = _attempt(lambda: imported.append(import_plugin(source)), "its import failed", is_own)
    if failure is not None:
        return {"problems": [failure]}
    made: list[Any] = []
    failure = _attempt(lambda: made.append(Hooks(imported[0].plugin, manifest)), "its hooks cannot be used", is_own)
    if failure is not None:
        return {"problems": [_with_place(failure, imported[0].plugin)]}
    hooks: Hooks = made.pop()
    failure = _attempt(
        lambda: made.append(hooks.settings([manifest.defaults, job["settings"]])), "`settings_schema` failed", is_own
    )
    if failure is not None:
        return {"problems": [_with_place(failure, imported[0].plugin)]}
    context = StandIn()
    vars(context).update(
        name=manifest.name,
        manifest=manifest,
        settings=made.pop(),
        data_dir=folder,
        workspace=Path(job["workspace"]),
        services={},
    )
    plugin_context = cast("PluginContext", context)
    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("`lifespan` failed", lambda: hooks.lifespan(plugin_context)),
        ("a register hook failed", lambda: made.append(hooks.contributions(plugin_context))),
        ("`register_commands` failed", lambda: hooks.commands(plugin_context)),
    )
    problems = [
        _with_place(failure, imported[0].plugin)
        for what, step in steps
        if (failure := _attempt(step, what, is_own)) is not None
    ]
    if not made:
        return {"problems": problems}
    contributions = made.pop()
    return {
        "problems": problems,
        "offers": contributions.offers,
        "agent_tools": {name: list(agent.tools) for name, agent in contributions.agents.items()},
    }


def _attempt(step: Callable[[], object], what: str, is_own: Callable[[str], bool]) -> dict[str, str] | None:
    try:
        step()
    except PluginError as error:
        return {"text": error.reason, "mend": error.mend}
    except BaseException as error:
        text = describe_failure(error, is_own)
        return {"text": f"{what}: {text}.".replace("..", "."), "mend": _remedy(error)}
    return None


def _remedy(error: BaseException) -> str:
    match error:
        case SyntaxError():
            return "Mend the syntax at that line."
        case ModuleNotFoundError() if error.name:
            return (
                f"Install what provides {error.name!r}, and name it in the manifest under `extras`; or drop the import."
            )
        case SystemExit() | KeyboardInterrupt():
            return "A plugin must not end the process; raise an error instead."
        case _:
            return "Mend the code at that line."


def _with_place(problem: dict[str, str], plugin: object) -> dict[str, str]:
    """Add where the hook stands that a problem's text names, if the text has no line yet."""
    if ", line " in problem["text"]:
        return problem
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        if f"`{name}`" in problem["text"] and callable(function):
            try:
                _, line = inspect.getsourcelines(function)
                file = inspect.getsourcefile(function)
            except (OSError, TypeError):
                break
            return {**problem, "text": f"{file}, line {line}: {problem['text']}"}
    return problem


if __name__ == "__main__":
    main()
