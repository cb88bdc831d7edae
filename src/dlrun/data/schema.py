"""What the raw inputs of a run are: columns with their kinds, categories and ranges, or images, or windows, or text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

IGNORED = "ignore"
NUMBERS = ("numeric", "plain")


@dataclass(frozen=True)
class Column:
    """A column of the raw inputs.

    Attributes:
        name: as it stands in the table.
        kind: `numeric`, `boolean`, `date`, `category`, `plain` (a number, taken as it is), `text`, or `ignore`.
        categories: those of the training rows, as text and in order; for categories.
        range: the smallest and the largest value of the training rows, in the column's own units; dates as ISO text.
            None: not known, or of no use for the kind.
        required: whether new rows must have the column.
    """

    name: str
    kind: str
    categories: tuple[str, ...] = ()
    range: tuple[float, float] | tuple[str, str] | None = None
    required: bool = True


@dataclass(frozen=True)
class ImageSchema:
    """Images of bytes: their size in pixels, and the largest value that a pixel can have."""

    channels: int
    height: int
    width: int
    largest: float


@dataclass(frozen=True)
class SeriesSchema:
    """Windows of a series.

    Attributes:
        lags: steps in a window.
        horizon: steps from the last one of the window to the target.
        table: whether the columns stand in a table as they are, so that windows can be cut from one.
    """

    lags: int
    horizon: int
    table: bool


@dataclass(frozen=True)
class CharacterSchema:
    """Windows of characters.

    Attributes:
        alphabet: the character of each id; `end` is that of a line.
        beginnings: the windows that lines begin with, and how many lines do.
    """

    alphabet: tuple[str, ...]
    beginnings: Mapping[str, int]


@dataclass(frozen=True)
class InputSchema:
    """What new rows must be, for whoever asks for them (predict, a form, a server) or draws them.

    Attributes:
        kind: `table`, `text`, `images`, `series`, `characters`, or another word for what a user's own data are.
        columns: of a table, in its order, also those that are ignored; of text and series, what they are read from.
        image, series, characters: of that kind; else None.
    """

    kind: str
    columns: tuple[Column, ...] = ()
    image: ImageSchema | None = None
    series: SeriesSchema | None = None
    characters: CharacterSchema | None = None

    @property
    def used(self) -> tuple[Column, ...]:
        """The columns that are not ignored."""
        return tuple(column for column in self.columns if column.kind != IGNORED)

    @property
    def numbers_only(self) -> bool:
        """Whether there are columns, and all that are used hold numbers."""
        return bool(self.used) and all(column.kind in NUMBERS for column in self.used)
