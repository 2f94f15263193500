"""``/api/v1/chaos/faults``: let faults loose on this server, keep them alive, and see what they did."""

from typing import Annotated

from fastapi import FastAPI, Path, Request
from pydantic import BaseModel

from iskra_chaos.api.access import caller, require_level
from iskra_chaos.api.refusal import REFUSED
from iskra_chaos.faults.models import FaultLease, FaultRequest
from iskra_chaos.faults.vocabulary import VOCABULARY
from iskra_chaos.parts import ChaosParts
from iskra_sdk.errors import PermissionDeniedError

_Id = Annotated[str, Path(max_length=100)]


class FaultList(BaseModel):
    """Faults, newest first; those that ended stay for an hour."""

    faults: list[FaultLease]


class FaultTurns(BaseModel):
    """Turns in which a fault was observed.

    Attributes:
        turns: Their ids, in the order in which they were first met.
        is_complete: Whether these are all: not for points that do not know turns, for more than 10,000, or once the
            fault has ended.
    """

    turns: list[str]
    is_complete: bool


def fault_app(parts: ChaosParts) -> FastAPI:
    """Return the application; its mount asks for ``chaos:read``, each route for ``chaos:advanced``."""
    app = FastAPI(title="Faults", openapi_url=None, docs_url=None, redoc_url=None)
    board = parts.board

    def operator(request: Request) -> None:
        require_level(caller(request), "advanced", second_factor=parts.settings.second_factor)

    @app.post("", tags=["chaos"], status_code=201, responses=REFUSED)
    async def add_fault(request: Request, body: FaultRequest) -> FaultLease:
        """Let a fault loose, for `ttl` seconds or as long as heartbeats come."""
        operator(request)
        if not parts.settings.faults:
            raise PermissionDeniedError(
                "Faults are switched off on this server.", mend="Set `faults = true` for the plugin `chaos`."
            )
        parts.stop.require_released()
        parts.experiment_lock.require_unlocked()
        principal = caller(request)
        if not (body.experiment and board.has_experiment(body.experiment, principal.id)):
            parts.limits.admit(principal.id)
        parts.clearing.clear_fault(principal, body)
        fault = board.add(body, principal.id)
        await parts.refresh.in_place()
        await parts.context.audit(
            "fault", principal=principal, target=fault.id, data={"point": str(fault.point), "kind": fault.kind.name}
        )
        return FaultLease.of(fault)

    @app.get("", tags=["chaos"])
    async def list_faults(request: Request) -> FaultList:
        """See faults and their counters."""
        operator(request)
        return FaultList(faults=[FaultLease.of(fault) for fault in board.faults()])

    @app.get("/vocabulary", tags=["chaos"])
    async def vocabulary(request: Request) -> dict[str, object]:
        """See which faults there are at each point, with their parameters."""
        operator(request)
        return {
            str(point): {
                name: {"does": kind.about, "parameters": kind.parameters.model_json_schema()}
                for name, kind in kinds.items()
            }
            for point, kinds in VOCABULARY.items()
        }

    @app.post("/{fault_id}/heartbeat", tags=["chaos"])
    async def heartbeat(request: Request, fault_id: _Id) -> FaultLease:
        """Keep a fault alive for three more seconds."""
        operator(request)
        return FaultLease.of(board.heartbeat(fault_id))

    @app.get("/{fault_id}/turns", tags=["chaos"])
    async def list_turns(request: Request, fault_id: _Id) -> FaultTurns:
        """See the turns in which an active fault at model calls or tools was observed."""
        operator(request)
        fault = board.get(fault_id)
        return FaultTurns(turns=list(fault.turns), is_complete=fault.knows_all_turns)

    @app.delete("/{fault_id}", tags=["chaos"])
    async def clear_fault(request: Request, fault_id: _Id) -> FaultLease:
        """End a fault; one that has ended stays as it is."""
        operator(request)
        fault = board.clear(fault_id)
        await parts.refresh.in_place()
        return FaultLease.of(fault)

    return app
