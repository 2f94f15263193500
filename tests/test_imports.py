"""What is imported at start, and what only at need: modules that nobody imports at start are imported here."""

import json
import subprocess
import sys

import pytest

PACKAGES = ("iskra_sdk", "iskra", "iskra_agents", "iskra_plugins", "iskra_metrics", "iskra_voices", "iskra_chaos")

IMPORT_ALL = """
import importlib, json, pkgutil, sys
package = importlib.import_module(sys.argv[1])
failures, names = {}, [sys.argv[1]]
walk = pkgutil.walk_packages(package.__path__, sys.argv[1] + ".", lambda name: failures.setdefault(name, "broken"))
for module in walk:
    if module.name.rpartition(".")[2] == "__main__" or ".migrations." in module.name:
        continue
    names.append(module.name)
    try:
        importlib.import_module(module.name)
    except Exception as error:
        failures[module.name] = repr(error)
json.dump({"names": names, "failures": failures}, sys.stdout)
"""

IMPORT_SERVER = "import iskra.server, json, sys; json.dump(sorted(sys.modules), sys.stdout)"

AT_NEED = frozenset(
    {"aiohttp", "alembic", "httpx", "openai", "packaging", "rich", "sqlalchemy", "sqlmodel", "websockets"}
)
"""Heavy libraries that a server that just started has no use for."""


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_can_be_imported(package: str) -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL, package], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["failures"] == {}
    assert len(found["names"]) > 5


def test_the_server_starts_without_libraries_that_it_does_not_need_yet() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_SERVER], capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert imported & AT_NEED == set()
