import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import iskra

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "iskra",
    "iskra_agents",
    "iskra_chaos",
    "iskra_metrics",
    "iskra_monitoring",
    "iskra_plugins",
    "iskra_sdk",
    "iskra_voices",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The names of the files inside a freshly built wheel."""
    builder = WheelBuilder(str(ROOT))
    (path,) = builder.build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    with zipfile.ZipFile(path) as archive:
        return frozenset(archive.namelist())


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_holds_each_package_with_its_types(wheel: frozenset[str], package: str) -> None:
    assert {f"{package}/__init__.py", f"{package}/py.typed"} <= wheel


def test_the_wheel_holds_every_page_of_the_docs(wheel: frozenset[str]) -> None:
    pages = {f"iskra/packaged_docs/{page.relative_to(ROOT / 'docs').as_posix()}" for page in ROOT.glob("docs/**/*.md")}
    assert pages <= wheel


def test_the_wheel_holds_nothing_else(wheel: frozenset[str]) -> None:
    top_level = {name.partition("/")[0] for name in wheel}
    assert top_level - {name for name in top_level if name.endswith(".dist-info")} == set(PACKAGES)


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == iskra.__version__
