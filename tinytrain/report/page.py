"""A page that needs nothing but itself: styles and pictures are inside, scripts there are none."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from html import escape
from pathlib import Path

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --quiet: #666; --line: #ddd; --panel: #f6f6f6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #16181c; --quiet: #a0a0a0; --line: #3a3d42; --panel: #1f2227; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 70rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
p.quiet { color: var(--quiet); margin: 0 0 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { color: var(--quiet); font-weight: 500; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; padding: 0; list-style: none; }
.figures li { background: var(--panel); border-radius: .5rem; padding: .6rem .9rem; min-width: 8.5rem; }
.figures b { display: block; font-size: 1.35rem; font-weight: 600; }
.figures span { color: var(--quiet); font-size: .85rem; }
img { max-width: 100%; height: auto; background: #fff; border-radius: .4rem; }
@media (max-width: 40rem) { img.wide { max-width: none; width: 46rem; } }
pre { overflow-x: auto; background: var(--panel); padding: .8rem; border-radius: .5rem; font-size: .85rem; }
"""


def page(title: str, subtitle: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return a whole HTML document.

    Args:
        title: what it is about, plain text.
        subtitle: a line below, plain text.
        sections: headings (plain text, empty for none) and their contents (HTML).
    """
    body = "\n".join((f"<h2>{escape(heading)}</h2>\n" if heading else "") + content for heading, content in sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="quiet">{escape(subtitle)}</p>\n{body}\n</body>\n</html>\n'
    )


def figures(pairs: Sequence[tuple[str, str]]) -> str:
    """Return the few numbers that matter most as large tiles: (what, value)."""
    tiles = "".join(f"<li><b>{escape(value)}</b><span>{escape(what)}</span></li>" for what, value in pairs)
    return f'<ul class="figures">{tiles}</ul>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the first column is text, the others are numbers."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>'


def picture(path: Path, description: str) -> str:
    """Return a PNG as part of the page; on a phone a wide one keeps a readable size and scrolls.

    Args:
        path: of the file.
        description: for readers who cannot see it.
    """
    data = path.read_bytes()
    width, height = struct.unpack(">II", data[16:24])  # of the header, which comes first in every PNG
    kind = ' class="wide"' if width > 1.5 * height else ""
    encoded = base64.b64encode(data).decode()
    image = f'<img{kind} alt="{escape(description)}" src="data:image/png;base64,{encoded}">'
    return f'<div class="scroll">{image}</div>'


def quiet(text: str) -> str:
    """Return a paragraph that steps back behind what it explains."""
    return f'<p class="quiet">{escape(text)}</p>'


def lines(texts: Sequence[str]) -> str:
    """Return texts as a list."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def preformatted(text: str) -> str:
    """Return text as it is, in a fixed-width font."""
    return f"<pre>{escape(text)}</pre>"
