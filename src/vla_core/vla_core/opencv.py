"""OpenCV, set up for this project: `from vla_core.opencv import cv2`.

Its functions run on the calling thread. A pool of threads inside a node that must keep a 20 Hz
rhythm costs more than it gains, and it does not survive the fork of a data loader.
"""

import cv2

__all__ = ["cv2"]

cv2.setNumThreads(0)
