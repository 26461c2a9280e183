"""The fault campaign: one fault at a time against the real policy node, and what became of it."""
