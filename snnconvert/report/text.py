"""Text that came from a file, made safe to show in a terminal, an error line or a page."""

import unicodedata

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Cc controls, Cf invisible formatting (bidirectional overrides turn names around), Cs lone surrogates
# (they cannot be encoded), Zl and Zp line ends that only some programs know
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str, limit: int = 80) -> str:
    """Return one line of at most ``limit`` characters, without control characters.

    White space becomes a space, any other control, invisible or unencodable character U+FFFD. A longer text loses its
    middle, since names from exporters differ in their first and last parts: ``/layer1/l…1/Conv``.
    """
    if len(text) > limit:
        head = max(limit * 3 // 5, 0)
        tail = max(limit - head - 1, 0)
        text = text[:head] + "…" + (text[-tail:] if tail else "")
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    return _REPLACEMENT if unicodedata.category(character) in _HIDDEN else character
