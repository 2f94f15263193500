"""Installs plugins: a file or directory into the plugin folder, anything else with pip."""

import asyncio
import contextlib
import os
import shutil
import sys
from pathlib import Path

from iskra.plugin_host.discovery import SourceKind, is_temporary, read_folder_entry
from iskra_sdk.errors import PluginConflictError, PluginError, PluginLoadError

_PIP_SECONDS = 300.0
_MOST_BYTES = 200_000_000
_SHOWN = 2000  # characters of pip's complaint
_PACKAGES = (".whl", ".zip", ".tar.gz")


async def install_plugin(source: str, folder: Path) -> None:
    """Install a plugin from a path, or from what pip understands.

    Args:
        source: A Python file, a package directory, a wheel, or a requirement such as ``iskra-weather>=1``.
        folder: The plugin folder.

    Raises:
        PluginError: It is no plugin, its name is taken, or pip failed; the text says why.
    """
    if not source.strip() or "\0" in source or source.startswith("-"):
        raise PluginLoadError("?", "this is no path and no requirement.", mend="Give a file, a directory or a package.")
    kind, path = await asyncio.to_thread(_judge, source)
    if kind == "package":
        await _pip(str(path))
        return
    if kind == "plugin":
        await asyncio.to_thread(_copy, path, folder)
        return
    if os.sep in source or source.endswith((".py", *_PACKAGES)):
        raise PluginLoadError("?", f"there is nothing at {source[:200]!r}.")
    from packaging.requirements import InvalidRequirement, Requirement  # a server that installs nothing needs it not

    try:
        Requirement(source)
    except InvalidRequirement as exc:
        raise PluginLoadError(
            "?", f"{source[:200]!r} is neither a path nor a requirement: {exc}.", mend="For example `iskra-weather>=1`."
        ) from exc
    await _pip(source)


def _judge(source: str) -> tuple[str, Path]:
    """Tell whether a source is a path to a ``package`` for pip, to a ``plugin`` to copy, or ``nothing``."""
    path = Path(source).expanduser().resolve()
    if not path.exists():
        return "nothing", path
    is_package = source.endswith(_PACKAGES) or (path / "pyproject.toml").is_file()
    return ("package" if is_package else "plugin"), path


def _copy(path: Path, folder: Path) -> None:
    """Copy a plugin into the folder under its own name, so that it appears there all at once."""
    found = read_folder_entry(path)
    if found is None:
        raise PluginLoadError("?", f"{path.name} holds no plugin.", mend="Give a `.py` file or a package directory.")
    if found.error is not None:
        raise found.error
    target = folder / (f"{found.name}.py" if found.kind is SourceKind.FILE else found.name)
    if target.resolve() == path:
        return
    other = folder / (found.name if found.kind is SourceKind.FILE else f"{found.name}.py")
    if other.exists():
        raise PluginConflictError(found.name, f"{other} holds a plugin of this name.", mend="Remove that one first.")
    folder.mkdir(parents=True, exist_ok=True)
    staged = folder / f".installing-{found.name}-{os.getpid()}"
    _remove(staged)
    try:
        if found.kind is SourceKind.FILE:
            shutil.copyfile(path, staged)
        else:
            _check_tree(path)
            shutil.copytree(path, staged, ignore=_left_out)
        _put(staged, target)
    except OSError as exc:
        raise PluginLoadError(found.name, f"it cannot be copied to {folder}: {exc.strerror}.") from exc
    finally:
        _remove(staged)


def _put(staged: Path, target: Path) -> None:
    if not target.is_dir():
        staged.replace(target)
        return
    former = target.with_name(f".former-{target.name}-{os.getpid()}")
    _remove(former)
    target.rename(former)
    try:
        staged.rename(target)
    except OSError:
        former.rename(target)
        raise
    _remove(former)


def _check_tree(directory: Path) -> None:
    total = 0
    for entry in directory.rglob("*"):
        if entry.is_symlink():
            raise PluginLoadError(directory.name, f"{entry.name} is a symbolic link, which is not copied.")
        total += entry.stat().st_size if entry.is_file() else 0
    if total > _MOST_BYTES:
        raise PluginLoadError(directory.name, f"it is larger than {_MOST_BYTES // 1_000_000} MB.")


def _left_out(_: str, names: list[str]) -> set[str]:
    return {name for name in names if is_temporary(name) and name != "__init__.py" and not name.startswith("_")} | {
        name for name in names if name == "__pycache__"
    }


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


async def _pip(what: str) -> None:
    """Run pip in a process of its own; its output is kept for the error message."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar=off",
        "--",
        what,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_PIP_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError as exc:
        raise _pip_failed(what, f"pip did not end within {_PIP_SECONDS:g} s") from exc
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            await process.wait()
    if process.returncode != 0:
        lines = output.decode(errors="replace").strip().splitlines()
        complaint = "\n".join(line for line in lines if "ERROR" in line) or "\n".join(lines[-5:])
        raise _pip_failed(what, f"pip failed: {complaint[:_SHOWN]}")


def _pip_failed(what: str, reason: str) -> PluginError:
    return PluginLoadError(
        "?",
        f"{what[:200]!r} could not be installed: {reason}.",
        mend="Install it by hand into the server's environment, then run `iskra plugins reload` or restart.",
    )
