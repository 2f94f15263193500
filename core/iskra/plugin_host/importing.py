"""Imports a plugin's code so that each generation has modules of its own."""

import contextlib
import importlib
import itertools
import linecache
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from types import CodeType, ModuleType
from weakref import WeakValueDictionary

from iskra.plugin_host.discovery import PluginSource, SourceKind

MODULE_PREFIX = "_iskra_plugin_"
"""Folder plugins are imported as ``_iskra_plugin_<name>_<number>``, a new number each time."""

_numbers = itertools.count(1)


class _FreshLoader(SourceFileLoader):
    """Compiles the source as it is now.

    Bytecode files are told apart by the source's size and whole seconds: two saves within a second can look alike.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class FreshFinder(MetaPathFinder):
    """Finds the modules of plugins that are loaded again, past the bytecode cache."""

    def __init__(self) -> None:
        self._prefixes: frozenset[str] = frozenset()

    def cover(self, prefix: str) -> None:
        """Load ``prefix`` and the modules below it from their source from now on."""
        self._prefixes |= {prefix}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(MODULE_PREFIX) and not _is_below(fullname, self._prefixes):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _FreshLoader(spec.loader.name, spec.loader.path)
            spec.cached = None
        return spec

    def install(self) -> None:
        """Put the finder before Python's own."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Take it away again."""
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)


def _is_below(name: str, prefixes: frozenset[str]) -> bool:
    while name:
        if name in prefixes:
            return True
        name = name.rpartition(".")[0]
    return False


class ImportedPlugin:
    """The imported modules of one generation.

    Attributes:
        prefix: Name of the plugin's topmost module.
        plugin: The object with the hook implementations.
    """

    def __init__(self, prefix: str, plugin: object, replaced: dict[str, ModuleType]) -> None:
        self.prefix = prefix
        self.plugin = plugin
        self._replaced = replaced
        self._modules = modules_below(prefix)
        self._before = _latest.get(prefix)
        if self._before is not None:
            self._before.keep(replaced)
        _latest[prefix] = self

    def keep(self, modules: Mapping[str, ModuleType]) -> None:
        """Know what it had imported by the time that another generation took its place.

        What is imported under these names from then on is the other's.
        """
        self._modules = {**modules, **self._modules}

    @property
    def modules(self) -> dict[str, ModuleType]:
        """All its modules, those it imported later included."""
        if _latest.get(self.prefix) is self:
            for name, module in modules_below(self.prefix).items():
                if name not in self._modules and name not in self._replaced:
                    self._modules[name] = module
        return self._modules

    def undo(self) -> None:
        """Put the modules of the generation before back, because this one is not used after all."""
        remove_modules(self.modules)
        restore_modules(self._replaced)
        self._replaced = {}
        if self._before is not None and _latest.get(self.prefix) is self:
            _latest[self.prefix] = self._before
        self._before = None

    def forget_replaced(self) -> None:
        """Let go of the modules of the generation before: this one is in use."""
        self._replaced = {}
        self._before = None

    def remove(self) -> None:
        """Take the modules out of ``sys.modules``, unless a later generation has replaced them there."""
        remove_modules(self.modules)


_latest: WeakValueDictionary[str, ImportedPlugin] = WeakValueDictionary()
"""Of each prefix the generation that was imported last: new modules below it are its own."""


def modules_below(prefix: str) -> dict[str, ModuleType]:
    """Return the imported modules with a name at or below ``prefix``."""
    return {
        name: module
        for name, module in list(sys.modules.items())
        if (name == prefix or name.startswith(f"{prefix}.")) and isinstance(module, ModuleType)
    }


def remove_modules(modules: dict[str, ModuleType]) -> None:
    """Take modules out of ``sys.modules`` and out of their parent packages."""
    for name, module in modules.items():
        if sys.modules.get(name) is not module:
            continue
        del sys.modules[name]
        parent, _, child = name.rpartition(".")
        package = sys.modules.get(parent)
        if package is not None and getattr(package, child, None) is module:
            delattr(package, child)


def restore_modules(modules: dict[str, ModuleType]) -> None:
    """Put modules back where :func:`remove_modules` took them from."""
    for name, module in modules.items():
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            setattr(sys.modules[parent], child, module)


def import_plugin(source: PluginSource, finder: FreshFinder | None = None, *, again: bool = False) -> ImportedPlugin:
    """Import a plugin's code. Runs the plugin's module-level code, which may raise anything.

    Args:
        source: What to import.
        finder: Told which modules to load past the bytecode cache.
        again: The code was imported before and may have changed.
    """
    importlib.invalidate_caches()
    if source.kind is SourceKind.ENTRY_POINT:
        return _import_entry_point(source, finder, again=again)
    return _import_from_folder(source)


def _import_from_folder(source: PluginSource) -> ImportedPlugin:
    name = f"{MODULE_PREFIX}{source.name}_{next(_numbers)}"
    is_package = source.kind is SourceKind.PACKAGE
    file = str(source.path / "__init__.py" if is_package else source.path)
    linecache.checkcache(file)
    spec = spec_from_file_location(
        name,
        file,
        loader=_FreshLoader(name, file),
        submodule_search_locations=[str(source.path)] if is_package else None,
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python source")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        remove_modules(modules_below(name))
        raise
    return ImportedPlugin(name, module, {})


def _import_entry_point(source: PluginSource, finder: FreshFinder | None, *, again: bool) -> ImportedPlugin:
    replaced: dict[str, ModuleType] = {}
    if again:
        if finder is not None:
            finder.cover(source.prefix)
        replaced = modules_below(source.prefix)
        linecache.checkcache()
    remove_modules(replaced)
    try:
        module = importlib.import_module(source.module)
        plugin: object = module
        for part in filter(None, source.attribute.split(".")):
            plugin = getattr(plugin, part)
    except BaseException:
        remove_modules(modules_below(source.prefix))
        restore_modules(replaced)
        raise
    return ImportedPlugin(source.prefix, plugin, replaced)


def is_extension(module: ModuleType) -> bool:
    """Return whether a module is compiled code, which Python cannot load anew."""
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and file.endswith(tuple(EXTENSION_SUFFIXES))
