"""Text in which nothing hides: what would reorder, swallow or command is written out, wherever names are shown.

Markup is not this module's business: pages escape HTML, the command line switches markup off.
"""

import unicodedata

ZERO_WIDTH_JOINER = "\u200d"


def plain(text: str, limit: int | None = None) -> str:
    """The text on one line, with control, bidirectional and zero-width characters as `⟨U+202E⟩`; cut at `limit`.

    A joiner inside an emoji stays: without it the emoji falls apart.
    """
    whole = " ".join(text.split())
    cut = whole if limit is None or len(whole) <= limit else whole[: limit - 1].rstrip() + "…"
    return "".join(
        character if _is_harmless(cut, index, character) else f"⟨U+{ord(character):04X}⟩"
        for index, character in enumerate(cut)
    )


def _is_harmless(text: str, index: int, character: str) -> bool:
    if character == ZERO_WIDTH_JOINER:
        return index > 0 and unicodedata.category(text[index - 1]) in ("So", "Sk", "Mn")
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def file_label(name: str) -> str:
    """The last part of a path that somebody's browser sent, fit to be shown; never to be opened."""
    return plain(name.replace("\\", "/").rstrip("/").rpartition("/")[2], 120)


def download_name(name: str) -> str:
    """A name that any header and any disk takes: ASCII letters, digits, dot, dash, underscore."""
    kept = (character if character.isascii() and character.isalnum() else "-" for character in name.replace(" ", "-"))
    return "".join(kept).strip("-")[:80] or "file"
