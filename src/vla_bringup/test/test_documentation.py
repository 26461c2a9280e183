"""The documentation tells of commands, options and files that exist."""

import re
import subprocess
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from documentation import (
    PAGES,
    ROOT,
    anchors,
    commands,
    inline_code,
    links,
    named_files,
)

from vla_bringup import cli
from vla_bringup.evaluation_arguments import evaluation_command
from vla_bringup.graph import GRAPHS
from vla_core.errors import VlaError

VERBS = [verb for verbs in cli.GROUPS.values() for verb in verbs]
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

# Made by commands, or of other projects; not files of this one.
FOREIGN = ("out/", "meta/", "logs/", "bags/", "mdk/")


@cache
def parser():
    modules = {verb: import_module(f"vla_bringup.verbs.{verb.replace('-', '_')}") for verb in VERBS}
    return cli.build_parser(modules)


def words_of(program):
    return [(page, words) for page in PAGES for words in commands(page) if words[0] == program]


def complain(page, words, problem):
    return f"{page.relative_to(ROOT)}: `{' '.join(words)}`: {problem}"


def mistake_in(graph, words):
    """What is wrong with launch arguments, values included; empty where nothing is.

    A file that the reader makes does not exist here.
    """
    values = dict(word.split(":=", 1) for word in words if ":=" in word)
    if "params_file" in values:
        values["params_file"] = str(ROOT / "pyproject.toml")
    try:
        evaluation_command(values) if graph == "evaluate" else GRAPHS[graph].from_values(values)
    except VlaError as error:
        return str(error)
    return ""


def test_every_vla_command_is_accepted(capsys):
    found = words_of("vla")
    assert len(found) > 80
    problems = []
    for page, words in found:
        try:
            parsed = parser().parse_args(words[1:])
        except SystemExit as ending:
            if ending.code:
                usage = capsys.readouterr().err.strip().splitlines()[-1]
                problems.append(complain(page, words, usage))
            continue
        if parsed.verb == "up" and (mistake := mistake_in(parsed.graph, parsed.arguments)):
            problems.append(complain(page, words, mistake))
    assert not problems, "\n".join(problems)


def test_every_ros2_launch_is_accepted():
    found = [
        (page, words) for page, words in words_of("ros2") if words[1:3] == ["launch", "vla_bringup"]
    ]
    assert len(found) > 3
    for page, words in found:
        graph = words[3].removesuffix(".launch.py")
        assert graph in (*GRAPHS, "evaluate"), complain(page, words, "no such launch file")
        mistake = mistake_in(graph, words[4:])
        assert not mistake, complain(page, words, mistake)


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z ]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    targets = {name for line in targets for name in line.split()}
    found = words_of("make")
    assert len(found) > 3
    for page, words in found:
        named = {word for word in words[1:] if re.fullmatch("[a-z]+", word)}
        assert named <= targets, complain(page, words, f"targets are {sorted(targets)}")


def test_every_python_module_that_is_run_exists():
    found = [
        (page, words[2])
        for page in PAGES
        for words in commands(page)
        if words[:2] in (["python", "-m"], ["python3", "-m"]) and words[2].startswith("vla_")
    ]
    assert found
    for page, module in found:
        assert find_spec(module), f"{page.name}: {module}"


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
    site = (ROOT / "mkdocs.yml").read_text()
    assert not [name for name in present if f": {name}\n" not in site], "not in mkdocs.yml"


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
