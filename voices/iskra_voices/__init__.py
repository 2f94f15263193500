"""The seven voices. Nothing is built here yet."""
