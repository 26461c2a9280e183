"""The verbs of the ``vla`` command: each parses its arguments and delegates."""
