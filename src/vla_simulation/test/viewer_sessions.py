"""A driver that the viewer's tests can foresee, and episodes to view."""

import numpy as np

from vla_simulation.controllers.expert import expert_action

SEVERAL_STATIONS = 3
"""A seed of `nominal` with more than one station."""


class StraightPlanner:
    """Drives as the expert does and says that it means to go straight on."""

    def __init__(self):
        self.interventions = {"braking distance": 7}
        self.resets = 0

    def reset(self, env):
        self.resets += 1

    def command(self, env):
        return np.array(expert_action(env.truth.dock_from_base))

    def planned(self, env):
        return np.tile([0.5, 0.0], (20, 1))
