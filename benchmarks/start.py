"""Start to ready with the default plugins: goal 18."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from servers import TOKEN, free_port, started
from table import Row

FLOOR = "import fastapi, uvicorn, aiohttp, sqlmodel"


def run(runs: int) -> list[Row]:
    """Measure first starts (an empty data directory) and later ones, beside importing the libraries alone."""
    first, later, imports = [], [], []
    for _ in range(max(3, runs)):
        with tempfile.TemporaryDirectory() as name:
            first.append(seconds_to_ready(Path(name)))
            later.append(seconds_to_ready(Path(name)))
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", FLOOR], check=True)
        imports.append(time.perf_counter() - began)
    bare = statistics.median(imports)
    return [
        Row("18", "start to ready", statistics.median(later), None, "s", 1.5, 0.8),
        Row("18", "first start to ready, database made", statistics.median(first), None, "s", 1.5, 0.8),
        Row("", "start to ready beside importing its libraries", statistics.median(later), bare, "s", 3, 2),
    ]


def seconds_to_ready(folder: Path) -> float:
    """Start our server once."""
    port = free_port()
    command = [
        sys.executable, "-m", "iskra", "serve", "--port", str(port), "--data-dir", str(folder), "--quiet",
        "--workspace", str(folder),
    ]  # fmt: skip
    began = time.perf_counter()
    with started(command, f"http://127.0.0.1:{port}/ready", {**os.environ, "ISKRA_TOKEN": TOKEN}):
        return time.perf_counter() - began
