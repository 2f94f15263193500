"""Functions that the experiment files of the tests call."""

import json
import threading
import time
import urllib.request
from typing import Any

__all__ = ["echo", "exit_at_once", "explode", "hang", "is_even", "leak", "order_count", "seen_secrets", "slowly"]


def echo(value: object) -> object:
    return value


def is_even(value: int) -> bool:
    return value % 2 == 0


def order_count(base: str) -> int:
    with urllib.request.urlopen(f"{base}/value/orders", timeout=5) as answer:  # noqa: S310 - the address of the test
        return int(json.load(answer)["value"] or 12)


def explode(text: str = "boom") -> None:
    raise RuntimeError(text)


def exit_at_once() -> None:
    raise SystemExit(3)


def hang() -> None:
    threading.Event().wait()


async def slowly() -> None:
    raise TimeoutError("the function's own")


def leak(secrets: dict[str, Any], configuration: dict[str, Any]) -> dict[str, Any]:
    return {"secrets": secrets, "configuration": configuration, "at": time.time()}


def seen_secrets(secrets: dict[str, Any]) -> list[str]:
    return sorted(secrets)


def not_offered() -> str:
    return "never"
