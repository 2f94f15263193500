"""Runs an experiment file in a process of its own: ``run_experiment.py URL FILE JOURNAL``; prints the verdict."""

import asyncio
import sys
from pathlib import Path

from iskra_chaos.experiments.files.document import Experiment
from iskra_chaos.experiments.runner import Runner


async def main(url: str, file: str, journal: str) -> None:
    runner = Runner(url, "t", journal_path=Path(journal), heartbeat=0.2)
    print((await runner.run(Experiment.from_file(Path(file)))).verdict)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
