"""Why a block or a change of a block is refused."""

from collections.abc import Sequence

from iskra_sdk.errors import BadInputError, ConflictError


class BlockSchemaError(BadInputError):
    """What was sent is no SIFT block; the facts list each path with its problem."""

    code = "sift_schema"
    http_status = 422

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        listing = "; ".join(f"{path or '/'}: {problem}" for path, problem in problems[:5])
        super().__init__(
            f"The SIFT block does not fit its schema: {listing}.",
            facts={"problems": [{"path": path, "problem": problem} for path, problem in problems[:20]]},
        )


class InjectionBoundError(BadInputError):
    """An injection asks for more than its kind allows, or for something that it never may do.

    Attributes:
        bound: Name of the bound, e.g. ``paradox_seeds``.
    """

    code = "sift_bound"
    http_status = 422

    def __init__(self, bound: str, message: str, *, mend: str = "") -> None:
        super().__init__(f"Bound {bound!r}: {message}", mend=mend, facts={"bound": bound})
        self.bound = bound


class OverlappingEditError(ConflictError):
    """What an injection changed was changed again, so it cannot be taken back alone.

    Attributes:
        paths: JSON Pointers that changed since.
        later: Ids of later injections that stand on this one.
    """

    code = "sift_overlap"

    def __init__(self, intervention_id: str, *, paths: Sequence[str] = (), later: Sequence[str] = ()) -> None:
        reason = f"later injections: {', '.join(later)}" if later else f"later edits of {', '.join(paths)}"
        super().__init__(
            f"The injection {intervention_id!r} cannot be reverted because of {reason}.",
            mend="Revert the later ones first." if later else "Restore these paths, or keep the injection.",
            facts={"intervention_id": intervention_id, "paths": list(paths), "later": list(later)},
        )
        self.paths = tuple(paths)
        self.later = tuple(later)
