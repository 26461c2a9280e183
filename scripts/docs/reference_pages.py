"""Writes the reference pages that are made from the code: options, parameters, interfaces.

python scripts/docs/reference_pages.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import command_options
import interface_files
import node_parameters

PAGES = {
    "options.md": command_options.page,
    "parameters.md": node_parameters.page,
    "messages.md": interface_files.page,
}


def main() -> int:
    """Write every page into the folder `argv[1]`."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page())
        print(folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
