"""Every verb of `vla` and every launch argument as a page, from what argparse and launch get."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module

from markdown_text import code, table

from vla_bringup.cli import GROUPS, build_parser
from vla_bringup.graph import GRAPHS
from vla_bringup.resources import share_directory

_INTRODUCTION = """# Options of every command

Made from the commands themselves: what `vla VERB --help` and `ros2 launch … --show-args` print.
Examples and exit codes are in [Commands](../commands.md). `SHARE` is the folder of `vla_bringup`
with contracts and policies; `--help`, which every verb takes, is left out.
"""


def parser_of_vla() -> argparse.ArgumentParser:
    """The parser of `vla`, with all verbs."""
    verbs = [verb for group in GROUPS.values() for verb in group]
    return build_parser(
        {verb: import_module(f"vla_bringup.verbs.{verb.replace('-', '_')}") for verb in verbs}
    )


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Parsers of the verbs, by name; empty if there are none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """What a verb takes, without `--help` and further verbs."""
    return [
        action
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
    ]


def page() -> str:
    """The page, Markdown."""
    parts = [_INTRODUCTION]
    parsers = subparsers(parser_of_vla())
    for group, verbs in GROUPS.items():
        parts.append(f"## {group.capitalize()}\n")
        for verb in verbs:
            parts += _verb(parsers[verb], 3)
    parts.append("## Launch arguments\n")
    for kind in GRAPHS.values():
        parts.append(f"### {kind.name}.launch.py\n")
        parts.append(f"Starts {kind.summary}. The same as `vla up {kind.name}`.\n")
        rows = [
            (
                code(argument.name),
                code(_short(argument.default)) or "empty",
                argument.description,
                ", ".join(map(code, argument.choices)),
            )
            for argument in kind.arguments
        ]
        parts.append(table(("argument", "default", "meaning", "one of"), rows))
    return "\n".join(parts)


def _verb(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    yield f"{'#' * level} {parser.prog}\n"
    yield _description(parser)
    rows = [_row(parser, action) for action in options(parser)]
    if rows:
        yield table(("option", "default", "meaning"), rows)
    for child in subparsers(parser).values():
        yield from _verb(child, level + 1)


def _description(parser: argparse.ArgumentParser) -> str:
    """The text above the options; indented examples become code."""
    lines = []
    for paragraph in (parser.description or "").strip().split("\n\n"):
        if paragraph.startswith("  "):
            lines += ["```bash", *(line.strip() for line in paragraph.splitlines()), "```", ""]
        else:
            lines += [" ".join(paragraph.split()), ""]
    return "\n".join(lines)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> tuple[str, str, str]:
    formatter = parser._get_formatter()
    values = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    if action.option_strings:
        name = code(f"{action.option_strings[-1]} {values}".strip())
    else:
        name = code(formatter._format_args(action, action.dest.upper()))
    if action.required and action.option_strings:
        name += ", required"
    meaning = _short(formatter._expand_help(action)) if action.help else ""
    # The default has a column of its own.
    meaning = meaning.removesuffix(f"default {action.default}").removesuffix(
        f" (default {action.default})"
    )
    if action.choices and action.metavar is not None:
        meaning += f"; one of {', '.join(map(code, action.choices))}"
    return name, _default(action), meaning.removeprefix("; ")


def _default(action: argparse.Action) -> str:
    value = action.default
    if value is None or value is argparse.SUPPRESS or action.nargs == 0 or value in ("", []):
        return ""
    if isinstance(value, list | tuple):
        value = " ".join(map(str, value))
    return code(_short(str(value)))


def _short(text: str) -> str:
    return text.replace(str(share_directory()), "SHARE")
