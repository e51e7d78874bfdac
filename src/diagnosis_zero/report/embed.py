"""Put data and scripts into one HTML file so that nothing in the data can ever run or reach out.

Three defences: JSON whose every ``<``, ``>``, ``&`` is written as an escape; long texts as base64 of gzip, which
holds no markup character at all; and a Content-Security-Policy that allows exactly the scripts and styles of
this project by their hash, no making of markup from strings, and no request of any kind.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from markupsafe import Markup

SCRIPTS = ("vendor/d3.min.js", "vendor/plot.min.js", "charts.js", "texts.js", "explorer.js")
PLOT_CLASS = "plot"
PLOT_STYLE = (
    ":where(.plot) {\n  --plot-background: white;\n  display: block;\n  height: auto;\n"
    "  height: intrinsic;\n  max-width: 100%;\n}\n"
    ":where(.plot text),\n:where(.plot tspan) {\n  white-space: pre;\n}"
)
"""What Observable Plot writes into each of its SVGs (class name ``plot``); the policy must know its hash."""

_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def asset(name: str) -> str:
    """A file of ``report/assets`` as text."""
    return (files("diagnosis_zero.report") / "assets" / name).read_text(encoding="utf-8")


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: numbers that are not finite become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def script_json(value: Any) -> Markup:
    """JSON for the inside of a ``<script type="application/json">`` element. All non-ASCII characters are
    escapes (so U+2028 and lone surrogates too), and so are the three that could end the element."""
    text = json.dumps(plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPES))  # noqa: S704 - holds no markup character after the translation


def packed(value: Any) -> str:
    """JSON as base64 of gzip: what the page unpacks when it is looked at. Lone surrogates become "?"."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), mtime=0)).decode("ascii")


def content_hash(text: str) -> str:
    """The hash of an inline script or style as a policy source."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """A Content-Security-Policy that allows these inline texts, and nothing from anywhere else."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(content_hash, scripts))}",
            f"style-src {' '.join(map(content_hash, styles))}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
