"""Output to a terminal or a pipe whose encoding lacks some characters (cp932, cp1251, ascii)."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

PLAIN = {"–": "-", "—": "-", "−": "-", "×": "x", "·": "*", "±": "+-", "…": "...", "€": "EUR", "√": "sqrt", "ᵏ": "^k",
         "ß": "ss", "Σ": "sum", "λ": "lambda", "σ": "sigma"}  # fmt: skip


def write_plainly() -> None:
    """Let what is printed fall back to plain characters where the encoding lacks one, so that no print fails."""
    codecs.register_error("dlrun.plain", in_plain_characters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="dlrun.plain")


def in_plain_characters(error: UnicodeError) -> tuple[str, int]:
    """Return what is written in place of what cannot be encoded, and where to go on; a handler of `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(map(_plain_character, lacking)), error.end


def _plain_character(character: str) -> str:
    """Return what stands for a character: `u` for `ü`, `2` for `²`; where nothing does, its code (`\\u5c0f`)."""
    if character in PLAIN:
        return PLAIN[character]
    simple = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return simple or character.encode("ascii", "backslashreplace").decode()
