"""How the orchestrator finds the agent for a message, in layers.

- :mod:`.classifier` – a small linear model that ships with the package, over the :mod:`.features` of the text: its
  words (:mod:`.translit`), what they are about (:mod:`.cues`, :mod:`.cue_table`), and what is turned down
  (:mod:`.clauses`). :mod:`.levels` says how sure its probability is.
- :mod:`.keywords` – words that speak for an agent (:mod:`.keyword_table`), and the words of agents that plugins bring.
- :mod:`.model_layer` – a language model, asked only where the others are unsure.
- :mod:`.context` – what the session knows: who answered, what failed, what was changed.
- :mod:`.router` – puts them together.
"""
