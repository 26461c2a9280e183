"""What recording, training and serving must agree on.

The contract, message decoding, frame assembly, normalisation, action chunks, the safety envelope,
docking geometry and the policy bundle. Needs numpy, PyYAML and OpenCV only: no ROS, no PyTorch.
"""

__version__ = "0.1.0"
