"""The doctor's findings as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vla_bringup.doctor import Finding, Status

MARKS: Final = {
    Status.OK: Text("ok", style="green"),
    Status.HINT: Text("hint", style="yellow"),
    Status.MISSING: Text("missing", style="bold red"),
}


def print_findings(findings: Sequence[Finding]) -> None:
    """Print the table, then the remedies that must be followed."""
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "looked at", "", "found"):
        table.add_column(heading, overflow="fold")
    group = ""
    for finding in findings:
        first = finding.group != group
        if first and group:
            table.add_row()
        group = finding.group
        found = Text(finding.found)
        if finding.remedy:
            found.append(f"\n-> {finding.remedy}", style="dim")
        title = Text(group if first else "", style="bold")
        table.add_row(title, finding.name, MARKS[finding.status], found)
    console.print(table)
    count = sum(finding.status is Status.MISSING for finding in findings)
    console.print(
        f"\n{count} thing{'s' * (count != 1)} missing"
        if count
        else "\nNothing that is needed is missing."
    )
