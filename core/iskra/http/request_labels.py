"""The labels that a client gives a request: shown to interceptors, e.g. to experiments; no permission rests on them."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from iskra.http.exchange import Exchange
from iskra_sdk.errors import BadInputError

LABELS_HEADER = b"x-iskra-labels"
MOST_LABELS = 8
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def _is_label(text: str) -> str:
    if _LABEL.fullmatch(text) is None:
        raise ValueError("a label has at most 64 letters, digits, dots, dashes and underscores")
    return text


Labels = Annotated[list[Annotated[str, AfterValidator(_is_label)]], Field(max_length=MOST_LABELS)]
"""The labels of a turn in a body."""


def request_labels(exchange: Exchange) -> frozenset[str]:
    """Return the labels in the header ``X-Iskra-Labels``, which are separated by commas.

    Raises:
        BadInputError: They are too many, or one is no label.
    """
    given = exchange.header(LABELS_HEADER)
    if not given:
        return frozenset()
    labels = frozenset(part.strip() for part in given.split(",")) - {""}
    if len(labels) > MOST_LABELS or not all(map(_LABEL.fullmatch, labels)):
        raise BadInputError(
            "The header X-Iskra-Labels does not hold labels.",
            mend=f"Send at most {MOST_LABELS}, separated by commas, each of at most 64 letters, digits, `.`, `-`, `_`.",
        )
    return labels


def with_labels(exchange: Exchange, options: Mapping[str, object]) -> dict[str, object]:
    """Return the options of a turn with the labels of its request; those that the body gives stay."""
    labels = request_labels(exchange)
    return {**options, "labels": sorted(labels)} if labels else dict(options)
