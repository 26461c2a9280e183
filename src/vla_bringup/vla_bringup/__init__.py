"""The node graph and its launch files, the lifecycle manager, the ``vla`` command, the demo."""
