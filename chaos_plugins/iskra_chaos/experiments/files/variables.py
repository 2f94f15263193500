"""Values that an experiment leaves open: its configuration, its secrets, and ``${name}`` in its text."""

import json
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any

from iskra_chaos.experiments.errors import ExperimentError

_TRUE = frozenset({"1", "true", "yes", "on", "y"})

_CONVERSIONS: Mapping[str, Callable[[str], object]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": lambda text: text.strip().lower() in _TRUE,
    "bytes": str.encode,
    "json": json.loads,
}


@dataclass(frozen=True, slots=True)
class Variables:
    """What ``${name}`` stands for.

    Attributes:
        configuration: Looked at first.
        secrets: By target, as the Chaos Toolkit groups them; names of all targets are looked at.
    """

    configuration: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def fill(self, value: Any) -> Any:
        """Return JSON-like data with names replaced; unknown ones stay as they are written.

        A text that is one name and nothing else becomes the value itself, so numbers stay numbers.
        """
        mapping = ChainMap(dict(self.configuration), *(dict(group) for group in self.secrets.values()))
        return _filled(value, mapping)

    def secrets_of(self, targets: object) -> dict[str, Any]:
        """Return the secrets of the targets that a provider names."""
        names = [targets] if isinstance(targets, str) else targets
        if not isinstance(names, list | tuple):
            return {}
        return {key: value for name in names for key, value in self.secrets.get(str(name), {}).items()}


def _filled(value: Any, mapping: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        if value.startswith("${") and value.endswith("}") and (name := value[2:-1]) in mapping:
            return mapping[name]
        return Template(value).safe_substitute(mapping)
    if isinstance(value, Mapping):
        return {key: _filled(item, mapping) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, mapping) for item in value]
    return value


def load_configuration(
    declared: Mapping[str, Any], environment: Mapping[str, str], given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the configuration's values; those that a probe gives are left as their declarations.

    Args:
        declared: The experiment's ``configuration``.
        environment: Where ``type: env`` looks.
        given: Values from the command line, which win.

    Raises:
        ExperimentError: A variable is missing or cannot be converted.
    """
    given = given or {}
    values = {
        key: given[key] if key in given else _from_environment(key, value, environment)
        for key, value in declared.items()
    }
    return {**values, **{key: value for key, value in given.items() if key not in values}}


def _from_environment(name: str, value: Any, environment: Mapping[str, str]) -> Any:
    if not isinstance(value, Mapping) or value.get("type") != "env":
        return value
    key = str(value.get("key", ""))
    text = environment.get(key, value.get("default"))
    if text is None:
        raise ExperimentError(
            f"{name!r} is read from the environment variable {key!r}, which is not set.",
            mend=f"Set {key}, or give {name!r} a default.",
        )
    kind = value.get("env_var_type")
    if kind is None or not isinstance(text, str):
        return text
    try:
        return _CONVERSIONS[str(kind)](text)
    except (KeyError, ValueError) as exc:
        # The text may be a secret, so it is not quoted.
        raise ExperimentError(f"The environment variable {key!r} cannot be read as {kind!r}.") from exc


def load_secrets(declared: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the secrets by target; one that stands alone is a target with itself in it.

    Raises:
        ExperimentError: A variable is missing, or a secret lies in a store that is not supported.
    """
    groups = {target: group if _is_group(group) else {target: group} for target, group in declared.items()}
    return {
        target: {name: _secret(f"{target}.{name}", value, environment) for name, value in group.items()}
        for target, group in groups.items()
    }


def _is_group(value: object) -> bool:
    return isinstance(value, Mapping) and value.get("type") not in ("env", "vault")


def _secret(name: str, value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping) and value.get("type") == "vault":
        raise ExperimentError(
            f"The secret {name!r} lies in a vault, which is not supported.",
            mend="Read it into an environment variable and declare it with `type: env`.",
        )
    return _from_environment(name, value, environment)
