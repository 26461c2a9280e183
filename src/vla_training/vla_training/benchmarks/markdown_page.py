"""Tables of benchmarks in Markdown, and the place for them in a page of the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from vla_training.errors import BenchmarkError

BEGIN: Final = "<!-- table -->"
END: Final = "<!-- /table -->"
NOTHING: Final = "–"


def check_docs(docs: Path) -> None:
    """See that a file can receive the table.

    Raises:
        BenchmarkError: If it does not exist or lacks the marks.
    """
    text = docs.read_text("utf-8") if docs.is_file() else ""
    if not (text.count(BEGIN) == text.count(END) == 1 and text.index(BEGIN) < text.index(END)):
        raise BenchmarkError(
            f"--docs {docs} has no place for the table; it has to be a Markdown file with the "
            f"lines {BEGIN} and {END}"
        )


def put_between_marks(docs: Path, text: str) -> None:
    """Replace what is between the marks of a page.

    Args:
        docs: The page.
        text: Whole lines.

    Raises:
        BenchmarkError: If it lacks the marks.
        OSError: If it cannot be written.
    """
    check_docs(docs)
    before, _, rest = docs.read_text("utf-8").partition(BEGIN)
    write_whole(docs, f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}")


def write_whole(path: Path, text: str) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows by title of their columns, in the order in which these first appear."""
    titles = list(dict.fromkeys(title for row in rows for title in row))
    lines = [titles, ["---"] * len(titles)]
    lines += [[row.get(title, NOTHING) for title in titles] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
