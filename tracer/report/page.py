"""A report as one page of HTML: template, style and script from the files beside this one, and the data as JSON.

The page asks nothing of the network, and its own policy forbids it to.
"""

from __future__ import annotations

import html
import json
import re
from importlib.resources import files
from typing import Any

from tracer.report.embed import embedded
from tracer.report.model import Report

_SCRIPTS = ("model.js", "list.js", "program.js", "charts.js", "main.js")
_SLOT = re.compile(r"\{\{(\w+)\}\}")


def page(report: Report) -> str:
    """The whole page."""
    slots = {
        "title": html.escape(f"{report.name} - tracer report"),
        "style": _read("page.css"),
        "data": escaped(embedded(report)),
        "script": "\n".join([_read(name) for name in _SCRIPTS]),
    }
    return _SLOT.sub(lambda found: slots[found[1]], _read("page.html"))


def escaped(data: Any) -> str:
    """JSON that can stand inside a `<script>` element, whatever text it holds.

    No text in it can end the element or begin a comment, as every `<`, `>` and `&` is written as an escape.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for mark in ("<", ">", "&"):
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _read(name: str) -> str:
    return files("tracer.report").joinpath("assets", name).read_text(encoding="utf-8")


__all__ = ["escaped", "page"]
