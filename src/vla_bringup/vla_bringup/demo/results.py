"""The figures of the demo's runs, for people and for machines."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console, JustifyMethod
from rich.table import Table


@dataclass(frozen=True)
class RunResult:
    """One docking. Errors are ground truth: the base in the dock frame, when it had come to rest.

    Attributes:
        seed: of scene and start.
        instruction: what the policy was told.
        docked: the Dock action succeeded and the simulator agrees.
        precise: docked within 3 mm, 3 mm and 0.5 degrees.
        collision: anything but the station's contacts was touched.
        start_distance_m: from the start to the docked pose.
        longitudinal_error_m: negative while in front of the station.
        lateral_error_m: positive to the left of the approach line.
        yaw_error_rad: counter-clockwise.
        time_s: from the goal to the result.
        contact_speed_mps: when the charging contacts first closed; NaN if they never did.
        reason: how the docking ended, in one sentence.
        bag: its recording.
    """

    seed: int
    instruction: str
    docked: bool
    precise: bool
    collision: bool
    start_distance_m: float
    longitudinal_error_m: float
    lateral_error_m: float
    yaw_error_rad: float
    time_s: float
    contact_speed_mps: float
    reason: str
    bag: str


def print_table(results: Sequence[RunResult]) -> None:
    """Print the results to the terminal."""
    table = Table(box=None, pad_edge=False)
    for heading in COLUMNS:
        # Stacked headings leave room for the instruction on narrow terminals.
        justify: JustifyMethod = "left" if heading == COLUMNS[-1] else "right"
        table.add_column(heading.replace(" ", "\n"), justify=justify)
    for number, result in enumerate(results, 1):
        table.add_row(*_cells(number, result), style=None if result.docked else "red")
    Console().print(table)


def write_json(path: Path, results: Sequence[RunResult], context: Mapping[str, Any]) -> None:
    """Write all figures, in SI units.

    Args:
        path: of the file.
        results: in the order of the runs.
        context: what else to say: policy, suite, times.
    """
    document = {
        **context,
        "episodes": len(results),
        "docked": sum(result.docked for result in results),
        "precise": sum(result.precise for result in results),
        "runs": [asdict(result) for result in results],
    }
    text = json.dumps(_without_nan(document), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_csv(path: Path, results: Sequence[RunResult]) -> None:
    """Write one row per run, in SI units."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(RunResult.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(result) for result in results)


def write_markdown(path: Path, results: Sequence[RunResult], pictures: Sequence[str]) -> None:
    """Write the table with the pictures below it.

    Args:
        path: of the file.
        results: in the order of the runs.
        pictures: file names in the same folder.
    """
    docked = sum(result.docked for result in results)
    lines = ["# Docking demo", "", f"{docked} of {len(results)} runs docked.", ""]
    lines.append(f"| {' | '.join(COLUMNS)} |")
    lines.append("|" + "---|" * len(COLUMNS))
    lines += [f"| {' | '.join(_cells(n, result))} |" for n, result in enumerate(results, 1)]
    lines += ["", *(f"![{Path(name).stem}]({name})" for name in pictures)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


COLUMNS: Final = (
    "run",
    "seed",
    "from m",
    "along mm",
    "across mm",
    "yaw deg",
    "time s",
    "contact mm/s",
    "docked",
    "instruction",
)


def _cells(number: int, result: RunResult) -> tuple[str, ...]:
    contact = result.contact_speed_mps
    if result.docked:
        verdict = "precise" if result.precise else "yes"
    else:
        verdict = "no: collision" if result.collision else "no"
    return (
        str(number),
        str(result.seed),
        f"{result.start_distance_m:.2f}",
        f"{result.longitudinal_error_m * 1e3:+.1f}",
        f"{result.lateral_error_m * 1e3:+.1f}",
        f"{math.degrees(result.yaw_error_rad):+.2f}",
        f"{result.time_s:.1f}",
        "-" if math.isnan(contact) else f"{contact * 1e3:.0f}",
        verdict,
        result.instruction,
    )


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return value
