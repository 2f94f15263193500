"""Model ids: what a client may ask for, and who answers."""

from dataclasses import dataclass
from difflib import get_close_matches

from iskra.plugin_host.catalog import Catalog
from iskra_sdk.agent import Agent
from iskra_sdk.errors import UnknownModelError
from iskra_sdk.voice import Voice

ORCHESTRATOR = "orchestrator"
"""The agent behind the model id ``iskra`` and behind voices."""

DEFAULT_MODEL = "iskra"

_LONGEST_COMPARED = 100  # characters; comparing takes time that grows with the product of the lengths


class ModelOnly(Agent):
    """Answers with a bare model: the agent behind ``llm:<alias>``."""

    name = "llm"
    description = "A model without instructions or tools."

    def __init__(self, alias: str) -> None:
        self.model = alias


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """Who answers to a model id."""

    agent: Agent
    voice: Voice | None = None


def resolve_model(model: str, catalog: Catalog, aliases: frozenset[str]) -> ResolvedModel:
    """Return who answers to a model id.

    Args:
        model: ``iskra``, ``agent:<name>``, ``voice:<name>``, ``llm:<alias>`` or ``llm:<alias>/<upstream model>``.
        catalog: What is loaded.
        aliases: The router's aliases.

    Raises:
        UnknownModelError: Nobody does; the message names who would, or how to switch the voice on.
    """
    kind, _, name = model.partition(":")
    if model == DEFAULT_MODEL and ORCHESTRATOR in catalog.agents:
        return ResolvedModel(catalog.agents[ORCHESTRATOR].value)
    if kind == "agent" and name in catalog.agents:
        return ResolvedModel(catalog.agents[name].value)
    if kind == "voice" and name in catalog.voices and ORCHESTRATOR in catalog.agents:
        return ResolvedModel(catalog.agents[ORCHESTRATOR].value, catalog.voices[name].value)
    if kind == "llm" and name.partition("/")[0] in aliases:
        return ResolvedModel(ModelOnly(name))
    if kind == "voice" and name in catalog.voices_off:
        how = catalog.voices_off[name].value.switched_off
        raise UnknownModelError(f"The voice of {model!r} is switched off.", mend=how, facts={"param": "model"})
    known = ", ".join(model_ids(catalog, aliases)) or "none: the server runs without plugins"
    nearest = _nearest(model, catalog, aliases)
    meant = f"Did you mean {nearest!r}? " if nearest else ""
    raise UnknownModelError(
        f"There is no model {model!r} here.", mend=f"{meant}Pick one of: {known}.", facts={"param": "model"}
    )


def _nearest(model: str, catalog: Catalog, aliases: frozenset[str]) -> str:
    """Return the model id that is spelled most like ``model``, empty where none is like it."""
    if len(model) > _LONGEST_COMPARED:
        return ""
    spoken = [f"voice:{name}" for name in catalog.voices] if ORCHESTRATOR in catalog.agents else []
    # Of ids that differ in case alone the first one counts.
    ids = {each.casefold(): each for each in reversed([*model_ids(catalog, aliases), *spoken])}
    found = get_close_matches(model.casefold(), ids, n=1)
    return ids[found[0]] if found else ""


def model_ids(catalog: Catalog, aliases: frozenset[str]) -> list[str]:
    """Return all model ids, the orchestrator first."""
    first = [DEFAULT_MODEL] if ORCHESTRATOR in catalog.agents else []
    agents = sorted(f"agent:{name}" for name in catalog.agents)
    voices = sorted({f"voice:{owned.value.name}" for owned in catalog.voices.values()}) if first else []
    return [*first, *agents, *voices, *sorted(f"llm:{alias}" for alias in aliases)]
