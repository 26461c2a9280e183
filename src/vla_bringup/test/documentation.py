"""Reads the project's Markdown: command lines, links, headings and names of files."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "src").glob("*/README.md"),
        *(ROOT / "src").glob("*/policies/*/README.md"),
        *(ROOT / ".github").rglob("*.md"),
    ]
)

_FENCE = re.compile(r"^( *)(```+)(\w*)\n(.*?)^\1\2", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_SHELLS = ("bash", "sh", "console")
_DRAWN = re.compile("[─│┌┐└┘┼┤├▲▼►◄]")
_FILE = re.compile(
    r"[\w.-]+(?:/[\w.-]+)+\.(?:py|ya?ml|md|sh|txt|xml|toml|sdf|xacro|urdf|html|rviz|json)"
)


def blocks(page: Path, *languages: str) -> list[str]:
    """Contents of the page's fenced blocks in these languages."""
    return [
        body for _, _, language, body in _FENCE.findall(page.read_text()) if language in languages
    ]


def command_lines(page: Path) -> list[str]:
    """Lines of shell blocks, fenced or indented, with continuation lines joined."""
    rest = _FENCE.sub("", page.read_text())
    indented = re.findall(r"(?:^ {4,}\S.*\n?)+", rest, re.MULTILINE)
    found = blocks(page, *_SHELLS) + [block for block in indented if not _DRAWN.search(block)]
    lines = "\n".join(found).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip()]


def split(line: str) -> list[list[str]]:
    """Words of every command of a line; comments and prompts are left out."""
    found: list[list[str]] = []
    command: list[str] = []
    for word in [*shlex.split(line.removeprefix("$ "), comments=True), ";"]:
        if word in (";", "&&", "||", "|", "&"):
            if command:
                found.append(command)
            command = []
        else:
            command.append(word)
    return found


def commands(page: Path) -> list[list[str]]:
    """Words of every command of the page's shell blocks."""
    return [command for line in command_lines(page) for command in split(line)]


def inline_code(page: Path) -> list[str]:
    """Inline code of the page."""
    return [" ".join(code.split()) for _, code in _INLINE.findall(_FENCE.sub("", page.read_text()))]


def links(page: Path) -> list[str]:
    """Targets of the page's links and images, without those that lead to other hosts."""
    text = _INLINE.sub("", _FENCE.sub("", page.read_text()))
    return [link for link in _LINK.findall(text) if "://" not in link and "mailto:" not in link]


def tables(page: Path) -> list[list[str]]:
    """Rows of every table of the page, its head and the line below that included."""
    text = _FENCE.sub("", page.read_text())
    return [block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]


def anchors(page: Path) -> set[str]:
    """Anchors of the page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    names = set()
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text())):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        names.add(f"{slug}-{count}" if count else slug)
    return names


def named_files(page: Path) -> set[str]:
    """Paths of files of this project that the page names as code."""
    names = set()
    for code in inline_code(page):
        if _FILE.fullmatch(code):
            names.add(code)
    return names
