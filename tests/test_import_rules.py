import ast
import sys
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parent.parent
SDK = ROOT / "sdk" / "iskra_sdk"
SDK_MODULES = sorted(SDK.rglob("*.py"))

# pydantic_core is the compiled half of pydantic.
SDK_MAY_IMPORT = sys.stdlib_module_names | {"iskra_sdk", "pluggy", "pydantic", "pydantic_core"}


class ImportCollector(ast.NodeVisitor):
    """Collects the packages a module imports when it runs; imports for type checkers alone do not count."""

    def __init__(self) -> None:
        self.packages: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.packages.update(alias.name.partition(".")[0] for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and node.module is not None:
            self.packages.add(node.module.partition(".")[0])


def imported_packages(module: Path) -> set[str]:
    collector = ImportCollector()
    collector.visit(ast.parse(module.read_text(encoding="utf-8")))
    return collector.packages


@pytest.mark.parametrize("module", SDK_MODULES, ids=lambda path: path.relative_to(SDK).as_posix())
def test_the_sdk_imports_only_what_every_plugin_author_has(module: Path) -> None:
    allowed = SDK_MAY_IMPORT
    if module.relative_to(SDK).parts[0] in ("client", "client.py"):
        allowed = allowed | {"httpx"}
    assert imported_packages(module) <= allowed


def test_the_import_rules_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    assert status == EXIT_STATUS_SUCCESS, "run `make imports` to see which rule was broken"
