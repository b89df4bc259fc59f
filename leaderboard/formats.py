"""How numbers and strangers' text are written: on the page, in its inline data and in CSV cells."""

import json
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "average_text",
    "bytes_text",
    "count_text",
    "csv_cell",
    "https_url",
    "inline_json",
    "plain",
    "score_text",
    "seconds_text",
]

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def score_text(value: float | None) -> str:
    """Two decimals and a real minus sign; a dash for what does not exist.

    >>> score_text(-0.004), score_text(0.876), score_text(None)
    ('0.00', '0.88', '–')
    """
    if value is None:
        return "–"
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def bytes_text(value: float) -> str:
    """Bytes with a binary unit and about three digits.

    >>> bytes_text(0), bytes_text(1023), bytes_text(4096), bytes_text(118_000)
    ('0 B', '1023 B', '4.0 KiB', '115 KiB')
    """
    unit = 0
    while round(value) >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit and value < 100 else f"{value:.0f} {UNITS[unit]}"


def count_text(value: int) -> str:
    """A whole number with a thin space between thousands.

    >>> len(count_text(148742))
    7
    """
    return f"{value:,}".replace(",", "\N{THIN SPACE}")


def average_text(value: float) -> str:
    """A mean of counts: one decimal below 100, none above.

    >>> average_text(3.0), average_text(183.4)
    ('3.0', '183')
    """
    return f"{value:.1f}" if value < 100 else count_text(round(value))


def seconds_text(value: float | None) -> str:
    """Seconds with about two digits.

    >>> seconds_text(0.00123), seconds_text(0.857), seconds_text(1.5), seconds_text(None)
    ('1.2 ms', '857 ms', '1.5 s', '–')
    """
    if value is None:
        return "–"
    if value < 1:
        return f"{1000 * value:.2g} ms" if value < 0.0995 else f"{1000 * value:.0f} ms"  # never 8.6e+02
    return f"{value:.1f} s"


@lru_cache(maxsize=1 << 12)  # names and descriptions stand in many tables
def plain(text: str, limit: int = 600) -> str:
    """Text of a stranger on one line: no control or direction characters, cut at `limit`."""
    shown = "".join(c if c.isprintable() else " " for c in text[: 2 * limit])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def https_url(text: str) -> str:
    """`text` where it is a plain https address, otherwise ``""``: nothing else becomes a link.

    >>> https_url("javascript:alert(1)"), https_url("https://example.org/a")
    ('', 'https://example.org/a')
    """
    if not text.isascii() or not text.isprintable() or " " in text:
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme == "https" and parts.hostname and "@" not in parts.netloc else ""


def csv_cell(value: Any) -> Any:
    """`value`; text that a spreadsheet would run as a formula gets a leading quote.

    >>> csv_cell("=1+1"), csv_cell(-0.5)
    ("'=1+1", -0.5)
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("=", "+", "-", "@"):
        return "'" + value
    return "" if value is None else value


def inline_json(value: Any) -> str:
    """JSON that can stand inside a ``<script>`` element: no character of it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII: U+2028 comes out escaped
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
