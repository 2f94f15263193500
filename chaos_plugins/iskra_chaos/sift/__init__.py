"""SIFT blocks: source, inference, fact and trace of what was said; how they are analysed, unsettled and restored.

Everything here is a pure function or a model: nothing is read, written or asked, except by a sampler that the caller
hands in. The modules are imported where they are used, so that naming the package costs nothing at server start.
"""
