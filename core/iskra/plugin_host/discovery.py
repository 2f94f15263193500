"""Finds plugins: installed ones by entry point, others in the plugin folder. Nothing of them is imported."""

import hashlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from iskra_sdk.errors import ConfigurationError, PluginConflictError, PluginError, PluginLoadError, PluginManifestError
from iskra_sdk.event import EventType
from iskra_sdk.manifest import NAME_PATTERN, PluginManifest, manifest_from_source, parse_manifest

ENTRY_POINT_GROUP = "iskra.plugins"
MANIFEST_FILE = "iskra-plugin.toml"
_SPACES_OF_EVENTS = frozenset(
    str(each).partition(".")[0]
    for each in EventType
    if each is not EventType.SERVICE_LEVEL_CHANGED  # a plugin's
)
RESERVED_NAMES = frozenset({"admin", "iskra", "iskra_sdk", "kernel", "system"}) | _SPACES_OF_EVENTS
"""Names the kernel itself uses as a source of events, as the beginning of their types, or as an owner of state.

A plugin's events begin with its name: one called `turn` could say that a turn is over.
"""

_HEADER_START = "# /// iskra-plugin"
_HASHED_WHOLE = 1_000_000  # bytes; of larger files size and time stand for the content
_MOST_FILES = 5_000
_NEVER_PURGED = ("iskra", "iskra_sdk")
_TEMPORARY = re.compile(r"^[._#]|[~#]$|\.(?:tmp|swp|swx|swo|bak|orig|part|crdownload)$|^4913$|___jb_")


class SourceKind(StrEnum):
    """Where a plugin comes from."""

    ENTRY_POINT = "entry_point"
    FILE = "file"
    PACKAGE = "package"


@dataclass(frozen=True, slots=True)
class PluginSource:
    """A plugin that was found, usable or not.

    Attributes:
        path: The file or directory that holds the code.
        manifest: ``None`` where ``error`` says why.
        hash: SHA-256 (hex) of the code.
        module: What an entry point names.
        attribute: The object in that module, if the plugin is not the module itself.
        prefix: The package whose modules belong to the plugin and to no other one.
    """

    name: str
    kind: SourceKind
    path: Path
    manifest: PluginManifest | None
    hash: str = ""
    error: PluginError | None = None
    module: str = ""
    attribute: str = ""
    prefix: str = ""

    @property
    def is_trusted(self) -> bool:
        """Whether an admin installed it as a package; such code is not tried out in a child process at start."""
        return self.kind is SourceKind.ENTRY_POINT


def is_temporary(name: str) -> bool:
    """Return whether a file name is an editor's or a tool's own, and so no plugin."""
    return bool(_TEMPORARY.search(name)) or name == "__pycache__"


def discover_entry_points(entry_points: Iterable[importlib.metadata.EntryPoint] | None = None) -> list[PluginSource]:
    """Return the installed plugins, by name; of two with one name the second carries a conflict error."""
    if entry_points is None:
        entry_points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    # The same distribution can be found twice, e.g. where its folder is on the path twice.
    found = sorted({(point.name, point.value) for point in entry_points})
    modules = [value.partition(":")[0].strip() for _, value in found]
    return flag_conflicts(
        _entry_point_source(name, value, _prefix(value.partition(":")[0].strip(), modules)) for name, value in found
    )


def discover_folder(folder: Path) -> list[PluginSource]:
    """Return the plugins in a folder, by file name; a missing folder holds none.

    Raises:
        ConfigurationError: It cannot be read, e.g. because it is a file.
    """
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise ConfigurationError(
            f"The plugin folder {folder} cannot be read: {exc.strerror}.",
            mend="Make it a folder that the server may read, or name another with `--plugin-dir`.",
        ) from exc
    return [source for entry in entries if (source := read_folder_entry(entry)) is not None]


def read_folder_entry(entry: Path) -> PluginSource | None:
    """Return the plugin that a file or directory of the plugin folder holds, or ``None`` if it is none."""
    if is_temporary(entry.name):
        return None
    kind, shown = SourceKind.FILE, entry.stem
    try:
        if entry.is_dir():
            kind, shown = SourceKind.PACKAGE, entry.name
            if not (entry / "__init__.py").is_file():
                if not (entry / MANIFEST_FILE).is_file():
                    return None
                raise PluginLoadError(shown, "the directory has no `__init__.py`.")
        elif entry.suffix != ".py":
            return None
        manifest = _read_manifest(entry, shown)
        check_name(manifest.name)
        return PluginSource(manifest.name, kind, entry, manifest, hash_source(entry))
    except PluginError as error:
        name = shown if re.match(NAME_PATTERN, shown) else _printable(shown)
        return PluginSource(name, kind, entry, None, _hash_or_nothing(entry), error)
    except OSError as exc:
        reason = f"{entry.name} cannot be read: {exc.strerror}."
        return PluginSource(
            _printable(entry.stem), SourceKind.FILE, entry, None, "", PluginLoadError(entry.stem, reason)
        )


def flag_conflicts(sources: Iterable[PluginSource]) -> list[PluginSource]:
    """Keep the first source of each name as it is and give every later one a conflict error."""
    kept: dict[str, PluginSource] = {}
    result = []
    for source in sources:
        first = kept.setdefault(source.name, source)
        if first is not source:
            source = _conflicting(source, first)
        result.append(source)
    return result


def _conflicting(source: PluginSource, first: PluginSource) -> PluginSource:
    error = PluginConflictError(
        source.name,
        f"{source.path} and {first.path} both hold a plugin of this name; the first one stays.",
        mend="Rename one of them in its manifest, or remove it.",
    )
    return PluginSource(source.name, source.kind, source.path, None, source.hash, error)


def check_name(name: str) -> None:
    """Raise unless a plugin may have this name.

    Raises:
        PluginManifestError: It does not fit the pattern, is reserved, or is a module of the standard library.
    """
    if not re.match(NAME_PATTERN, name) or name.endswith("\n"):
        raise PluginManifestError(
            _printable(name),
            "the name is not allowed.",
            mend="Use lower-case letters, digits and `_`, beginning with a letter, at most 64 characters.",
        )
    if name in sys.stdlib_module_names or name in RESERVED_NAMES:
        raise PluginManifestError(
            name, "the name is taken by Python's standard library or by the kernel.", mend="Choose another name."
        )


def hash_source(path: Path) -> str:
    """Return the SHA-256 (hex) of a file, or of all files of a directory that can matter."""
    digest = hashlib.sha256()
    if not path.is_dir():
        digest.update(path.read_bytes())
        return digest.hexdigest()
    for number, file in enumerate(_files(path)):
        if number >= _MOST_FILES:
            break
        status = file.stat()
        digest.update(f"\0{file.relative_to(path)}\0{status.st_size}\0".encode(errors="replace"))
        digest.update(file.read_bytes() if status.st_size <= _HASHED_WHOLE else str(status.st_mtime_ns).encode())
    return digest.hexdigest()


def _files(directory: Path) -> Iterator[Path]:
    for entry in sorted(directory.iterdir()):
        if entry.name == "__pycache__" or entry.name.startswith(".") or entry.suffix == ".pyc":
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _files(entry)
        elif entry.is_file():
            yield entry


def _hash_or_nothing(path: Path) -> str:
    try:
        return hash_source(path)
    except OSError:
        return ""


def _printable(text: str) -> str:
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text)[:64] or "?"


def _entry_point_source(name: str, value: str, prefix: str) -> PluginSource:
    module, _, attribute = (part.strip() for part in value.partition(":"))
    attribute = attribute.partition("[")[0].strip()
    path = Path(module)
    try:
        check_name(name)
        located = locate_module(module)
        if located is None:
            raise PluginLoadError(
                name, f"its entry point names the module {module!r}, which is not there.", mend="Reinstall its package."
            )
        path = located
        manifest = _read_manifest(path, name, default=name)
        if manifest.name != name:
            raise PluginManifestError(
                name,
                f"the entry point calls it {name!r}, its manifest {manifest.name!r}.",
                mend="Give both the same name.",
            )
        hashed = locate_module(prefix) or path
        return PluginSource(
            name, SourceKind.ENTRY_POINT, path, manifest, hash_source(hashed), None, module, attribute, prefix
        )
    except PluginError as error:
        return PluginSource(name, SourceKind.ENTRY_POINT, path, None, _hash_or_nothing(path), error, module, attribute)
    except (OSError, ValueError, ImportError) as exc:
        failure = PluginLoadError(name, f"its module {module!r} cannot be looked up: {exc}.")
        return PluginSource(name, SourceKind.ENTRY_POINT, path, None, "", failure, module, attribute)


def _prefix(module: str, modules: Sequence[str]) -> str:
    """Return the topmost package around ``module`` in which no other plugin lives."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        candidate = ".".join(parts[:length])
        is_shared = any(other != module and f"{other}.".startswith(f"{candidate}.") for other in modules)
        if not is_shared and candidate not in _NEVER_PURGED:
            return candidate
    return module


def locate_module(module: str) -> Path | None:
    """Return the file of a module or the directory of a package, without importing even its parents."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    locations = [Path(location) for location in spec.submodule_search_locations or ()]
    if not rest:
        if locations:
            return locations[0]
        return Path(spec.origin) if spec.origin else None
    *parents, last = rest
    for parent in parents:
        locations = [location / parent for location in locations if (location / parent).is_dir()]
    for location in locations:
        if (location / last / "__init__.py").is_file():
            return location / last
        if (location / f"{last}.py").is_file():
            return location / f"{last}.py"
    return None


def _read_manifest(path: Path, shown: str, *, default: str = "") -> PluginManifest:
    """Read the manifest of a file or package: its own TOML file, or the block in its source."""
    source_file = path / "__init__.py" if path.is_dir() else path
    toml = path / MANIFEST_FILE if path.is_dir() else None
    try:
        if toml is not None and toml.is_file():
            return parse_manifest(toml.read_text(encoding="utf-8"), name=default or shown, default_name=True)
        source = source_file.read_text(encoding="utf-8") if source_file.is_file() else ""
        if default and not path.is_dir() and _HEADER_START not in source:
            beside = path.parent / MANIFEST_FILE
            if beside.is_file():
                return parse_manifest(beside.read_text(encoding="utf-8"), name=default, default_name=True)
    except UnicodeDecodeError as exc:
        raise PluginManifestError(_printable(shown), f"{path.name} is no UTF-8 text: {exc.reason}.") from exc
    if not default and _HEADER_START not in source:
        check_name(shown)  # says what is wrong with the file's name, rather than with a manifest nobody wrote
    return manifest_from_source(source, name=default or shown)
