"""The native API of approvals."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query

from iskra.http.inputs import DecisionInput
from iskra.http.routing import JSONAnswer, needs, principal_of
from iskra.http.wire import approval_wire
from iskra.kernel import Kernel
from iskra_sdk.approval import ApprovalState
from iskra_sdk.ids import ApprovalId
from iskra_sdk.principal import Principal

Caller = Annotated[Principal, Depends(principal_of)]
_State = Literal["open", "approved", "denied", "expired", "cancelled", "all"]


def add_approval_routes(router: APIRouter, kernel: Kernel) -> None:
    """Add the routes."""
    reads, decides = needs("approvals:read"), needs("approvals:decide")

    @router.get("/api/v1/approvals", openapi_extra=reads, tags=["approvals"])
    async def list_approvals(
        caller: Caller, state: _State = "open", limit: Annotated[int, Query(ge=1, le=200)] = 100
    ) -> JSONAnswer:
        """List approval requests, newest first."""
        wanted = None if state == "all" else ApprovalState(state)
        requests = await kernel.approvals.list(caller, state=wanted, limit=limit)
        return JSONAnswer({"data": [approval_wire(request) for request in requests]})

    @router.get("/api/v1/approvals/{approval_id}", openapi_extra=reads, tags=["approvals"])
    async def get_approval(caller: Caller, approval_id: str) -> JSONAnswer:
        """Read an approval request."""
        return JSONAnswer(approval_wire(await kernel.store.approval(caller, ApprovalId(approval_id))))

    @router.post("/api/v1/approvals/{approval_id}/decision", openapi_extra=decides, tags=["approvals"])
    async def decide(caller: Caller, approval_id: str, given: DecisionInput) -> JSONAnswer:
        """Approve or deny a request, once. With `arguments` the call is approved with those instead.

        `remember` accepts the rule that was offered with the request (`offers_rule`).
        """
        request = await kernel.approvals.decide(
            caller,
            ApprovalId(approval_id),
            approve=given.decision == "approve",
            remark=given.remark,
            arguments=given.arguments,
            remember=given.remember,
        )
        return JSONAnswer(approval_wire(request))
