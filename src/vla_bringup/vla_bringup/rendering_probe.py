"""Renders one small picture as the simulator would.

Run as a process of its own: a broken OpenGL driver may end the process. Prints the name of the
OpenGL back end, or one line on stderr with exit code 1.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from vla_core.errors import VlaError

SCENE: Final = """
<mujoco>
  <worldbody>
    <light pos="0 0 3"/>
    <geom type="sphere" size="0.2" rgba="1 0.5 0 1"/>
    <camera name="camera" pos="0 -1 0" xyaxes="1 0 0 0 0 1"/>
  </worldbody>
</mujoco>
"""


def main() -> int:
    """Render; 0 if the picture shows something."""
    try:
        from vla_simulation.opengl import create_renderer, mujoco
    except ModuleNotFoundError as error:
        sys.stderr.write(f"Python module {error.name} is not installed; make setup\n")
        return 1
    except Exception as error:  # a library that is there and broken fails while being imported
        backend = os.environ.get("MUJOCO_GL", "default")
        sys.stderr.write(f"the OpenGL back end MUJOCO_GL={backend} does not load ({error})\n")
        return 1
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    try:
        renderer = create_renderer(model, 32, 32)
        try:
            renderer.update_scene(data, "camera")
            picture = renderer.render()
        finally:
            renderer.close()
    except VlaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    backend = os.environ.get("MUJOCO_GL", "default")
    if not picture.any():
        sys.stderr.write(f"the OpenGL back end MUJOCO_GL={backend} renders black pictures\n")
        return 1
    sys.stdout.write(backend)
    return 0


if __name__ == "__main__":
    sys.exit(main())
