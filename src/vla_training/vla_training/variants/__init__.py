"""Smaller and faster forms of an exported graph, and the proof that they are worth it."""
