"""The frame of our HTML artifacts: one file that needs no network and cannot use one, every name plain text.

MLflow's UI shows an HTML artifact in an iframe with sandbox="allow-scripts": relative links, storage and
pop-ups do not work there. The content security policy says the same for a page opened from a disk.
"""

from __future__ import annotations

import html

from .names import clean

# Of pages that draw with plotly.js.
PLOTLY_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "form-action 'none'; base-uri 'none'"
)
# The buttons are listed because plotly.js's own list has "Share chart", which uploads the data to plotly.
PLOTLY_CONFIG = {
    "displaylogo": False, "responsive": True, "typesetMath": False, "showSendToCloud": False,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
}  # fmt: skip


def escape(name: object) -> str:
    """`name` cleaned (see `names.clean`) and safe between tags and inside a quoted attribute."""
    return html.escape(clean(name), quote=True)


def page(title: object, body: str, *, style: str, policy: str) -> str:
    """A whole HTML document.

    Args:
        title: Any text; escaped here.
        body: HTML whose names are already escaped.
        style: CSS.
        policy: Content security policy: what may be loaded or run.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy, quote=True)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )
