"""Proves on a real model that voices can be told apart: ``python benchmarks/voice_proof.py --url URL --token TOKEN``.

Sends the messages of ``data/voice_messages.json`` to every voice of a running server, trains a classifier on every
other answer and has it name the voices of the rest. Prints how often it was right (goal 80 %, chance 14 %) and how many
answers meet every demand of their voice (goal 90 %). Costs 7 answers per message, and a second where the first falls
short.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from iskra_sdk.message import Message
from iskra_voices.catalogue import SEVEN
from iskra_voices.policy import Policy
from iskra_voices.scene import scene_of
from iskra_voices.voice_classifier import GOAL_ACCURACY, GOAL_PASSING, prove

MESSAGES = Path(__file__).parent / "data" / "voice_messages.json"


def main() -> int:
    """Run the proof; the exit status is 0 if both goals are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("ISKRA_URL", "http://127.0.0.1:8700"))
    parser.add_argument("--token", default=os.environ.get("ISKRA_TOKEN", ""), help="of a user who may chat")
    parser.add_argument("--alias", default="", help="ask this router alias with the bare prompts, unchecked")
    parser.add_argument("--messages", type=int, default=40, help="how many messages each voice gets")
    parser.add_argument("--at-once", type=int, default=4, help="requests under way at a time")
    parser.add_argument("--save", type=Path, help="write the answers to this file, as JSON")
    given = parser.parse_args()
    messages: list[str] = json.loads(MESSAGES.read_text(encoding="utf-8"))[: given.messages]
    headers = {"Authorization": f"Bearer {given.token}"}
    answers: dict[str, list[str]] = {}
    with (
        httpx.Client(base_url=given.url, headers=headers, timeout=600) as client,
        ThreadPoolExecutor(given.at_once) as pool,
    ):
        for policy in SEVEN:
            answers[policy.name] = list(pool.map(partial(ask, client, policy, given.alias), messages))
            print(f"{policy.name}: {len(messages)} answers", file=sys.stderr)
    if given.save is not None:
        given.save.write_text(json.dumps(answers, ensure_ascii=False, indent=1), encoding="utf-8")
    return 0 if report(answers, messages) else 1


def ask(client: httpx.Client, policy: Policy, alias: str, text: str) -> str:
    """Return what a voice answers."""
    messages = [{"role": "user", "content": text}]
    body: dict[str, Any] = {"model": f"voice:{policy.name}", "messages": messages}
    if alias:
        system = {"role": "system", "content": policy.preamble}
        body = {"model": f"llm:{alias}", "messages": [system, *messages], **policy.parameters}
    response = client.post("/v1/chat/completions", json=body)
    response.raise_for_status()
    return str(response.json()["choices"][0]["message"]["content"])


def report(answers: dict[str, list[str]], messages: Sequence[str]) -> bool:
    """Print the figures and return whether the goals are met."""
    proof = prove(answers)
    print(f"named rightly: {proof.accuracy:.1%} of {proof.samples} (goal {GOAL_ACCURACY:.0%})")
    is_met = proof.accuracy >= GOAL_ACCURACY
    for policy in SEVEN:
        broken = [
            check.name
            for text, answer in zip(messages, answers[policy.name], strict=True)
            for check in policy.broken(answer, scene_of([Message.user(text)]))
        ]
        whole = sum(
            not policy.broken(answer, scene_of([Message.user(text)]))
            for text, answer in zip(messages, answers[policy.name], strict=True)
        )
        passing = whole / len(messages)
        is_met = is_met and passing >= GOAL_PASSING
        often = ", ".join(f"{name} {broken.count(name)}×" for name in sorted(set(broken), key=broken.count)[:-4:-1])
        named = proof.by_voice[policy.name]
        print(f"{policy.name:9} named {named:4.0%}, meets every demand {passing:4.0%}{f' ({often})' if often else ''}")
    return is_met


if __name__ == "__main__":
    raise SystemExit(main())
