"""Adds up the pytest results that `colcon test` left, a line a package.

Fails where a test failed and where a package with tests ran none of them: colcon falls back to
unittest without a word when it finds no pytest, sees no tests and passes.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def main() -> int:
    """Print the counts of the build folder `argv[1]` for the source folder `argv[2]`."""
    build, source = Path(sys.argv[1]), Path(sys.argv[2])
    total = {"passed": 0, "failed": 0, "skipped": 0}
    healthy = True
    packages = sorted({p.parent.parent.name for p in source.glob("*/test/test_*.py")})
    for name in packages:
        report = build / name / "pytest.xml"
        counts = {"passed": 0, "failed": 0, "skipped": 0}
        if report.is_file():
            for suite in ElementTree.parse(report).getroot().iter("testsuite"):
                failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
                skipped = int(suite.get("skipped", 0))
                counts["failed"] += failed
                counts["skipped"] += skipped
                counts["passed"] += int(suite.get("tests", 0)) - failed - skipped
        if sum(counts.values()) == 0:
            healthy = False
            print(f"{name}: no test ran (no {report})")
            continue
        print(f"{name}: " + ", ".join(f"{n} {kind}" for kind, n in counts.items()))
        for kind, n in counts.items():
            total[kind] += n
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 0 if healthy and total["failed"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
