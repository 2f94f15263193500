import re
import tomllib

import pytest
from packaging.requirements import Requirement

from markdown_pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGE = ROOT / "docs" / "explanation" / "dependencies.md"
REQUIREMENTS = [
    *PROJECT["dependencies"],
    *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
]


@pytest.mark.parametrize("line", sorted(set(REQUIREMENTS)))
def test_each_dependency_is_explained_with_its_bound(line: str) -> None:
    requirement = Requirement(line)
    row = rf"^\| `{re.escape(requirement.name)}` \| `{re.escape(str(requirement.specifier))}` \| .+ \| .+ \|$"
    assert re.search(row, PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def test_only_dependencies_are_explained() -> None:
    explained = set(re.findall(r"^\| `([\w.-]+)` \| `>=", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert explained == {Requirement(line).name for line in REQUIREMENTS}


@pytest.mark.parametrize("line", sorted(set(REQUIREMENTS)))
def test_each_dependency_has_a_lower_bound(line: str) -> None:
    assert [specifier.operator for specifier in Requirement(line).specifier] == [">="]
