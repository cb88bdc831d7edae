"""What a person can get wrong, said in one line."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

TELLING = (ValueError, TypeError, RuntimeError, OverflowError)  # of what a class says in words of its arguments
BARE = (IndexError, ZeroDivisionError, AssertionError)  # what it trips over where it does not check them
REFUSALS = TELLING + BARE


class Mistake(Exception):
    """A mistake of the user's: one line that says what is wrong, at which config key or file, and how to mend it.

    The command line prints the line and exits with code 2. Anything else that is raised is a fault of dlrun's.
    """


def did_you_mean(name: object, choices: Iterable[object]) -> str:
    """Return `; did you mean 'adam'?` where one of `choices` is close to `name`, else an empty string."""
    close = difflib.get_close_matches(str(name), [str(choice) for choice in choices], n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def one_line(message: object) -> str:
    """Return `message` with its line breaks and runs of blanks folded into single spaces."""
    return " ".join(str(message).split())


def choose(name: object, choices: Mapping[Any, T], key: str) -> T:
    """Return `choices[name]`.

    Raises:
        Mistake: there is no such choice; the line names `key`, what was given and what there is.
    """
    if not isinstance(name, Hashable) or name not in choices:
        raise Mistake(f"{key}: '{name}' is not one of {', '.join(map(str, choices))}{did_you_mean(name, choices)}")
    return choices[name]


@contextmanager
def blame(key: str) -> Iterator[None]:
    """Turn what a class raises about its arguments (one of REFUSALS) into a Mistake at the config key `key`.

    Running out of memory is passed on: it is no fault of the arguments.
    """
    try:
        yield
    except REFUSALS as error:
        if is_out_of_memory(error):
            raise
        raise Mistake(f"{key}: {_reason(error)}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether there was not enough memory, on the CPU or on a device of PyTorch's."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said


def _reason(error: Exception) -> str:
    said = one_line(str(error).partition("\nException raised from")[0])  # what follows are PyTorch's own lines of C++
    if said and isinstance(error, TELLING):
        return said
    return f"one of its settings cannot be so ({': '.join(filter(None, (type(error).__name__, said)))})"
