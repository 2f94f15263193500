"""Changes of a block as JSON Patches (RFC 6902), there and back."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from iskra_sdk.errors import BadInputError

if TYPE_CHECKING:
    from jsonpointer import JsonPointer

Operation = Mapping[str, Any]


def diff(before: object, after: object) -> list[dict[str, Any]]:
    """Return a patch that makes ``after`` of ``before``; ``1``, ``1.0`` and ``true`` are three values."""
    from jsonpatch import make_patch  # the import takes longer than the whole package may at server start

    return [dict(operation) for operation in make_patch(before, after).patch]


def apply(document: Any, patch: Sequence[Operation]) -> Any:
    """Return what the patch makes of a JSON document; the document itself stays as it is.

    Raises:
        BadInputError: An operation is malformed, or does not fit the document.
    """
    from jsonpatch import JsonPatchException, JsonPointerException, apply_patch

    try:
        return apply_patch(document, patch)
    except (JsonPatchException, JsonPointerException) as exc:
        raise BadInputError(f"The patch does not fit the document: {exc}") from exc


def value_at(document: object, path: str) -> tuple[bool, object]:
    """Return whether a JSON Pointer leads anywhere in a document, and what is there."""
    from jsonpointer import JsonPointerException

    try:
        return True, _pointer(path).resolve(document)
    except JsonPointerException:
        return False, None


def is_below(path: str, roots: Sequence[str]) -> bool:
    """Tell whether a JSON Pointer is one of ``roots`` or leads into one."""
    steps = path.split("/")
    return any(steps[: len(root.split("/"))] == root.split("/") for root in roots)


def _pointer(path: str) -> "JsonPointer":
    from jsonpointer import JsonPointer

    return JsonPointer(path)
