"""Shows people what happens in an episode: on a page, in a window, as a video."""
