"""MkDocs calls these while it builds the site.

They add the pages that are not files of docs/: the reference (`reference.py`), CONTRIBUTING and CHANGELOG, and a page
for every other file of the repository that a page links to, so that links work without the repository. When the site is
built they check that its pages load nothing from the network.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from docs.site import reference

ROOT = Path(__file__).resolve().parents[2]
FROM_ROOT = ("CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"(?<=\]\()(?P<path>[^)#\s:]+)(?P<anchor>#[^)\s]*)?(?=\))")
SHOWN = {".py": "python", ".toml": "toml", ".yml": "yaml", ".sh": "sh"}
# What makes a browser load something: not `href` of links that a reader may follow.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b[^>]*\brel=["']?(?!canonical|prev|next)[^>]*\bhref=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|@import\s+url\(["']?((?:https?:)?//[^)]+)"""
)


def on_files(files: Files, config: Any) -> Files:
    """Add what is not in docs/."""
    for name, content in reference.pages().items():
        files.append(File.generated(config, name, content=content))
    for name in FROM_ROOT:
        files.append(File.generated(config, name, content=(ROOT / name).read_text(encoding="utf-8")))
    seen: set[str] = set()
    texts = [(f.src_uri, f.content_string) for f in files if f.src_uri.endswith(".md")]
    while texts:
        uri, text = texts.pop()
        for match in LINK.finditer(text):
            path = outside(uri, match["path"])
            if path is None or path in seen:
                continue
            seen.add(path)
            content = shown(path)
            files.append(File.generated(config, page_of(path), content=content))
            texts.append((page_of(path), content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to files of the repository to their pages."""
    uri = page.file.src_uri

    def led(match: re.Match[str]) -> str:
        path = in_repository(uri, match["path"])
        if path is None:
            return match[0]
        target = page_of(path)
        return posixpath.relpath(target, posixpath.dirname(uri) or ".") + (match["anchor"] or "")

    return LINK.sub(led, markdown)


def on_post_build(config: Any) -> None:
    """An error where a page would load something from the network."""
    for path in Path(config["site_dir"]).rglob("*.html"):
        if found := LOADED.search(path.read_text(encoding="utf-8")):
            raise PluginError(f"{path.name} loads {next(filter(None, found.groups()))} from the network")


def in_repository(uri: str, link: str) -> str | None:
    """The file of the repository that a link on a page means, as a path from its root; None where there is none."""
    if link.startswith("/"):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(file_of(uri)), link))
    return path if not path.startswith("..") and (ROOT / path).is_file() else None


def outside(uri: str, link: str) -> str | None:
    """Likewise, if the file is not one that the site has anyway."""
    path = in_repository(uri, link)
    return None if path is None or path.startswith("docs/") or path in FROM_ROOT else path


def file_of(uri: str) -> str:
    """The file of the repository that a page shows."""
    if uri in FROM_ROOT:
        return uri
    if not uri.startswith("source/"):
        return f"docs/{uri}"
    path = uri.removeprefix("source/")
    return path if (ROOT / path).is_file() else path.removesuffix(".md")


def page_of(path: str) -> str:
    """The page of a file of the repository."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path in FROM_ROOT:
        return path
    return f"source/{path}" if path.endswith(".md") else f"source/{path}.md"


def shown(path: str) -> str:
    """A file of the repository as a page."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    language = SHOWN.get(Path(path).suffix, "text")
    return f"---\nsearch:\n  exclude: true\n---\n\n# `{path}`\n\n````{language}\n{text.rstrip()}\n````\n"
