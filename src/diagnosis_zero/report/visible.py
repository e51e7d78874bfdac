"""Characters that cannot be seen, or that reorder what surrounds them, made visible."""

from __future__ import annotations

import unicodedata

_KEPT = {"\n", "\t", "\u200c", "\u200d", "\u00ad"}
"""Line structure, and joiners that scripts need."""


def visible(text: str) -> str:
    """``text`` with control and direction characters written as pictures or code points: NUL as ␀, U+202E as
    ⟨U+202E⟩. A page then shows what is there, and no character can turn the words beside it around."""
    if text.isprintable():
        return text
    return "".join(_picture(char) for char in text)


def _picture(char: str) -> str:
    if char in _KEPT or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn"):
        return char
    if ord(char) < 0x20:
        return chr(0x2400 + ord(char))
    return f"⟨U+{ord(char):04X}⟩"
