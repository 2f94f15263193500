"""Runs the benchmarks: ``python benchmarks/run.py [part ...] [--runs N]``."""

import argparse
import asyncio
import importlib
import sys
from collections.abc import Awaitable, Callable

from servers import UnavailableError
from table import Row, show

PARTS = {
    "start": "Start",
    "gateway": "Gateway: /v1/chat/completions to llm:default",
    "agent_turn": "Agent turn with one tool call, persisted",
    "reload": "Reload under load",
    "router": "Provider and router alone",
    "store": "Session store",
    "bus": "Event bus",
    "routing": "Routing: the agent for a message",
    "approvals_month": "Approvals that adapt: a month of work",
    "run_ahead": "Reads that are run ahead",
    "conversation_metrics": "Conversation metrics: stale, drifting, and how fast",
    "fault_points": "Fault points",
    "voices": "Voices: coordination and turns",
    "chaos_operations": "Chaos operations: start, stop, and circling tools",
    "ethics_review": "Ethics check: what it finds, what it refuses wrongly, and how fast",
    "creative_pairs": "Creative operations against plain answers and temperatures, in pairs",
    "sift_analysis": "SIFT blocks: building, analysis, injection",
    "resilience": "Resilience experiments R1 to R11 against a real server",
}


def main() -> int:
    """Run the parts asked for and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--runs", type=int, default=3, help="runs of each case; medians are shown")
    parser.add_argument("--list", action="store_true", help="name the parts")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if arguments.list:
        print("\n".join(f"{name}: {title}" for name, title in PARTS.items()))
        return 0
    for name in arguments.parts or PARTS:
        part: Callable[[int], list[Row] | Awaitable[list[Row]]] = importlib.import_module(name).run
        try:
            rows = part(arguments.runs)
            show(PARTS[name], asyncio.run(_awaited(rows)) if not isinstance(rows, list) else rows)
        except UnavailableError as exc:
            print(f"{PARTS[name]}: skipped, {exc}", file=sys.stderr)
    return 0


async def _awaited(rows: Awaitable[list[Row]]) -> list[Row]:
    return await rows


if __name__ == "__main__":
    raise SystemExit(main())
