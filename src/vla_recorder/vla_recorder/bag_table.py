"""Shows what an inspection found to a person."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vla_core import bag_metadata
from vla_recorder.bag_contents import TopicContents
from vla_recorder.bag_driving import Driving, summary
from vla_recorder.bag_inspection import Inspection

_SHOWN_METADATA = (
    bag_metadata.INSTRUCTION,
    bag_metadata.OUTCOME,
    bag_metadata.NOTE,
    bag_metadata.OPERATOR,
    bag_metadata.ROBOT,
    bag_metadata.SEED,
    bag_metadata.SOFTWARE,
)


def print_inspection(
    console: Console, inspection: Inspection, driving: Driving | None = None
) -> None:
    """Print a table of the topics, the labels, how it was driven, and the verdict."""
    console.print(f"[bold]{escape(str(inspection.path))}[/bold]")
    contents = inspection.contents
    if contents is not None:
        console.print(
            f"{contents.duration_s:.2f} s, {contents.messages} messages, "
            f"{contents.size_bytes / 1e6:.2f} MB, {contents.storage}"
        )
        for key in _SHOWN_METADATA:
            if contents.custom.get(key):
                console.print(f"{key.removeprefix('vla.')}: {escape(contents.custom[key])}")
        console.print(_topic_table(list(contents.topics.values())))
    if driving is not None:
        console.print(f"driving: {summary(driving)}")
        if driving.problem:
            console.print(f"[yellow]warning[/yellow] {escape(driving.problem)}")
    for violation in inspection.violations:
        console.print(f"[red]violation[/red] {escape(violation)}")
    for warning in inspection.warnings:
        console.print(f"[yellow]warning[/yellow] {escape(warning)}")
    console.print("[green]sound[/green]" if inspection.ok else "[red]not fit for training[/red]")


def _topic_table(topics: list[TopicContents]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("topic", no_wrap=True)
    for heading in ("messages", "Hz", "max gap\nms", "missing", "disorder", "skew ms\nmed/max"):
        table.add_column(heading, justify="right", no_wrap=True)
    for topic in topics:
        skew = topic.skew_s
        table.add_row(
            topic.name,
            str(topic.count),
            f"{topic.rate_hz:.2f}" if topic.count > 1 else "-",
            f"{topic.largest_gap_s * 1e3:.0f}" if topic.count > 1 else "-",
            str(topic.missing()),
            str(topic.out_of_order),
            f"{_milliseconds(skew[1])}/{_milliseconds(skew[2])}" if skew else "-",
        )
    return table


def _milliseconds(seconds: float) -> str:
    """At most six characters, since clocks that differ can be decades apart."""
    return f"{seconds * 1e3:.0f}" if abs(seconds) < 10.0 else f"{seconds * 1e3:.0e}"
