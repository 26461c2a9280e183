"""Parts of a page: frame, tiles, tables, numbers."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from typing import Final

NOTHING: Final = "–"
_ZERO: Final = 1e-9
_MILLI: Final = 1e3


def document(title: str, parts: Iterable[str]) -> str:
    """A whole page with the common style.

    Args:
        title: Plain text.
        parts: HTML, in order.
    """
    style = resources.files("vla_training.pages").joinpath("style.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f"<body><main><h1>{escape(title)}</h1>{''.join(parts)}</main></body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A titled part of the page; parts are HTML."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def note(text: str) -> str:
    """A remark in small letters; plain text."""
    return f'<p class="quiet">{escape(text)}</p>'


def tiles(values: Iterable[tuple[str, str]]) -> str:
    """Headline figures: pairs of value and label, plain text."""
    each = (
        f"<div><b>{escape(value)}</b><span>{escape(label)}</span></div>" for value, label in values
    )
    return f'<section class="tiles">{"".join(each)}</section>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int) -> str:
    """A table whose last columns, as many as said, are numbers; cells are HTML already."""
    first = len(head) - numbers

    def cells(kind: str, values: Sequence[str]) -> str:
        return "".join(
            f'<{kind} class="number">{value}</{kind}>'
            if column >= first
            else f"<{kind}>{value}</{kind}>"
            for column, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="table"><table><thead><tr>{cells("th", head)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def figure(caption: str, content: str) -> str:
    """A picture with its caption; the caption is plain text."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{content}</figure>"


def data_uri(kind: str, content: bytes) -> str:
    """A file within the page.

    Args:
        kind: Its media type.
        content: The file.
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def number(value: float | None) -> str:
    """Four digits; a dash for nothing."""
    if value is None:
        return NOTHING
    return "0" if abs(value) < _ZERO else f"{value:.4g}"


def percent(fraction: float | None) -> str:
    """A share with one digit after the point."""
    return NOTHING if fraction is None else f"{fraction:.1%}"


def milliseconds(seconds: float | None) -> str:
    """Whole milliseconds."""
    return NOTHING if seconds is None else f"{seconds * _MILLI:.0f}"


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.1f} min" if seconds < 5400.0 else f"{seconds / 3600.0:.1f} h"
