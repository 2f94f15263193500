"""Injections: elements that unsettle a block, what each kind adds, and the way back."""
