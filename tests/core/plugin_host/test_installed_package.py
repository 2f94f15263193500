"""A third-party package is installed with pip and found by its entry point, from outside."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint, PathDistribution
from pathlib import Path

import pytest

from iskra.plugin_host import PluginState
from plugin_workshop import workshop

EXAMPLE = Path(__file__).parents[2] / "example_plugin"

PROGRAM = """
import asyncio, json, sys, time
from pathlib import Path
from iskra.event_bus import InProcessEventBus
from iskra.interceptors import Points
from iskra.plugin_host import PluginHost
from iskra.settings import Settings
from iskra_sdk.clock import SystemClock
from iskra_sdk.testing import MemoryStore

async def main():
    points = Points()
    settings = Settings(data_dir=Path(sys.argv[1]), plugins={"settings": {"dice": {"sides": 2}}})
    host = PluginHost(
        settings, store=MemoryStore(), bus=InProcessEventBus(points), points=points, clock=SystemClock(), watch=False
    )
    await host.start()
    status = host.get("dice")
    with host.lease() as lease:
        rolled = await lease.catalog.tools["roll_dice"].value.run({"count": 50})
    receipt = await host.reload("dice")
    await host.aclose()
    print(json.dumps({
        "state": status.state, "source": status.source, "error": str(status.error), "rolled": rolled.data,
        "generation": receipt.new_generation, "verdict": receipt.verdict, "leaked": dict(receipt.leaked),
        "others": [other.name for other in host.list()],
    }))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example package installed in it."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    shutil.copytree(EXAMPLE, source)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
            *("--disable-pip-version-check", "--target", str(folder / "site"), str(source)),
        ],
        check=True,
        timeout=100,
    )
    return folder / "site"


def test_the_server_finds_an_installed_package_by_itself(site: Path, tmp_path: Path) -> None:
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["state"] == "running", report["error"]
    assert report["source"] == "entry_point"
    assert set(report["rolled"]) == {1, 2}
    assert (report["generation"], report["verdict"]) == (2, "clean"), report["leaked"]
    assert "agents" in report["others"]


def installed_entry_points(site: Path) -> list[EntryPoint]:
    (metadata,) = site.glob("iskra_dice-*.dist-info")
    return list(PathDistribution(metadata).entry_points.select(group="iskra.plugins"))


async def test_its_entry_point_manifest_and_settings_are_read(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(site))
    points = installed_entry_points(site)
    async with workshop(tmp_path, entry_points=points) as shop:
        status = shop.host.get("dice")
        assert status.state is PluginState.RUNNING
        assert (status.version, status.settings) == ("1.0.0", {"sides": 6})
        assert status.offers == {"agents": ["dice"], "tools": ["roll_dice"]}
        await shop.host.configure("dice", {"sides": 1000})
        assert shop.host.get("dice").settings == {"sides": 1000}
    assert "iskra_dice" not in sys.modules
