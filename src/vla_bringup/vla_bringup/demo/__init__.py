"""The demo: docks a few times through the live graph and leaves table, plot, video and bags."""
