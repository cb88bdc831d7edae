"""A column that gives the answer away is named; one that is hardly ever filled is judged by the rows where it is."""

import numpy as np
import pandas as pd

from dlrun.data.reading.columns import find_leaks


def test_only_the_rows_where_a_column_is_filled_are_counted_and_the_line_says_how_many():
    truth = pd.DataFrame({"y": ["a", "b"] * 100})
    fax = pd.Series([None] * 200, dtype=object)
    fax[:6] = ["yes", "no"] * 3  # three rows a value: chance
    assert find_leaks(pd.DataFrame({"fax": fax}), {"fax": "category"}, truth) == []
    fax[:20] = ["yes", "no"] * 10
    (line,) = find_leaks(pd.DataFrame({"fax": fax}), {"fax": "category"}, truth)
    assert "determines the target 'y' in the 20 of 200 rows where it is filled" in line


def test_a_multiple_of_the_target_is_found_where_values_are_missing():
    y = np.random.default_rng(0).normal(size=100)
    x = np.where(np.arange(100) % 3 == 0, np.nan, 5 * y + 2)
    (line,) = find_leaks(pd.DataFrame({"x": x}), {"x": "numeric"}, pd.DataFrame({"y": y}))
    assert "equals the target 'y' up to scale in the 66 of 100 rows" in line
