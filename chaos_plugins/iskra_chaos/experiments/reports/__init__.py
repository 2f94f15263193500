"""The report of an experiment, made of its journal."""
