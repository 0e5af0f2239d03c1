"""Pieces of an HTML page that cannot be ill-formed: elements of escaped text and other elements.

In: words, elements, images as bytes.  Out: `Markup`.  A page made here asks nobody for anything: no
address, no script, images inside.
"""

import base64
import re
from collections.abc import Sequence
from html import escape
from typing import Final

from train.report_figures import Chart

NOTHING: Final = "–"
"""Stands where there is no number."""

_ALONE: Final = frozenset({"img", "meta", "source", "wbr"})
"""Elements that have no end."""

STYLE: Final = """
:root {
  color-scheme: light dark;
  --ground: #eef1f5; --panel: #fff; --line: #ccd5df; --text: #16202b; --quiet: #566779;
  --good: #0b8457; --warn: #9a5b00; --bad: #c62828; --accent: #0077a8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0b0f14; --panel: #121922; --line: #233040; --text: #e8eef5; --quiet: #8fa1b5;
    --good: #3ddc97; --warn: #ffb84d; --bad: #ff6b6b; --accent: #4cc9f0;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 20px 16px 48px; max-width: 1080px;
  background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
h1 { margin: 0 0 4px; font-size: 28px; line-height: 1.2; letter-spacing: -.02em; }
h2 { margin: 0 0 10px; font-size: 20px; letter-spacing: -.01em; }
h3 { margin: 22px 0 6px; font-size: 16px; }
p { margin: 6px 0 10px; max-width: 72ch; }
section, .lead {
  margin-top: 16px; padding: 16px 18px; min-width: 0;
  background: var(--panel); border: 1px solid var(--line); border-radius: 12px;
}
.lead { border-left: 6px solid var(--quiet); }
.lead.met { border-left-color: var(--good); }
.lead.missed { border-left-color: var(--bad); }
.lead.not-shown { border-left-color: var(--warn); }
.lead strong { display: block; font-size: 24px; letter-spacing: -.01em; }
.note, figcaption, caption { color: var(--quiet); font-size: 14px; text-align: left; }
.wide { overflow-x: auto; margin: 8px 0; }
table { border-collapse: collapse; width: 100%; font-size: 15px; overflow-wrap: normal; }
caption { padding-bottom: 4px; }
th, td {
  padding: 6px 10px; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line);
}
th { font-weight: 600; color: var(--quiet); font-size: 13px; vertical-align: bottom; }
td.number { white-space: nowrap; }
th:first-child, td:first-child, th.words, td.words { text-align: left; }
td:first-child { min-width: 6.5em; font-weight: 600; }
tr:last-child td { border-bottom: 0; }
tr.yardstick td { background: color-mix(in srgb, var(--quiet) 9%, transparent); }
td small { display: block; color: var(--quiet); font-size: 13px; font-weight: 400; }
.bar { height: 5px; margin-top: 3px; border-radius: 3px; background: var(--line); }
.bar div { height: 100%; border-radius: 3px; background: var(--accent); }
.badge {
  display: inline-block; padding: 1px 10px; border: 1px solid currentcolor; border-radius: 99px;
  font-size: 13px; font-weight: 600; white-space: nowrap;
}
.badge.met { color: var(--good); }
.badge.missed { color: var(--bad); }
.badge.not-shown { color: var(--warn); }
figure { margin: 10px 0; }
figure img { display: block; max-width: 100%; height: auto; }
.picture img { border-radius: 8px; background: #fff; }
.charts { display: flex; flex-wrap: wrap; gap: 4px 20px; }
.charts figure { flex: 0 1 auto; min-width: 0; }
pre {
  margin: 8px 0; padding: 10px 12px; white-space: pre-wrap;
  border: 1px solid var(--line); border-radius: 8px;
  font: 13px/1.5 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace;
}
@media (max-width: 600px) {
  body { padding: 12px 10px 32px; }
  section, .lead { padding: 12px; border-radius: 10px; }
  h1 { font-size: 23px; }
  .lead strong { font-size: 20px; }
  th, td { padding: 6px 7px; }
  td.words { min-width: 6em; }
  .picture img { max-width: none; max-height: 480px; }
}
"""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str) -> Markup:
    """Make an element; children that are no `Markup` are escaped, `kind` becomes `class`."""
    words = "".join(
        f' {"class" if key == "kind" else key}="{escape(value)}"'
        for key, value in attributes.items()
    )
    if name in _ALONE:
        return Markup(f"<{name}{words}>")
    return Markup(f"<{name}{words}>{together(*children)}</{name}>")


def together(*children: str) -> Markup:
    """Put pieces one after the other."""
    return Markup(
        "".join(child if isinstance(child, Markup) else escape(child) for child in children)
    )


def breakable(name: str) -> Markup:
    """Write a name that may be broken after `_` and `+`, where a column is narrow."""
    pieces = [piece for piece in re.split(r"(?<=[_+])", name) if piece]
    first, *rest = pieces or [""]
    return together(first, *(part for piece in rest for part in (element("wbr"), piece)))


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    words: Sequence[int] = (0,),
    marked: Sequence[int] = (),
    caption: str = "",
) -> Markup:
    """Make a table that scrolls by itself where the page is narrow.

    Args:
        head: of the columns.
        rows: cells.
        words: columns that hold words, set to the left and broken over lines.
        marked: rows that are yardsticks.
        caption: what the table shows.

    """
    kinds = ["words" if column in words else "number" for column in range(len(head))]
    header = [
        element("th", cell, kind=kind, scope="col") for cell, kind in zip(head, kinds, strict=True)
    ]
    body = [
        element(
            "tr",
            *(element("td", cell, kind=kind) for cell, kind in zip(cells, kinds, strict=True)),
            **({"kind": "yardstick"} if number in marked else {}),
        )
        for number, cells in enumerate(rows)
    ]
    inner = [element("thead", element("tr", *header)), element("tbody", *body)]
    if caption:
        inner.insert(0, element("caption", caption))
    return element("div", element("table", *inner), kind="wide", tabindex="0")


def chart(drawn: Chart, caption: str = "") -> Markup:
    """Show a chart in the colours of the page."""
    dark = element(
        "source", srcset=_uri(drawn.dark, "svg+xml"), media="(prefers-color-scheme: dark)"
    )
    light = element("img", src=_uri(drawn.light, "svg+xml"), alt=drawn.description)
    words = [element("figcaption", caption)] if caption else []
    return element("figure", element("picture", dark, light), *words)


def picture(image: bytes, *, kind: str, title: str, caption: str) -> Markup:
    """Show a PNG or JPEG."""
    return element(
        "figure",
        element("h3", title),
        element("div", element("img", src=_uri(image, kind), alt=title), kind="wide", tabindex="0"),
        element("figcaption", caption),
        kind="picture",
    )


def page(title: str, *body: str) -> str:
    """Put a whole page together."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(STYLE)),
    )
    return "<!doctype html>\n" + element("html", head, element("body", *body), lang="en") + "\n"


def _uri(image: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
