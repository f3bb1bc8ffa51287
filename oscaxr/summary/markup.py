"""A summary as HTML for notebooks: no scripts, nothing fetched, all words escaped."""

from html import escape
from typing import Final

from oscaxr.summary.content import Section, Summary

# Colours of the notebook where it names them (JupyterLab), else those of the text around: both are
# legible in light and in dark. Bars have the colours that figures have.
_STYLE: Final = """
.oscaxr{color:var(--jp-content-font-color1,inherit);font-size:13px;line-height:1.45;max-width:820px}
.oscaxr-title{font-weight:600;font-size:14px}
.oscaxr-line,.oscaxr-note,.oscaxr th{opacity:.75}
.oscaxr details{border-top:1px solid var(--jp-border-color2,rgba(128,128,128,.4));padding:3px 0}
.oscaxr summary{cursor:pointer;font-weight:600}
.oscaxr .oscaxr-scroll{overflow-x:auto}
.oscaxr table{border-collapse:collapse;table-layout:auto;margin:2px 0 2px 12px;color:inherit;
font-size:inherit;border:0}
.oscaxr th,.oscaxr td{padding:1px 14px 1px 0;text-align:left;vertical-align:top;font-weight:400;
background:none;color:inherit;border:0;max-width:none;white-space:pre-wrap}
.oscaxr tr{background:none!important}
.oscaxr-note{margin-left:12px}
.oscaxr svg{display:block;width:100%;height:auto;margin:6px 0;font-size:11px}
.oscaxr svg text{fill:currentColor;stroke:none}
.oscaxr .track{fill:currentColor;opacity:.2}
.oscaxr .axis{stroke:currentColor;opacity:.6;fill:none}
.oscaxr .neither{fill:currentColor;opacity:.5}
.oscaxr .expected{fill:#0072B2;background:#0072B2}
.oscaxr .unexpected{fill:#D55E00;background:#D55E00}
.oscaxr .oscaxr-key{display:inline-block;width:10px;height:10px;margin:0 4px 0 12px}
""".replace("\n", "")


def html(summary: Summary, methods: str = "") -> str:
    """Return a summary as HTML."""
    parts = [f'<div class="oscaxr-title">{escape(summary.title)}</div>']
    parts += [f'<div class="oscaxr-line">{escape(line)}</div>' for line in summary.lines]
    parts.append(summary.picture)
    parts += map(_section, summary.sections)
    if methods:
        told = f'<div class="oscaxr-note">{escape(methods)}</div>'
        parts.append(f"<details><summary>Methods of .osca</summary>{told}</details>")
    return f'<div class="oscaxr"><style>{_STYLE}</style>{"".join(parts)}</div>'


def _section(section: Section) -> str:
    rows = [_row(row, "td") for row in section.rows]
    if section.headings:
        rows.insert(0, _row(section.headings, "th"))
    table = f'<div class="oscaxr-scroll"><table>{"".join(rows)}</table></div>' if rows else ""
    note = f'<div class="oscaxr-note">{escape(section.note)}</div>' if section.note else ""
    title = escape(section.title)
    state = "" if section.folded else " open"
    return f"<details{state}><summary>{title}</summary>{table}{note}</details>"


def _row(cells: tuple[str, ...], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
