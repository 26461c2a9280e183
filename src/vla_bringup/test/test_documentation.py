"""The documentation tells of commands, options and files that exist."""

import os
import re
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from documentation import (
    PAGES,
    ROOT,
    anchors,
    commands,
    inline_code,
    links,
    named_files,
    tables,
)

from vla_bringup import cli

VERBS = [verb for verbs in cli.GROUPS.values() for verb in verbs]
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

# Made by commands, or of other projects; not files of this one.
FOREIGN = ("out/", "meta/", "logs/", "bags/", "mdk/")


@cache
def parser():
    modules = {verb: import_module(f"vla_bringup.verbs.{verb.replace('-', '_')}") for verb in VERBS}
    return cli.build_parser(modules)


@EVERY_PAGE
def test_options_named_in_prose_exist(page):
    """`vla VERB --option` as inline code; what follows may be abbreviated."""
    choices = next(iter(parser()._subparsers._group_actions)).choices
    for code in inline_code(page):
        words = code.split()
        if len(words) < 2 or words[0] != "vla" or not re.fullmatch(r"[a-z][a-z-]*", words[1]):
            continue
        assert words[1] in choices, f"`{code}`"
        known = set(choices[words[1]]._option_string_actions)
        named = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
        if words[1] != "bench":  # its options are those of the benchmark
            assert named <= known, f"`{code}`: {sorted(named - known)}"


@EVERY_PAGE
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} does not exist"
        assert target.is_relative_to(ROOT), f"{link} leaves the repository"
        if anchor:
            assert anchor in anchors(target), f"{link}: {target.name} has no such heading"


@EVERY_PAGE
def test_named_files_exist(page):
    """Files named as code stand at the root, in a package, or in the Python package in it."""
    for name in named_files(page):
        if name.startswith(FOREIGN) or re.search("[A-Z]{5,}", name):  # COLOUR stands for a word
            continue
        places = [ROOT / name, page.parent / name]
        places += [path / name for path in (ROOT / "src").iterdir()]
        places += [path / path.name / name for path in (ROOT / "src").iterdir()]
        assert any(place.exists() for place in places), f"`{name}` is nowhere"


def test_every_page_of_docs_is_listed():
    listed = {link.partition("#")[0] for link in links(ROOT / "docs" / "README.md")}
    present = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert present <= listed, f"not in docs/README.md: {sorted(present - listed)}"
    # The site's menu has the same sections, titles and order; pages made from code come besides.
    sections = re.split(r"^## ", (ROOT / "docs" / "README.md").read_text(), flags=re.MULTILINE)[1:]
    rows = re.compile(r"^\| \[([^]]+)\]\(([^)]+)\)", re.MULTILINE)
    by_hand = {section.split("\n")[0]: rows.findall(section) for section in sections}
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    for title, entries in (pair for entry in menu for pair in entry.items()):
        if isinstance(entries, list) and title in by_hand and by_hand[title]:
            pages = [pair for entry in entries for pair in entry.items()]
            written = {"reference/policy_card.md": "../src/vla_bringup/policies/docking/README.md"}
            named = [(name, written.get(path, path)) for name, path in pages]
            assert by_hand[title] == [
                pair for pair in named if not pair[1].startswith("reference/")
            ]
    menu_text = (ROOT / "mkdocs.yml").read_text()
    assert not [name for name in present if f": {name}\n" not in menu_text], "not in mkdocs.yml"


@EVERY_PAGE
def test_rows_of_tables_have_the_cells_of_their_heads(page):
    for table in tables(page):
        cells = [len(re.findall(r"(?<!\\)\|", row)) for row in table]
        assert len(set(cells)) == 1, table[cells.index(next(n for n in cells if n != cells[0]))]


def test_every_verb_has_its_section():
    headings = anchors(ROOT / "docs" / "commands.md")
    assert {f"vla-{verb}" for verb in VERBS} <= headings


def test_every_node_has_its_parameters_in_the_reference():
    """scripts/docs/node_parameters.py asks every executable that a package installs."""
    text = (ROOT / "scripts" / "docs" / "node_parameters.py").read_text()
    found = 0
    for setup in sorted((ROOT / "src").glob("*/setup.py")):
        for name in re.findall(r'"(\w+) = [\w.]+:main"', setup.read_text()):
            found += 1
            assert f'"{setup.parent.name} {name}":' in text
    assert found > 6


def test_reference_pages_are_made(tmp_path):
    """Options, parameters and messages, from the code: what `make docs` puts into the site."""
    script = ROOT / "scripts" / "docs" / "reference_pages.py"
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    options = (tmp_path / "options.md").read_text()
    for verb in VERBS:
        assert f"### vla {verb}\n" in options
    assert "| `--noise F` | `1.0` |" in options
    assert str(Path.home()) not in options
    parameters = (tmp_path / "parameters.md").read_text()
    assert "| `node_names` | string list | none, required |" in parameters
    assert "| `post_roll_s` | double | `0.0` |" in parameters
    by_hand, made = map(parameters_of, ((ROOT / "docs" / "interfaces.md").read_text(), parameters))
    assert by_hand
    for node, names in by_hand.items():
        if node in made:
            assert sorted(names) == sorted(made[node]), f"docs/interfaces.md: parameters of {node}"
    messages = (tmp_path / "messages.md").read_text()
    assert "| `DOCK_NOT_IN_DB` | `uint16` | 901 |" in messages
    assert "| `timeout_s` | `float32` | `0.0` |" in messages


def test_the_site_is_built_without_warning_and_loads_nothing_from_elsewhere(tmp_path):
    mkdocs = ROOT / "build" / "docs" / "venv" / "bin" / "mkdocs"
    if not mkdocs.is_file():
        pytest.skip("`make docs` installs MkDocs")
    script = ROOT / "scripts" / "docs" / "reference_pages.py"
    reference = ROOT / "build" / "docs" / "reference"
    subprocess.run([sys.executable, script, reference], check=True, capture_output=True)
    done = subprocess.run(
        [mkdocs, "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 30
    loaded = re.compile(
        r"<(?:script|img|iframe|link rel=\"stylesheet\")[^>]*(?:src|href)=\"(\w+:|//)"
    )
    elsewhere = {page.name: found for page in pages if (found := loaded.findall(page.read_text()))}
    assert not elsewhere
    assert (
        tmp_path / "search" / "search_index.js"
    ).is_file()  # read from the disk, it searches too


def parameters_of(text):
    """Names in the tables of parameters, by the heading above them."""
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        for table in re.findall(r"^\| parameter \|.*\n((?:\|.*\n)+)", section, re.MULTILINE):
            rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
            names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
            found.setdefault(section.split()[0], []).extend(names)
    return found


def test_both_readmes_name_the_same_commands():
    english, korean = (commands(ROOT / name) for name in ("README.md", "README.ko.md"))
    assert english == korean
    assert "README.ko.md" in links(ROOT / "README.md")
    assert "README.md" in links(ROOT / "README.ko.md")
    # What is measured is the same in every language, and so are pictures and places.
    tables = [measured(ROOT / name) for name in ("README.md", "README.ko.md")]
    assert tables[0] == tables[1]
    places = [sorted(links(ROOT / name)) for name in ("README.md", "README.ko.md")]
    assert [link for link in places[0] if link != "README.ko.md"] == [
        link for link in places[1] if link != "README.md"
    ]


def measured(page):
    """Numbers of the page's tables, row by row."""
    rows = [line for line in page.read_text().splitlines() if line.startswith("|")]
    return [sorted(re.findall(r"\d+(?:\.\d+)?", row)) for row in rows]
