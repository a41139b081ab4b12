"""The report as one page of HTML that needs nothing else. May import: the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.runner.report import Section, not_measured, sections
from benchmarks.runner.results import Device

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #b6bdc6; --band: #eef1f4; --quiet: #59636e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --paper: #14171a; --faint: #4a525b; --band: #1e2328; --quiet: #9aa4af; } }
body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 72rem; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p, li, summary { color: var(--quiet); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--band); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 14rem; }
tbody tr:nth-child(even) { background: var(--band); }
svg { max-width: 100%; height: auto; display: block; margin: .6rem 0; }
nav a { margin-right: 1rem; color: inherit; }
"""


def page(found: Sequence[Device], charts: Mapping[str, str]) -> str:
    """`charts` are SVG by name."""
    parts, links = [], []
    for device in found:
        for k, section in enumerate(sections(device)):
            anchor = f"{device.name}-{k}"
            if section.chart or not k:
                links.append(f'<a href="#{anchor}">{escape(section.heading)}</a>')
            parts.append(_section(section, anchor, charts.get(f"{device.name}-{section.chart}", "")))
    if missing := not_measured(found):
        parts.append(f"<p>Not measured: {', '.join(missing)}.</p>")
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Benchmarks</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>Benchmarks</h1>\n<nav>{' '.join(links)}</nav>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _section(section: Section, anchor: str, chart: str) -> str:
    out = [f'<h2 id="{anchor}">{escape(section.heading)}</h2>']
    out += [f"<p>{escape(section.text)}</p>"] if section.text else []
    out += [chart] if chart else []
    if section.rows:
        heads = "".join(f"<th>{escape(head)}</th>" for head in section.heads)
        rows = "\n".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in section.rows
        )
        out.append(
            f'<div class="wide"><table><thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table></div>'
        )
    if section.listed:
        items = "".join(f"<li>{escape(each)}</li>" for each in section.listed)
        listed = f"<ul>{items}</ul>"
        many = f"<details><summary>{len(section.listed)} without times</summary>{listed}</details>"
        out.append(many if section.rows else listed)
    return "\n".join(out)


__all__ = ["page"]
