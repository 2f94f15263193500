"""Lists, accepts and takes back learned rules over HTTP."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from iskra_plugins.adaptive_approvals.advisor import Learner
from iskra_plugins.adaptive_approvals.ledger import LearnedRule
from iskra_sdk import Principal
from iskra_sdk.errors import NotFoundError, PermissionDeniedError
from iskra_sdk.routes import DeferredApp, PluginRoutes

PATH = "/api/v1/learned-rules"


def learned_rule_routes(learner: Learner) -> PluginRoutes:
    """Return the routes; a caller reaches their own rules, an admin with ``?user=`` anybody's."""
    app = DeferredApp(lambda: _app(learner))
    return PluginRoutes(PATH, app, "approvals:decide", openapi=app.openapi)


def _app(learner: Learner) -> FastAPI:
    app = FastAPI(title="Learned rules", openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/", tags=["approvals"])
    async def list_learned_rules(request: Request, user: str | None = None) -> JSONResponse:
        """List rules in force, and those that are offered."""
        owner = _owner(request, user)
        rules = [_wire(rule) for rule in learner.in_force(owner)]
        offers = [{"id": shape_id, "calls": text} for shape_id, text in learner.offered(owner).items()]
        return JSONResponse({"data": rules, "offers": offers})

    @app.post("/{rule_id}/accept", tags=["approvals"])
    async def accept_learned_rule(request: Request, rule_id: str) -> JSONResponse:
        """Accept an offered rule."""
        rule = await learner.accept(_caller(request), rule_id)
        if rule is None:
            raise NotFoundError(f"No rule {rule_id!r} is offered to you.", mend="The list shows what is offered.")
        return JSONResponse(_wire(rule))

    @app.delete("/{rule_id}", tags=["approvals"])
    async def revoke_learned_rule(request: Request, rule_id: str, user: str | None = None) -> JSONResponse:
        """Take a rule back; calls like it ask again."""
        if not await learner.revoke(_caller(request), rule_id, user=_owner(request, user)):
            raise NotFoundError(f"There is no rule {rule_id!r} in force.", mend="The list shows those in force.")
        return JSONResponse({"id": rule_id, "revoked": True})

    return app


def _caller(request: Request) -> Principal:
    principal: Principal = request.scope["state"]["principal"]
    return principal


def _owner(request: Request, user: str | None) -> str:
    principal = _caller(request)
    if user is not None and user != principal.id and not principal.is_admin:
        raise PermissionDeniedError("Only an admin sees the rules of others.", mend="Leave `user` out.")
    return user or principal.id


def _wire(rule: LearnedRule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "tool": rule.tool,
        "calls": rule.text,
        "created_at": rule.created_at.isoformat(),
        "expires_at": rule.expires_at.isoformat(),
        "silent": rule.is_silent,
    }
