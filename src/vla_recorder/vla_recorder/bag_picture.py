"""A bag at a glance: a contact sheet of what the camera saw, above the velocities."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Final

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vla_core.contract import ActionSpec
from vla_recorder.bag_driving import FRAMES, Driving, summary
from vla_recorder.errors import BagError

_WIDTH_IN: Final = 12.0
_DPI: Final = 100
_LATIN: Final = "DejaVu Sans"  # comes with Matplotlib
_CJK: Final = ("Noto Sans CJK KR", "Noto Sans CJK JP", "Noto Sans KR", "NanumGothic", "UnDotum")


def write_picture(path: Path, title: str, driving: Driving, action: ActionSpec) -> None:
    """Draw an episode.

    Args:
        path: PNG file to write.
        title: first line of the picture.
        driving: of the bag, with its frames.
        action: whose limits are drawn.

    Raises:
        BagError: the file cannot be written.
    """
    shape = driving.frames[0].shape if driving.frames else (3, 4, 3)
    strip_in = _WIDTH_IN / FRAMES * shape[0] / shape[1] + 0.4
    heights = [strip_in, *([1.6] * action.size)]
    figure = Figure(figsize=(_WIDTH_IN, sum(heights) + 1.0), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    families = _families()
    text = _drawable(f"{title}\n{summary(driving)}", families)
    figure.suptitle(text, ha="left", x=0.01, fontsize=11, fontfamily=families)
    grid = figure.add_gridspec(len(heights), FRAMES, height_ratios=heights)
    for index in range(FRAMES):
        axes = figure.add_subplot(grid[0, index])
        axes.axis("off")
        if index < len(driving.frames):
            axes.imshow(driving.frames[index])
            axes.set_title(f"{driving.frame_s[index]:.1f} s", fontsize=9)
    for row in range(action.size):
        axes = figure.add_subplot(grid[1 + row, :])
        field = action.fields[row]
        if field in driving.odometry_fields:
            column = driving.odometry_fields.index(field)
            axes.plot(
                driving.odometry_s, driving.odometry[:, column], color="0.6", label="odometry"
            )
        axes.step(
            driving.command_s, driving.commands[:, row], where="post", color="C0", label="command"
        )
        for limit in (action.low[row], action.high[row]):
            axes.axhline(limit, color="C3", linewidth=0.8, linestyle=":")
        axes.set_ylabel(f"{field}\n[{action.units[row]}]")
        axes.margins(x=0.0)
        if row == 0:
            axes.legend(loc="upper right", fontsize=8, ncols=2)
    axes.set_xlabel("time [s], limits of the contract dotted")
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise BagError(f"the picture {path} cannot be written: {error}") from error


def _families() -> list[str]:
    """Fonts for sentences in any script that this machine can write."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [_LATIN, *(name for name in _CJK if name in installed)]


def _drawable(text: str, families: list[str]) -> str:
    """The text, with a question mark for what none of the fonts has."""
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in families]
    return "".join(
        c if c == "\n" or any(font.get_char_index(ord(c)) for font in fonts) else "?" for c in text
    )


def picture_name(bag: Path, taken: set[str]) -> str:
    """A file name for a bag's picture that no other bag of the call has."""
    stem = bag.stem if bag.is_file() else bag.name
    names = (f"{stem}.png" if number == 1 else f"{stem}_{number}.png" for number in count(1))
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return name
