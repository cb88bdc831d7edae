"""A split divides: no row is lost or in two parts, sizes are those asked for, and the seed alone decides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlrun.config.schema import CrossValidation, SplitPart, Splits
from dlrun.data.split_rows import split_rows
from dlrun.errors import Mistake


def no_column(name, _times):
    raise AssertionError(name)


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 300), st.floats(0.05, 0.6), st.floats(0.05, 0.6), st.integers(0, 9),
       st.sampled_from(["random", "first", "last"]))  # fmt: skip
def test_every_row_is_in_exactly_one_part(n, test, valid, seed, by):
    splits = Splits(SplitPart(fraction=test, by=by), SplitPart(fraction=valid, by=by))
    try:
        parts = split_rows(n, {}, splits, seed, None, no_column)
    except Mistake as mistake:
        assert "data.split" in str(mistake) and "\n" not in str(mistake)
        return
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(n))
    assert abs(len(parts["test"]) - test * n) <= 1
    again = split_rows(n, {}, splits, seed, None, no_column)
    assert all(np.array_equal(parts[name], again[name]) for name in parts)


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 200), st.integers(2, 6), st.integers(0, 5))
def test_each_row_plays_the_test_row_in_exactly_one_fold(n, folds, seed):
    tested = []
    for fold in range(1, folds + 1):
        cv = CrossValidation(folds=folds, fold=fold)
        parts = split_rows(n, {}, Splits(SplitPart(fraction=0.2), None), seed, None, no_column, cv)
        assert not set(parts["test"]) & set(parts["train"])
        tested += parts["test"].tolist()
    assert sorted(tested) == list(range(n))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(2, 40), min_size=2, max_size=4), st.integers(0, 5))
def test_a_stratified_split_keeps_the_shares_of_the_classes(sizes, seed):
    labels = np.repeat(np.arange(len(sizes)), np.array(sizes) * 5)
    splits = Splits(SplitPart(fraction=0.2), None)
    parts = split_rows(len(labels), {}, splits, seed, labels, no_column)
    for index, size in enumerate(sizes):
        assert (labels[parts["test"]] == index).sum() == pytest.approx(size, abs=1)
