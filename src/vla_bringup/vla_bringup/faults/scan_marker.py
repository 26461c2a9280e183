"""The range in a scan's outermost sectors at which a marked policy fails."""

from typing import Final

MARKER_M: Final = 7.5
"""A real scene hardly ever shows it in exactly that sector."""

TOLERANCE_M: Final = 0.02
