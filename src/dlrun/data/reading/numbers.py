"""Numbers as people and programs write them: a decimal comma, thousands marks, a currency, percents, units."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

ENOUGH = 0.95  # of the values, that must be numbers (or dates) for a column to hold them
HUGE = 1e37  # from here on a float32 overflows; files have such values, and infinities, where they have no value
NUMBER = re.compile(
    r"(?P<before>[^\d.,+\-]*)(?P<sign>[+-]?)(?P<between>[^\d.,+\-]*)"
    r"(?P<body>\d[\d.,'_ ]*|[.,]\d+)(?P<power>[eE][+-]?\d+)?(?P<behind>.*)"
)
UNIT = re.compile(r"[^\W\d_]{0,12}|[^\s\d.,:;+\-(]{1,3}|[^\W\d_]{1,4}/?[^\W\d_]{0,4}[²³23]?|\+")
CURRENCIES = frozenset(
    ["usd", "eur", "gbp", "chf", "jpy", "cny", "inr", "aud", "cad", "sek", "nok", "dkk", "pln", "czk", "huf", "rub",
     "brl", "zar", "mxn", "try", "krw", "rs", "rs.", "kr", "kr.", "fr", "fr.", "sfr", "sfr."]
)  # fmt: skip
MULTIPLES = {"k": 1e3, "m": 1e6, "mn": 1e6, "mio": 1e6, "b": 1e9, "bn": 1e9}
WAYS = ((".", ""), (",", ""), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"), (".", "_"))
PLAIN = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'", "\u2212": "-", "`": "'"})


@dataclass(frozen=True)
class Notation:
    """How the numbers of a column are written.

    Attributes:
        decimal: `.` or `,`.
        thousands: what stands between groups of digits, or nothing.
        unit: what stands before or behind each number, in lower case: `€`, `%`, `kg`; or nothing.
        multiples: whether a letter behind a number multiplies it: 565K, 1.2M.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    multiples: bool = False

    @property
    def plain(self) -> bool:
        """Whether the numbers are written as a program expects them."""
        return self == Notation()

    def __str__(self) -> str:
        ways = []
        if self.decimal != ".":
            ways.append("decimal comma")
        if self.thousands:
            ways.append(f"thousands '{self.thousands}'")
        if self.unit == "%":
            ways.append("in percent: 5% is 5")
        elif self.unit:
            ways.append(f"unit '{self.unit}'")
        if self.multiples:
            ways.append("K, M, B multiplied out")
        return ", ".join(ways)


def parse(texts: pd.Series, notation: Notation) -> pd.Series:
    """Return float numbers, NaN where a text is no number in that notation or a value is missing."""
    distinct = texts.dropna().unique()
    plain = [_plain(str(text), notation) for text in distinct]
    numbers = pd.to_numeric(pd.Series([p[0] for p in plain], dtype=object), errors="coerce").to_numpy(dtype=float)
    numbers = numbers * np.array([p[1] for p in plain], dtype=float)
    return texts.map(dict(zip(distinct, numbers, strict=True))).astype(float)


def finite(values: pd.Series) -> pd.Series:
    """Return numbers as float64, with NaN for infinities and for what no float32 holds."""
    values = values.astype(float)
    return values.where(values.abs() < HUGE)


def find_notation(
    texts: pd.Series, decimal: str | None = None, thousands: str | None = None, comma_file: bool = False
) -> tuple[Notation, float]:
    """Return the notation in which most of the `texts` are numbers, and their share.

    Args:
        texts: a column without its missing values.
        decimal, thousands: what the person said; None: found out. Where it fits fewer than 95 % of the values, what
            fits better is taken.
        comma_file: whether the table shows elsewhere that a comma is its decimal mark: decides on `2,119` and `1.234`.
    """
    counts = texts.astype(str).value_counts()
    parts = {text: divided for text in counts.index if (divided := _parts(text)) is not None}
    if not parts:
        return Notation(), 0.0
    unit, multiples = _unit(parts, counts)
    fitting = {text: body for text, (body, own) in parts.items() if multiples or _singular(own) in (unit, _bare(unit))}
    total = counts.sum()
    shares = {
        way: sum(counts[text] for text, body in fitting.items() if _pattern(*way).fullmatch(body)) / total
        for way in WAYS
    }
    told = [way for way in WAYS if decimal in (None, way[0]) and (thousands is None or thousands in (way[1], ""))]
    if thousands == "":
        told = [way for way in told if not way[1]]
    most = max((shares[way] for way in told), default=0.0)
    if (decimal is not None or thousands is not None) and most < ENOUGH:
        told, most = list(WAYS), max(shares.values())
    best = [way for way in told if shares[way] == most]
    chosen = best[0]
    if decimal is None and thousands is None and most > 0:
        if chosen == (",", "") and (".", ",") in best and not comma_file:
            chosen = (".", ",")  # 5,126 alone
        elif (
            chosen == (".", "") and (",", ".") in best and comma_file and any("." in body for body in fitting.values())
        ):
            chosen = (",", ".")  # 1.234 alone
    elif thousands and (better := [way for way in best if way[1] == thousands]):
        chosen = better[0]
    return Notation(chosen[0], chosen[1], unit, multiples), float(most)


@cache
def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    """Return what the digits of a number look like with these marks."""
    mark = re.escape(decimal)
    whole = r"\d+"
    if thousands:
        t = re.escape(thousands)
        whole = rf"(?:\d+|[1-9]\d{{0,2}}(?:{t}\d{{2,3}})*{t}\d{{3}})"
    return re.compile(rf"{whole}(?:{mark}\d*)?|{mark}\d+")


def _parts(text: str) -> tuple[str, str] | None:
    """Return the digits with their marks, and the unit in lower case; None where a text is no number."""
    match = NUMBER.fullmatch(_bracketed(text))
    if match is None:
        return None
    before = (match["before"] + match["between"]).strip().lower()
    behind = match["behind"].strip().lower()
    if before and not _is_currency(before):
        return None
    if behind and not (_is_currency(behind) or UNIT.fullmatch(behind)):
        return None
    return match["body"].strip(" '_"), before + behind


def _bracketed(text: str) -> str:
    """Return a text with plain marks, and a minus for the brackets that book-keepers write."""
    text = text.translate(PLAIN).strip()
    return f"-{text[1:-1]}" if text.startswith("(") and text.endswith(")") else text


def _is_currency(text: str) -> bool:
    return text in CURRENCIES or (len(text) < 5 and any(unicodedata.category(letter) == "Sc" for letter in text))


def _unit(parts: dict[str, tuple[str, str]], counts: pd.Series) -> tuple[str, bool]:
    """Return the unit of most numbers, and whether letters behind them multiply."""
    units: dict[str, int] = {}
    for text, (_, unit) in parts.items():
        units[_singular(unit)] = units.get(_singular(unit), 0) + int(counts[text])
    letters = {_split_multiple(unit)[1] for unit in units} - {""}
    stems = {_split_multiple(unit)[0] for unit in units}
    if len(letters) > 1 and len(stems - {""}) <= 1:
        return max(stems), True
    named = {unit: count for unit, count in units.items() if unit}
    if named and max(named.values()) >= units.get("", 0):
        return max(named, key=named.__getitem__), False
    return "", False


def _split_multiple(unit: str) -> tuple[str, str]:
    """Return a unit without the letter that multiplies, and that letter: `€k` is `€` and `k`."""
    for letter in sorted(MULTIPLES, key=len, reverse=True):
        stem = unit.removesuffix(letter)
        if stem != unit and (not stem or _is_currency(stem)):
            return stem, letter
    return unit, ""


def _singular(unit: str) -> str:
    return unit[:-1] if len(unit) > 3 and unit.endswith("s") else unit


def _bare(unit: str) -> str:
    """Return what a number without a unit counts as: one of that unit, but for percents."""
    return unit if unit == "%" else ""


def _plain(text: str, notation: Notation) -> tuple[str | None, float]:
    """Return a number as Python writes it, and what it is multiplied by."""
    divided = _parts(text)
    if divided is None:
        special = text.strip().lower().lstrip("+-")
        return (text.strip(), 1.0) if special in ("inf", "infinity") else (None, 1.0)
    body, unit = divided
    factor = 1.0
    if notation.multiples:
        stem, letter = _split_multiple(_singular(unit))
        factor = MULTIPLES.get(letter, 1.0)
        unit = notation.unit if stem in ("", notation.unit) else unit
    if _singular(unit) not in (notation.unit, _bare(notation.unit)):
        return None, 1.0
    if not _pattern(notation.decimal, notation.thousands).fullmatch(body):
        return None, 1.0
    if notation.thousands:
        body = body.replace(notation.thousands, "")
    match = NUMBER.fullmatch(_bracketed(text))
    assert match is not None  # as `_parts` has found
    return match["sign"] + body.replace(notation.decimal, ".") + (match["power"] or ""), factor
