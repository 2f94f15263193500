"""The six operations in their creative form: what each changes in a conversation, and what came of it.

Planning is pure: the same conversation, intensity and seed give the same perturbation. Applying it is the business of
:mod:`iskra_chaos.processes`.
"""
