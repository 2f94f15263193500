"""One spelling per JSON value, after RFC 8785 (JSON Canonicalization Scheme)."""

import json
import math
from decimal import Decimal

_LARGEST_PLAIN = 1e21  # ECMAScript writes larger numbers with an exponent


def canonical_json(value: object) -> str:
    """Return the one spelling of a JSON value: sorted keys, no spaces, numbers as ECMAScript writes them.

    ``1`` and ``1.0`` are one number and spelled alike, ``1`` and ``true`` are not. Unlike in RFC 8785, an integer
    beyond 2**53 keeps all of its digits.

    Raises:
        TypeError: Something in it is no JSON value.
        ValueError: It holds a NaN or an infinity.
    """
    parts: list[str] = []
    _spell(value, parts)
    return "".join(parts)


def _spell(value: object, parts: list[str]) -> None:
    if value is None or isinstance(value, bool):
        parts.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, str):
        parts.append(json.dumps(value, ensure_ascii=False))
    elif isinstance(value, int):
        parts.append(str(value))
    elif isinstance(value, float):
        parts.append(_number(value))
    elif isinstance(value, dict):
        _spell_object(value, parts)
    elif isinstance(value, (list, tuple)):
        parts.append("[")
        for position, item in enumerate(value):
            parts.append("," if position else "")
            _spell(item, parts)
        parts.append("]")
    else:
        raise TypeError(f"{type(value).__name__} is no JSON value")


def _spell_object(value: dict[object, object], parts: list[str]) -> None:
    names = [name for name in value if isinstance(name, str)]
    if len(names) != len(value):
        raise TypeError("the names of a JSON object are strings")
    parts.append("{")
    for position, name in enumerate(sorted(names, key=_utf16)):
        parts.append("," if position else "")
        parts.append(json.dumps(name, ensure_ascii=False) + ":")
        _spell(value[name], parts)
    parts.append("}")


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be", "surrogatepass")


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no JSON number")
    if value.is_integer() and abs(value) < _LARGEST_PLAIN:
        return f"{Decimal(repr(value + 0.0)):.0f}"  # shortest digits, then zeros; minus zero is zero
    digits = repr(value)
    mantissa, has_exponent, exponent = digits.partition("e")
    if not has_exponent:
        return digits
    power = int(exponent)
    if -6 <= power < 0:  # Python changes to an exponent two places before ECMAScript does
        sign, plain = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
        return f"{sign}0.{'0' * (-power - 1)}{plain.replace('.', '')}"
    return f"{mantissa}e{'+' if power > 0 else ''}{power}"
