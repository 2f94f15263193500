"""Chaos operations and experiments. Nothing is built here yet."""
