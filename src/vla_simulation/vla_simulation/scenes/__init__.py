"""What stands still in an episode: room, stations, clutter, surfaces, light, and the start."""
