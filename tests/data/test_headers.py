"""Where a table begins, what divides it and what its columns are called: found, said, and to be set."""

import re

import numpy as np
import pandas as pd
import pytest

from dlrun.data.sources.tabular import csv
from dlrun.errors import Mistake

ROWS = [f"{10 + i * 7 % 23}.5,{i % 5}.25,{i * 3 % 17}.75" for i in range(40)]
TABLE = "x,z,y\n" + "\n".join(ROWS) + "\n"


@pytest.fixture
def read(tmp_path):
    """Returns the source of a table that is given as text, or as bytes."""

    def of(content: str | bytes, target="y", name="t.csv", **settings):
        content = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(content)
        return csv(str(tmp_path / name), target, **settings)

    return of


def values(source) -> list[list[float]]:
    return np.column_stack([source.inputs.to_numpy(dtype=float), source.targets.astype(float)]).tolist()


EXPECTED = [[float(text) for text in row.split(",")] for row in ROWS]


@pytest.mark.parametrize(
    "content",
    [
        "Report of sales, 2024\n\n" + TABLE,
        "# made by a program\n# on Monday, at noon\n" + TABLE,
        "#a comment, with commas, too\n" + TABLE,
        "sep=;\n" + TABLE.replace(",", ";"),
        "\n\n" + TABLE,
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\r"),
        TABLE.replace(",", "  "),
        "".join(f"   {line}\n" for line in TABLE.replace(",", "\t ").splitlines()),
        TABLE.replace(",", "|"),
        "x,z,y\n" + "".join(f"{row},\n" for row in ROWS),
        "x,z,y,,\n" + "".join(f"{row},,\n" for row in ROWS),
        "# " + TABLE,
        TABLE.encode("utf-16"),
        TABLE.encode("utf-8-sig"),
    ],
    ids=["title", "comments", "comment", "sep", "blank", "crlf", "cr", "blanks", "indented", "bars", "trailing",
         "empty", "hash", "utf16", "bom"],
)  # fmt: skip
def test_the_same_table_is_found_however_it_is_laid_out(read, content):
    source = read(content)
    assert list(source.inputs) == ["x", "z"] and values(source) == EXPECTED


def test_what_stands_above_the_header_is_said(read):
    assert any("line 3 is the header" in note and "data.header" in note for note in read("A title\n\n" + TABLE).notes)


def test_a_line_break_in_a_quoted_name_is_a_blank(read):
    source = read('"price\n(EUR)",z,y\n' + "\n".join(ROWS))
    assert list(source.inputs) == ["price (EUR)", "z"] and values(source) == EXPECTED


def test_without_a_header_columns_are_called_by_their_number_and_it_is_said(read):
    source = read("\n".join(ROWS), target=3)
    assert list(source.inputs) == ["1", "2"] and values(source) == EXPECTED
    assert any("there is no header" in note and "data.header=1" in note for note in source.notes)
    with pytest.raises(Mistake, match="columns are called by their number"):
        read("\n".join(ROWS), target="y")


@pytest.mark.parametrize(
    "first",
    [
        "1990,1995,y",
        "0,1,y",
        "400.5,401.25,402.0,403.5,404.5,y",
    ],
)
def test_names_that_are_numbers_are_names(read, first):
    width = first.count(",") + 1
    rows = "\n".join(",".join(str((i * 7 + k) % 11 + 0.5) for k in range(width)) for i in range(40))
    assert list(read(f"{first}\n{rows}").inputs) == first.split(",")[:-1]


def test_a_table_of_categories_without_a_header_has_none(read):
    rows = "\n".join(f"{'pe'[i % 2]},{'xsb'[i % 3]},{'nyw'[i // 2 % 3]}" for i in range(40))
    assert list(read(rows, target="1").inputs) == ["2", "3"]


def test_the_header_can_be_set(read):
    assert list(read(TABLE, target="1", header="none").inputs) == ["2", "3"]
    assert list(read("a,b,c\n" + TABLE, header=2).inputs) == ["x", "z"]
    with pytest.raises(Mistake, match="data.header is 900: .* has no such line"):
        read(TABLE, header=900)
    with pytest.raises(Mistake, match="data.header is 'maybe'"):
        read(TABLE, header="maybe")


def test_columns_without_a_name_are_left_out_where_they_are_empty_and_called_by_their_place_else(read):
    source = read("x,,,y\n" + "".join(f"{i % 7}.5,,{i % 3}.5,{i}.5\n" for i in range(40)))
    assert list(source.inputs) == ["x", "column 3"] and any("column 2" in note for note in source.notes)


def test_row_names_before_the_first_column_are_left_out_and_said(read):
    source = read('"x" "z" "y"\n' + "".join(f'"r{i}" {row.replace(",", " ")}\n' for i, row in enumerate(ROWS)))
    assert values(source) == EXPECTED and any("taken as the row's name" in note for note in source.notes)


@pytest.mark.parametrize("order", [range(40), [i * 7 % 40 for i in range(40)]])
@pytest.mark.parametrize("name", ["", "index", "id"])
def test_a_column_that_numbers_the_rows_is_ignored_in_whatever_order(read, name, order):
    source = read(f"{name},x,z,y\n" + "\n".join(f"{n},{row}" for n, row in zip(order, ROWS, strict=True)))
    ignored = [column for column, kind in source.preprocessing.kinds.items() if kind == "ignore"]
    assert ignored == [name or "column 1"]


def test_a_quote_that_swallows_rows_is_said_and_quotes_can_be_letters(read):
    lines = [f"{i * 3 % 17}.5,{chr(34) if i in (10, 30) else ''}item {i % 4},{i % 9}.5" for i in range(40)]
    source = read("x,name,y\n" + "\n".join(lines))
    assert len(source) == 20 and any("40 lines give 20 rows" in n and "data.quote=none" in n for n in source.notes)
    assert len(read("x,name,y\n" + "\n".join(lines), quote="none")) == 40
    with pytest.raises(Mistake, match="a quote opens in row .* does not close; data.quote=none"):
        read("x,name,y\n" + "\n".join(lines[:20]))


def test_rows_that_are_too_long_are_one_line_without_words_of_pandas(read):
    with pytest.raises(Mistake) as mistake:
        read(TABLE + "1.5,2.5,3.5,4.5,5.5\n")
    assert "row 41 has 5 values and the header 3" in str(mistake.value)
    assert not re.search("index_col|usecols|tokeniz|names", str(mistake.value))


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("t.xlsx", b"PK\x03\x04" + b"\0" * 26 + b"[Content_Types].xml", "an Excel file"),
        ("t.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 100, "an Excel file"),
        ("t.json", b'[{"x": 1, "y": 2}]', "a JSON file"),
        ("t.csv", b'{"x": 1}\n{"x": 2}\n', "a JSON file"),
        ("t.arff", b"% a comment\n@RELATION t\n", "an ARFF file"),
        ("t.npy", b"\x93NUMPY\x01\x00", "a NumPy array"),
        ("t.npz", b"PK\x03\x04" + b"\0" * 26 + b"inputs.npy", "an archive of NumPy arrays"),
        ("t.db", b"SQLite format 3\0", "an SQLite database"),
        ("t.csv", b"\x1f\x8b\x08\0", "a gzip file"),
        ("t.csv", b"<!DOCTYPE html>\n<html>", "a web page"),
        ("t.csv", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        ("t.csv", b"PAR1\x15\x04", "a Parquet file"),
    ],
)
def test_a_file_of_another_format_is_named_as_what_it_is(read, name, content, what):
    with pytest.raises(Mistake, match=f"{name}: is {what}"):
        read(content, name=name)


def test_parquet_columns_of_every_type_are_read_or_named(tmp_path):
    from decimal import Decimal

    n = 40
    frame = pd.DataFrame(
        {
            0: pd.array([None, *range(1, n)], dtype="Int64"),
            "flag": pd.array([True, False, None, True] * 10, dtype="boolean"),
            "price": [Decimal(i) / 4 for i in range(n)],
            "when": pd.date_range("2020-01-01 22:00", periods=n, tz="Europe/Zurich"),
            "took": pd.to_timedelta(np.arange(n) % 7, unit="min"),
            "kind": pd.Categorical(["a", "b"] * 20),
            "many": [[i, i + 1] for i in range(n)],
            "y": pd.array([i * 1.5 for i in range(n)], dtype="Float64"),
        }
    )
    frame.columns = frame.columns.map(str)
    frame.to_parquet(tmp_path / "t.parquet")
    source = csv(str(tmp_path / "t.parquet"), "y")
    assert source.preprocessing.kinds == {
        "0": "numeric", "flag": "boolean", "price": "numeric", "when": "date", "took": "numeric", "kind": "category",
        "many": "ignore",
    }  # fmt: skip
    assert source.inputs["when"].dt.hour.tolist() == [22] * n and source.inputs["took"].iloc[1] == 60
    assert any("many (holds lists)" in note for note in source.notes)
    with pytest.raises(Mistake, match="column 'many' holds lists"):
        csv(str(tmp_path / "t.parquet"), "many")


def test_a_name_that_is_also_a_value_of_its_column_is_a_name(read):
    source = read("x,y\n" + "".join(f"{i % 7}.5,{'yn'[i % 2]}\n" for i in range(40)))
    assert list(source.inputs) == ["x"] and set(source.targets) == {"y", "n"}


def test_the_way_a_file_is_laid_out_can_be_typed(dlrun, tmp_path):
    (tmp_path / "t.csv").write_text("\n".join(ROWS))
    settings = ("data=csv", "data.path=t.csv", "model=linear", "dry_run=true")
    ended = dlrun(*settings, "data.target=3", "data.header=none")
    assert ended.exit_code == 0 and "numeric columns: 1, 2\n" in ended.out, ended.err
    (tmp_path / "t.csv").write_text("a,b,c\n" + TABLE.replace(".", ","))
    ended = dlrun(
        *settings, "data.target=y", "data.header=2", "data.quote=none", "data.decimal=,", "data.thousands=none"
    )
    assert ended.exit_code == 2 and "header" in ended.err  # an unquoted decimal comma makes six values of three
    (tmp_path / "t.csv").write_text("a;b;c\n" + TABLE.replace(",", ";").replace(".", ","))
    ended = dlrun(*settings, "data.target=y", "data.header=2", "data.decimal=,", "data.thousands=.")
    assert ended.exit_code == 0 and "numeric columns: x, z\n" in ended.out, ended.err
