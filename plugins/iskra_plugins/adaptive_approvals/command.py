"""``iskra learned-rules``: lists, accepts and takes back learned rules from the terminal."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from iskra_plugins.adaptive_approvals.routes import PATH
from iskra_sdk.errors import IskraError

if TYPE_CHECKING:
    from iskra_sdk.client import IskraClient

_USAGE = "iskra learned-rules [list | accept ID | revoke ID]"


def learned_rules(arguments: Sequence[str]) -> int:
    """Run the command and return the exit status."""
    match list(arguments) or ["list"]:
        case ["list"]:
            return _reached(_list)
        case ["accept", rule_id]:
            return _reached(lambda client: _done(client.request("POST", f"{PATH}/{rule_id}/accept"), "In force"))
        case ["revoke", rule_id]:
            return _reached(lambda client: _done(client.request("DELETE", f"{PATH}/{rule_id}"), "Taken back"))
        case _:
            print(f"usage: {_USAGE}", file=sys.stderr)
            return 2


def _reached(work: Any) -> int:
    from iskra_sdk.client import IskraClient  # the server imports this module too, and has no use for the client

    try:
        with IskraClient() as client:
            work(client)
    except IskraError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def _list(client: "IskraClient") -> None:
    found: Any = client.request("GET", f"{PATH}/")
    for rule in found["data"]:
        silent = ", learned silently" if rule["silent"] else ""
        print(f"{rule['id']}  allows until {rule['expires_at'][:10]}{silent}: {rule['calls']}")
    for offer in found["offers"]:
        print(f"{offer['id']}  offered: {offer['calls']}")
    if not found["data"] and not found["offers"]:
        print("Nothing is learned, and nothing is offered.")


def _done(rule: Any, what: str) -> None:
    print(f"{what}: {rule.get('calls') or rule['id']}")
