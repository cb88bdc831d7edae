"""Where a table of text begins: what divides its fields, which line is its header, and what its columns are called."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, field

from dlrun.errors import Mistake

SEPARATORS = ("\t", ";", "|", ",")
BLANKS = r"\s+"  # as pandas calls it
SAMPLE = 300  # lines that are looked at
REGULAR = 0.8  # of the rows, that a separator must divide into equally many fields
DATA_LIKE = 0.5  # of the first line's fields, that are numbers above numbers: then there is no header
RECURRING = 0.9  # of its fields, that are such numbers or occur again below: likewise


@dataclass
class Layout:
    """How a table of text is laid out.

    Attributes:
        separator: between fields; `\\s+`: blanks.
        skip: lines before the first row.
        names: of the columns, one for each field of a row.
        empty: columns without a name, that are left out where they hold nothing.
        left_out: columns that are no data: the rows' own names.
        headless: whether there is no header, and columns are called by their number.
        notes: what was passed over or inferred.
    """

    separator: str
    skip: int
    names: list[str]
    empty: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    headless: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass
class Record:
    """A row as it stands in the file: its fields, and its first and last line, counted from 1."""

    fields: list[str]
    first: int
    last: int


def find_layout(
    lines: list[str], name: str, separator: str | None = None, header: str | int | None = None, quote: str | None = '"'
) -> Layout:
    """Return the layout of a table from its first lines.

    Args:
        lines: the first lines, without their ends.
        name: of the file, for messages.
        separator: what is known to divide the fields; None: found out.
        header: `none`, the number of the line that is the header, or None: found out.
        quote: what stands around fields that hold a separator; None: nothing does.

    Raises:
        Mistake: the table is empty, has no line of that number, or two columns of one name.
    """
    if not any(line.strip() for line in lines):
        raise Mistake(f"{name}: the file is empty")
    told = re.match(r"\s*\"?sep=(.)\"?\s*$", lines[0])
    if told:
        separator = told[1]
    separator = separator or find_separator(lines, quote)
    records = divide(lines, separator, quote)
    if told:  # Excel's own line
        records = records[1:]
    width = Counter(len(record.fields) for record in records).most_common(1)[0][0] if records else 0
    if isinstance(header, int) and not isinstance(header, bool):
        begins = [i for i, record in enumerate(records) if record.first <= header <= record.last]
        if not begins:
            raise Mistake(f"data.header is {header}: {name} has no such line, or it is empty; lines count from 1")
        at, headless = begins[0], False
    elif header not in (None, "none"):
        raise Mistake(f"data.header is '{header}': it is none, the number of the header's line, or null")
    else:
        at = _first_of_table(records, width)
        headless = header == "none" or looks_like_data(records[at].fields, [r.fields for r in records[at + 1 :]])
    layout = _named(records[at], records[at + 1 :], width, separator, headless, name)
    above = records[at].first - 1
    passed = [line.strip() for line in lines[bool(told) : above] if line.strip()]
    if passed and header is None:
        shown = passed[0]
        layout.notes.insert(
            0,
            f"line {above} and those above it ('{_short(shown)}') are no rows; line {records[at].first} is the "
            f"{'first row' if headless else 'header'} (data.header=<line> takes another)"
            if above > 1
            else f"line 1 ('{_short(shown)}') is no row; line 2 is the {'first row' if headless else 'header'} "
            "(data.header=1 takes it as header)",
        )
    if headless and header is None:
        layout.notes.append(
            f"there is no header: the columns are called 1 to {len(layout.names)}, as line {records[at].first} holds "
            f"values ({_short(', '.join(records[at].fields))}); data.header={records[at].first} takes it as header"
        )
    return layout


def find_separator(lines: list[str], quote: str | None) -> str:
    """Return what divides most rows into equally many fields, and the header likewise; blanks where nothing else."""
    fitting = []
    for candidate in SEPARATORS:
        records = divide(lines, candidate, quote)
        width, count = Counter(len(record.fields) for record in records).most_common(1)[0]
        if width > 1 and count >= REGULAR * len(records):
            head = records[_first_of_table(records, width)].fields
            fitting.append((len(head) >= width - 1 and len(head) > 1, candidate, width))
    fitting.sort(key=lambda fit: not fit[0])  # those that divide the header first, in their order
    best = fitting[0][1:] if fitting else None
    if best is None or best[0] == "\t":
        records = divide(lines, BLANKS, quote)
        widths = Counter(len(record.fields) for record in records)
        width, count = widths.most_common(1)[0]
        if (
            width > (best[1] if best else 1)
            and count >= len(records) - 1
            and (len(records) > 2 or count == len(records))
        ):
            return BLANKS
    if best is not None:
        return best[0]
    heads = {candidate: max(len(r.fields) for r in divide(lines, candidate, quote)[:2]) for candidate in SEPARATORS}
    return max(reversed(SEPARATORS), key=heads.__getitem__)


def divide(lines: list[str], separator: str, quote: str | None) -> list[Record]:
    """Return the records in `lines`, without empty ones; a quoted field may go on over several lines."""
    blanks = separator == BLANKS
    given = [line.replace("\t", " ").strip() if blanks else line for line in lines]
    quoting = {"quoting": csv.QUOTE_NONE} if quote is None else {"quotechar": quote}
    reader = csv.reader(
        (line + "\n" for line in given), delimiter=" " if blanks else separator, skipinitialspace=True, **quoting
    )
    records: list[Record] = []
    last = 0
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return records
        except csv.Error:  # a field longer than the module reads: no line of a header
            last = reader.line_num
            continue
        if any(text.strip() for text in fields) or len(fields) > 1:
            records.append(Record([" ".join(text.split()) for text in fields], last + 1, reader.line_num))
        last = reader.line_num


def looks_like_data(first: list[str], below: list[list[str]]) -> bool:
    """Return whether the first line of a table holds values, and no names.

    It does where half of its fields are numbers above numbers, or nearly all are that or occur again below in their
    columns; but for names that are numbers: years, and those that go up step by step.
    """
    rows = [row for row in below if len(row) >= len(first)]
    if not rows or not first:
        return False
    numbers = [text for text in first if is_number(text)]
    columns = [[row[i] for row in rows] for i in range(len(first))]
    filled = sum(bool(text) for text in first)
    above_numbers = sum(is_number(text) and _numeric(column) for text, column in zip(first, columns, strict=True))
    again = sum(
        not is_number(text) and bool(text) and text in column for text, column in zip(first, columns, strict=True)
    )
    like_numbers = above_numbers > 0 and above_numbers >= DATA_LIKE * filled
    if not (like_numbers or 0 < RECURRING * filled <= above_numbers + again):
        return False
    below_them = [row[i] for row in rows[:20] for i, text in enumerate(first) if is_number(text) and is_number(row[i])]
    return not _are_names(numbers, below_them)


def _numeric(column: list[str]) -> bool:
    filled = [text for text in column if text]
    return bool(filled) and sum(map(is_number, filled)) >= DATA_LIKE * len(filled)


def _are_names(numbers: list[str], below: list[str]) -> bool:
    """Return whether numbers are names: years (above what are none), or a scale that goes up (0, 1, 2, … or 400.5,
    401.2, …).
    """
    if len(numbers) < 2 or len(set(numbers)) < len(numbers) or any(set(text) & set(",%") for text in numbers):
        return False
    values = [float(text) for text in numbers]
    whole = all(value.is_integer() for value in values)
    steps = [b - a for a, b in zip(values, values[1:], strict=False)]
    if whole and all(step == 1 for step in steps):
        return True
    if all(_is_year(text) for text in numbers) and not all(_is_year(text) for text in below):
        return True
    return len(values) >= 5 and all(step > 0 for step in steps)


def _is_year(text: str) -> bool:
    return text.isdigit() and 1800 <= int(text) <= 2100


def is_number(text: str) -> bool:
    """Return whether a field is a number, with a decimal point or a decimal comma."""
    return re.fullmatch(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?%?", text.strip()) is not None


def _first_of_table(records: list[Record], width: int) -> int:
    """Return which record is the table's first: as wide as the others (or one field less, where rows end in a separator
    or begin with their name), and no comment above the header.
    """
    for i, record in enumerate(records[:-1]):
        rest = [r.fields for r in records[i + 1 :]]
        fields = len(record.fields)
        before_data = looks_like_data(rest[0], rest[1:])
        if _is_comment(record) and len(rest[0]) >= width and _stands_above_numbers(rest[0], rest[1:]):
            continue
        if fields >= width or (1 < fields == width - 1 and len(rest[0]) == width and before_data):
            return i
    return 0


def _is_comment(record: Record) -> bool:
    return record.fields[0].startswith(("#", "%", "//"))


def _stands_above_numbers(fields: list[str], below: list[list[str]]) -> bool:
    """Return whether fields are the names of columns of numbers: a text stands above numbers, and no number does."""
    rows = [row for row in below if len(row) >= len(fields)]
    above = [text for i, text in enumerate(fields) if rows and _numeric([row[i] for row in rows])]
    return bool(above) and not any(map(is_number, above))


def _named(head: Record, below: list[Record], width: int, separator: str, headless: bool, name: str) -> Layout:
    """Return the layout of a table whose first record is `head`."""
    if headless:
        names = [str(i + 1) for i in range(max(width, len(head.fields)))]
        return Layout(separator, head.first - 1, names, headless=True)
    given = list(head.fields)
    if given[0] == "#" and len(given) == width + 1:  # "# x y z", as NumPy writes it
        given = given[1:]
    given[0] = given[0].removeprefix("# ")
    notes, left_out = [], []
    if len(given) == width - 1 and below:
        rows = [record.fields for record in below if len(record.fields) == width]
        if not any(row[-1] for row in rows):
            given.append("")
        elif len({row[0] for row in rows}) == len(rows) == len(below) and len(rows) > 2:
            given.insert(0, "the rows' names")
            left_out = ["the rows' names"]
            notes.append(
                f"each row has a value more than the header: the first ({_short(rows[0][0])}) is taken as the row's "
                "name and left out"
            )
    names = [text or f"column {i + 1}" for i, text in enumerate(given)]
    empty = [names[i] for i, text in enumerate(given) if not text]
    twins = sorted(text for text, count in Counter(names).items() if count > 1)
    if twins:
        raise Mistake(
            f"{name}: two columns are called '{twins[0]}'; rename one (line {head.first} is taken as the header; "
            "data.header=none if it is a row)"
        )
    return Layout(separator, head.last, names, empty, left_out, notes=notes)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:59] + "…"
