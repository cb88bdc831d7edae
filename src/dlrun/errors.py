"""What a person can get wrong, said in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


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
    if name not in choices:
        raise Mistake(f"{key}: '{name}' is not one of {', '.join(map(str, choices))}{did_you_mean(name, choices)}")
    return choices[name]


@contextmanager
def blame(key: str) -> Iterator[None]:
    """Turn what a class raises about its arguments (ValueError, TypeError) into a Mistake at the config key `key`."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise Mistake(f"{key}: {one_line(error)}") from error
