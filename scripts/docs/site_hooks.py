"""What MkDocs does besides: pages from outside of docs/, generated pages, links that leave docs/.

The pages in docs/ are written for reading in the repository. There a link such as
`../src/vla_bringup/contracts/simulated_amr.yaml` leads to a file; on the site it leads to a page
made of that file if there is one, and to a copy of the file otherwise.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File
from pymdownx.slugs import slugify

if TYPE_CHECKING:
    from collections.abc import Callable

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]

# Pages of the site (key) made of files elsewhere in the repository.
PAGES = {
    "project/contributing.md": "CONTRIBUTING.md",
    "project/changelog.md": "CHANGELOG.md",
    "project/quality.md": "QUALITY_DECLARATION.md",
    "reference/policy_node.md": "src/vla_policy_node/README.md",
    "reference/policy_card.md": "src/vla_bringup/policies/docking/README.md",
}
GENERATED = "build/docs/reference"  # scripts/docs/reference_pages.py writes them
_COPIES = "files"

# The site has these tables from the declarations; by hand they are for readers of the repository.
_PARAMETERS = re.compile(r"^\| parameter \|.*\n(?:\|.*\n)+", re.MULTILINE)
_NODE = re.compile(r"^## (\w+)$", re.MULTILINE)
# Text where it is the name of a file, target, anchor.
_LINK = re.compile(r"(?P<text>(?<=\[)[\w-]+\.md)?\]\((?P<target>[^)\s#]*)(?P<anchor>[^)\s]*)\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the anchors of headings as the repository's pages have them."""
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages and files that the site shows from outside of docs/."""
    for site_path, repository_path in PAGES.items():
        _add(files, config, site_path, ROOT / repository_path)
    for path in sorted((ROOT / GENERATED).glob("*.md")):
        _add(files, config, f"reference/{path.name}", path)
    for file in list(files):
        if file.src_uri.endswith(".md"):
            for target in _targets(file.content_string, _folder(file.src_uri)):
                if _site_path(target) == f"{_COPIES}/{target}" and (ROOT / target).is_file():
                    _add(files, config, f"{_COPIES}/{target}", ROOT / target)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links that are relative to the file's place in the repository.

    A link that has the name of a file gets the title of its page, which the menu has.
    """
    if page.parent is None:
        page.meta["hide"] = ["navigation"]  # a menu of this page alone
    if page.file.src_uri == "interfaces.md":
        markdown = _without_parameters(markdown)
    folder = _folder(page.file.src_uri)
    here = posixpath.dirname(page.file.src_uri)

    def rewrite(match: re.Match[str]) -> str:
        text, link, anchor = match["text"] or "", match["target"], match["anchor"]
        if not link or "://" in link or link.startswith("mailto:"):
            return match.group()
        site_path = _site_path(posixpath.normpath(posixpath.join(folder, link)))
        target = files.get_file_from_path(site_path)
        if text and target is not None and target.page is not None:
            text = str(target.page.title)
        return f"{text}]({posixpath.relpath(site_path, here or '.')}{anchor})"

    return _outside_of_code(markdown, rewrite)


def _add(files: Files, config: MkDocsConfig, site_path: str, source: Path) -> None:
    if files.get_file_from_path(site_path) is None and source.is_file():
        files.append(File.generated(config, site_path, abs_src_path=str(source)))


def _folder(site_path: str) -> str:
    """Folder in the repository that the links of a page are relative to."""
    if site_path in PAGES:
        return posixpath.dirname(PAGES[site_path])
    return posixpath.join("docs", posixpath.dirname(site_path))


def _site_path(repository_path: str) -> str:
    """Where the site has a file of the repository."""
    for site_path, source in PAGES.items():
        if source == repository_path:
            return site_path
    if repository_path.startswith("docs/"):
        return repository_path.removeprefix("docs/")
    return f"{_COPIES}/{repository_path}"


def _targets(markdown: str, folder: str) -> set[str]:
    """Files of the repository that a page links to."""
    links = {match["target"] for match in _LINK.finditer(_FENCE.sub("", markdown))}
    local = {link for link in links if link and "://" not in link}
    return {posixpath.normpath(posixpath.join(folder, link)) for link in local}


def _without_parameters(markdown: str) -> str:
    """Links to the generated tables of parameters in place of those written by hand."""

    def link(table: re.Match[str]) -> str:
        node = _NODE.findall(markdown, 0, table.start())[-1]
        return f"Its [parameters](reference/parameters.md#{node}) have a page of their own.\n"

    return _PARAMETERS.sub(link, markdown)


def _outside_of_code(markdown: str, rewrite: Callable[[re.Match[str]], str]) -> str:
    """Rewrite links, but not in fenced code."""
    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_LINK.sub(rewrite, markdown[end : fence.start()]), fence.group()]
        end = fence.end()
    return "".join([*parts, _LINK.sub(rewrite, markdown[end:])])
