"""Which rows are trained on, validated on and tested on: a pure function of the settings and `data.split_seed`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dlrun.config.grammar import hint
from dlrun.config.schema import CrossValidation, SplitPart, Splits
from dlrun.errors import Mistake


def split_rows(
    n: int,
    given: dict[str, np.ndarray],
    splits: Splits,
    seed: int,
    labels: np.ndarray | None,
    column_of: Callable[[str, bool], np.ndarray],
    cv: CrossValidation | None = None,
    ordered: bool = False,
    permute: int | None = None,
) -> dict[str, np.ndarray]:
    """Divide rows 0 to n-1 into train, valid and test.

    The test rows are taken first, then the validation rows from what is left. Rows that the source itself assigns
    (`given`) stay where they are. A random split is scikit-learn's `train_test_split` and keeps the order that it
    gives, so that "the last 10 % of the training rows" are those of the shuffled rows, as in Keras.

    Args:
        n: number of rows.
        given: row indices by split name, from the source.
        splits: the settings `data.split`.
        seed: `data.split_seed`.
        labels: (n,) classes to stratify by, or None.
        column_of: the values (n,) of a column that the settings name; the second argument says whether they are times.
        cv: the settings `cv`; with a fold, that one plays the test rows, and test rows of the source are left out.
        ordered: whether the rows are steps of a series.
        permute: `data.permute`: the rows that are to be divided are first brought into the order of
            `np.random.RandomState(permute).permutation`; None: they stay as they come.

    Returns:
        Row indices by split name; valid and test are absent where there are none, and valid where it is `by: test`.

    Raises:
        Mistake: a fraction or number of rows that leaves nothing, or a class too small to be stratified.
    """
    assigned = np.concatenate([*given.values(), np.empty(0, dtype=np.int64)]).astype(np.int64)
    rest = np.setdiff1d(np.arange(n), assigned)
    if permute is not None:
        if not 0 <= permute < 2**32:
            raise Mistake(f"data.permute is {permute}: a seed lies between 0 and {2**32 - 1}")
        rest = rest[np.random.RandomState(permute).permutation(len(rest))]
    rows = dict(given)
    if cv is not None and cv.fold is not None:
        rows.pop("test", None)
        rest, rows["test"] = _take_fold(rest, splits.test or SplitPart(), cv, seed, labels, column_of, ordered)
    for name, part in (("test", splits.test), ("valid", splits.valid)):
        key = f"data.split.{name}"
        if part is None or (name == "valid" and part.by == "test") or (part.fraction is None and part.rows is None):
            continue
        if name not in rows:  # rows that the source itself names win, and describe_data says so
            rest, rows[name] = _take(rest, part, seed, labels, column_of, key)
    if len(rest) == 0:
        raise Mistake("data.split: no training rows are left; lower data.split.test or data.split.valid")
    order = ("train", "valid", "test")
    return {name: {"train": rest, **rows}[name] for name in order if name == "train" or name in rows}


def _take_fold(
    rest: np.ndarray,
    part: SplitPart,
    cv: CrossValidation,
    seed: int,
    labels: np.ndarray | None,
    column_of: Callable[[str, bool], np.ndarray],
    ordered: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (kept, held out) of the rows `rest` in fold `cv.fold`.

    Raises:
        Mistake: too few rows, groups, or rows of a class for so many folds.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

    assert cv.folds is not None and cv.fold is not None  # one fold of so many is asked for
    by, column = _by(part, labels, "data.split.test")
    if by == "first":
        raise Mistake("data.split.test.by=first: folds are drawn at random, by group, or in order (by: last)")
    strata = _strata(part, labels)
    groups: np.ndarray | None = None
    classes: np.ndarray | None = None
    if by == "group":
        groups = column_of(column, False)[rest]
        folder, there = GroupKFold(cv.folds), len(np.unique(groups))
    elif ordered or by in ("time", "last"):
        if by == "time":
            rest = rest[np.argsort(column_of(column, True)[rest], kind="stable")]
        folder, there = TimeSeriesSplit(cv.folds), len(rest) - 1
    else:
        kind = KFold if strata is None else StratifiedKFold
        folder = kind(cv.folds, shuffle=cv.shuffle, random_state=seed if cv.shuffle else None)
        classes, there = None if strata is None else strata[rest], len(rest)
        if classes is not None and np.unique(classes, return_counts=True)[1].min() < cv.folds:
            raise Mistake(
                f"cv.folds is {cv.folds}: a class has fewer rows than that; lower it, or data.split.test.stratify=false"
            )
    if there < (cv.folds or 0):
        what = "groups" if groups is not None else "rows"
        raise Mistake(f"cv.folds is {cv.folds}: there are {there} {what}, too few for so many folds")
    kept, held_out = list(folder.split(rest, classes, groups))[(cv.fold or 1) - 1]
    return rest[kept], rest[held_out]


def fewer_rows(train: np.ndarray, wanted: int | float | None, splits: Splits, seed: int, ordered: bool) -> np.ndarray:
    """Return `data.train_rows` of the training rows: so many, or that share; more of them always hold the fewer.

    Of rows in a random order (a random split gives one) the first; of a series, and of rows split by time, the last;
    of any other rows some drawn at random, in the order of their file.

    Raises:
        Mistake: more than there are, none, or a share outside 0 to 1.
    """
    if wanted is None:
        return train
    share = isinstance(wanted, float)
    if share and not 0 < wanted <= 1:
        raise Mistake(f"data.train_rows is {wanted}: a share must lie above 0, and be 1 at most")
    size = max(1, round(wanted * len(train))) if share else wanted
    if isinstance(wanted, bool) or not 1 <= size <= len(train):
        raise Mistake(f"data.train_rows is {wanted}: there are {len(train)} training rows")
    ways = [part.by for part in (splits.test, splits.valid) if part is not None]
    if ordered or any(isinstance(by, dict) and "time" in by for by in ways):
        return train[-size:]
    if size < len(train) and (np.diff(train) > 0).all():
        return np.sort(np.random.default_rng(seed).permutation(train)[:size])
    return train[:size]


def limit_rows(n: int, given: dict[str, np.ndarray], limit: int, seed: int) -> np.ndarray:
    """Return at most `limit` of the rows that the source leaves to be split, and of each part that it assigns, in
    order.

    Raises:
        Mistake: limit below 1.
    """
    if limit < 1:
        raise Mistake(f"data.limit is {limit}: it must be at least 1, or null for all rows")
    assigned = np.concatenate([*given.values(), np.empty(0, dtype=np.int64)]).astype(np.int64)
    generator = np.random.default_rng(seed)
    parts = [np.setdiff1d(np.arange(n), assigned), *given.values()]
    return np.concatenate([np.sort(generator.choice(p, min(limit, len(p)), replace=False)) for p in parts])


def _take(
    rest: np.ndarray,
    part: SplitPart,
    seed: int,
    labels: np.ndarray | None,
    column_of: Callable[[str, bool], np.ndarray],
    key: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (kept, taken) of the rows `rest`."""
    by, column = _by(part, labels, key)
    size = _size(len(rest), part, key)
    if by == "group":
        return _take_groups(rest, column_of(column, False)[rest], size, seed, key)
    if by == "time":
        rest = rest[np.argsort(column_of(column, True)[rest], kind="stable")]
    if by == "first":
        return rest[size:], rest[:size]
    if by in ("time", "last"):
        return rest[:-size], rest[-size:]
    from sklearn.model_selection import train_test_split

    strata = _strata(part, labels)
    if strata is None:
        kept, taken = train_test_split(rest, test_size=size, random_state=seed)
        return kept, taken
    classes = strata[rest]
    names, counts = np.unique(classes, return_counts=True)
    alone = np.isin(classes, names[counts < 2])  # the last row of a class stays to be trained on
    _check_classes(classes[~alone], size, key)
    kept, taken = train_test_split(rest[~alone], test_size=size, random_state=seed, stratify=classes[~alone])
    return np.concatenate([kept, rest[alone]]), taken


def _strata(part: SplitPart, labels: np.ndarray | None) -> np.ndarray | None:
    """Return the classes (n,) to stratify by, or None: rows are drawn whatever their class."""
    return None if part.stratify is False else labels


def _by(part: SplitPart, labels: np.ndarray | None, key: str) -> tuple[str, str]:
    """Return how a split goes (random, first, last, time, group), and by which column, or an empty text.

    Raises:
        Mistake: in no such way, or stratified where that cannot be.
    """
    by, column = next(iter(part.by.items())) if isinstance(part.by, dict) and len(part.by) == 1 else (part.by, "")
    if by not in (("random", "first", "last") if not column else ("time", "group")):
        raise Mistake(f"{key}.by: '{part.by}' is none of random, first, last, {{time: <column>}}, {{group: <column>}}")
    if by != "random" and part.stratify:
        raise Mistake(f"{key}.stratify: only rows drawn at random can be stratified; use {key}.by=random")
    if part.stratify and labels is None:
        raise Mistake(f"{key}.stratify: only classes can be stratified; leave it null")
    return by, "" if column is None else column


def _take_groups(rest: np.ndarray, groups: np.ndarray, size: int, seed: int, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return whole groups, drawn at random, whose share of the groups is that of the rows wanted."""
    from sklearn.model_selection import GroupShuffleSplit

    if len(np.unique(groups)) < 2:
        raise Mistake(f"{key}.by: there is one group only; none could be set apart")
    splitter = GroupShuffleSplit(1, test_size=size / len(rest), random_state=seed)
    try:
        kept, taken = next(splitter.split(rest, groups=groups))
    except ValueError as error:
        raise Mistake(f"{key}: {len(np.unique(groups))} groups cannot be divided so ({error})") from error
    return rest[kept], rest[taken]


def _size(n: int, part: SplitPart, key: str) -> int:
    if part.rows is not None:
        size = part.rows
        if size < 1:
            raise Mistake(f"{key}.rows is {size}: it must be at least 1; for no such rows, {key}=null")
    else:
        assert part.fraction is not None  # one of the two is there where rows are to be taken
        if not 0 < part.fraction < 1:
            raise Mistake(
                f"{key}.fraction is {part.fraction}: it must lie between 0 and 1; for no such rows, {key}=null"
            )
        # scikit-learn rounds a test share up; the tolerance keeps 0.2 × 1000 at 200
        size = int(np.ceil(n * part.fraction - 1e-9))
    if size >= n:
        raise Mistake(f"{key}: {size} rows of {n} would leave none to train on")
    return size


def _check_classes(classes: np.ndarray, size: int, key: str) -> None:
    counts = np.unique(classes, return_counts=True)[1]
    if size < len(counts) or len(classes) - size < len(counts):
        raise Mistake(
            f"{key}: {size} rows of {len(classes)} are too few to hold all {len(counts)} classes; set "
            f"{key}.stratify=false or another size (where the target is numbers: data.task=regression)"
        )


def refuse_lone_rows(labels: np.ndarray, names: list[str], splits: Splits, numbers: bool) -> None:
    """Refuse classes with one row, which cannot be in training, validation and test rows alike.

    Args:
        labels: class indices of the rows that are to be divided.
        names: of the classes.
        splits: the settings `data.split`; rows that are not stratified may be of any class.
        numbers: whether the classes are numbers, which could be a quantity.

    Raises:
        Mistake: names the classes, and what to do for all splits at once.
    """
    parts = {"test": splits.test, "valid": splits.valid}
    stratified = [
        name
        for name, part in parts.items()
        if part is not None and part.by == "random" and part.stratify is not False and (part.fraction or part.rows)
    ]
    counts = np.bincount(labels, minlength=len(names))
    lone = [name for name, count in zip(names, counts, strict=True) if count == 1]
    if not stratified or not lone:
        return
    shown = ", ".join(f"'{name}'" for name in lone[:5]) + (", …" if len(lone) > 5 else "")
    off = " ".join(f"data.split.{name}.stratify=false" for name in stratified)
    kept = [name for name, count in zip(names, counts, strict=True) if count > 1]
    leave = f"; {hint('data.classes', kept)} leaves it out" if len(kept) in range(2, 11) else ""
    regression = "; data.task=regression if the target is a quantity" if numbers else ""
    which = f"class {shown} has" if len(lone) == 1 else f"{len(lone):,} of {len(names):,} classes ({shown}) have"
    raise Mistake(f"data.target: {which} one row, which cannot be divided: {off} draws regardless of classes"
                  f"{leave}{regression}")  # fmt: skip
