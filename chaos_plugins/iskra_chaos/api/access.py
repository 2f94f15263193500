"""Who may do what: the specification's levels as permissions, and the second factor as a claim."""

from typing import Literal

from fastapi import Request

from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.processes.process import ChaosProcess
from iskra_sdk.errors import NotFoundError, PermissionDeniedError
from iskra_sdk.principal import PermissionSpec, Principal

AccessLevel = Literal["basic", "intermediate", "advanced", "admin"]

READ = "chaos:read"
_LEVELS: tuple[AccessLevel, ...] = ("basic", "intermediate", "advanced", "admin")
SECOND_FACTOR = "mfa"

PERMISSIONS = (
    PermissionSpec(READ, "See chaos operations and conversation metrics."),
    PermissionSpec("chaos:basic", "Run micro_disturbance in one's own sessions."),
    PermissionSpec("chaos:intermediate", "Run all creative operations in one's own sessions, and analyse SIFT blocks."),
    PermissionSpec("chaos:advanced", "Inject faults, calibrate, and stop everything."),
    PermissionSpec("chaos:admin", "Release the emergency stop, unlock experiments, and mark sessions as sandboxes."),
)


def caller(request: Request) -> Principal:
    """Return who asks."""
    principal: Principal = request.scope["state"]["principal"]
    return principal


def has_level(principal: Principal, level: AccessLevel) -> bool:
    """Return whether a level, or a higher one, is granted."""
    return any(principal.may(f"chaos:{each}") for each in _LEVELS[_LEVELS.index(level) :])


def level_for(operation: OperationType) -> AccessLevel:
    """Return the least level that may run an operation in one's own sessions."""
    return "basic" if operation == "micro_disturbance" else "intermediate"


def shown(principal: Principal, process: ChaosProcess) -> ChaosProcess:
    """Return a process as somebody may see it: whole to its owner, without contents to others.

    Raises:
        NotFoundError: It does not exist for them.
    """
    if process.owner == principal.id:
        return process
    if not has_level(principal, "advanced"):
        raise NotFoundError(f"There is no chaos process {process.id!r}.", mend="List them: GET /api/v1/chaos/status.")
    return process.for_others


def require_level(principal: Principal, level: AccessLevel, *, second_factor: bool = False) -> None:
    """Raise unless a level is granted.

    Args:
        principal: Who asks.
        level: The least level.
        second_factor: The credential must carry the claim ``mfa``; its issuer vouches for it, a request cannot.

    Raises:
        PermissionDeniedError: The level or the claim is missing.
    """
    if not has_level(principal, level):
        raise PermissionDeniedError(
            f"This needs the permission 'chaos:{level}'.",
            mend="Ask an admin to grant it.",
            facts={"permission": f"chaos:{level}"},
        )
    if second_factor and SECOND_FACTOR not in principal.claims:
        raise PermissionDeniedError(
            "This needs a second factor, and the credential carries no such claim.",
            mend='Use a token whose user has `claims = ["mfa"]`.',
            facts={"claim": SECOND_FACTOR},
        )
