"""Writes the SDFormat, URDF and bridge files: ``python -m vla_simulation.description``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vla_simulation.description.files import generate, write
from vla_simulation.description.layout import STATIONS
from vla_simulation.description.station_sdf import StationChoice
from vla_simulation.errors import SimulationError

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files; 1 if something has no translation."""
    parser = argparse.ArgumentParser(
        prog="python -m vla_simulation.description", description=__doc__
    )
    parser.add_argument(
        "--out", type=Path, default=PACKAGE_FOLDER, help="folder (default: the package's)"
    )
    parser.add_argument(
        "--stations",
        nargs=len(STATIONS),
        metavar="COLOUR:SHAPE:NUMBER",
        help="what stands at the docks, such as green:pillar:3",
    )
    args = parser.parse_args(arguments)
    try:
        chosen = tuple(StationChoice.parse(text) for text in args.stations or ())
        files = generate(stations=chosen or STATIONS)
    except SimulationError as error:
        sys.stderr.write(f"vla_simulation.description: error: {error}\n")
        return 1
    for path in write(args.out, files):
        sys.stdout.write(f"removed {path}\n")
    sys.stdout.write(f"{len(files)} files below {args.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
