"""What probes may look at while an experiment runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from iskra_sdk.client import AsyncIskraClient

if TYPE_CHECKING:
    from iskra_chaos.experiments.fault_leases import Lease
    from iskra_chaos.experiments.load import LoadRun


@dataclass(slots=True)
class RunContext:
    """Given to a function that has a parameter ``run_context``.

    Attributes:
        client: Talks to the server under test.
        load: The load block's requests so far; ``None`` before it has started.
        faults: By title, those that were asked for so far.
        headers: Of every request to the server, with the token.
    """

    client: AsyncIskraClient
    load: "LoadRun | None" = None
    faults: dict[str, "Lease"] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
