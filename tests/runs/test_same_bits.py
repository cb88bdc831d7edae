"""The same config and seed give the same bits; another seed gives others."""

import os
import subprocess
import sys

import pytest

from dlrun.data.reading.read_ahead import ahead
from dlrun.training import batches

DROPOUT = ("model.dropout=0.3", "trainer.epochs=3", "model.hidden=[20]")
FILES = ("model.safetensors", "history.csv", "predictions.csv", "metrics.json")


def contents(ended) -> dict:
    found = {name: (ended.folder / name).read_bytes() for name in FILES[:-1]}
    figures = {key: value for key, value in ended.metrics.items() if key != "fit_seconds"}
    figures["config"] = {key: value for key, value in figures["config"].items() if key != "output_dir"}
    return {**found, "metrics.json": figures}


def test_two_runs_of_one_seed_are_equal_to_the_byte_and_another_seed_differs(dlrun):
    first, second = (contents(dlrun(*DROPOUT, "seed=5", into=name)) for name in ("a", "b"))
    other = contents(dlrun(*DROPOUT, "seed=6", into="c"))
    assert first == second
    assert all(first[name] != other[name] for name in FILES)


def test_a_new_process_in_another_folder_gives_the_same_bits(dlrun, tmp_path):
    here = contents(dlrun(*DROPOUT))
    place = tmp_path / "elsewhere"
    place.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}
    subprocess.run(
        [sys.executable, "-m", "dlrun", *DROPOUT, "plots=[]"],
        cwd=place,
        check=True,
        capture_output=True,
        env=environment,
    )
    folder = next(place.glob("outputs/*/*"))
    for name in FILES[:-1]:
        assert (folder / name).read_bytes() == here[name], name


def test_rows_that_a_thread_puts_into_order_piece_by_piece_give_the_same_bits(dlrun, monkeypatch):
    at_once = contents(dlrun(*DROPOUT, into="whole"))
    monkeypatch.setattr(batches, "GATHERED_VALUES", 3 * 32 * 64)  # three batches of digits
    threads = []
    monkeypatch.setattr(batches, "cores", lambda: 2)
    monkeypatch.setattr(batches, "ahead", lambda pieces: threads.append(1) or ahead(pieces))
    assert contents(dlrun(*DROPOUT, into="pieces")) == at_once and len(threads) == 3


def test_the_split_can_be_held_fixed_while_the_seed_varies(dlrun):
    def test_rows(name, *overrides):
        ended = dlrun("data=iris", "trainer.epochs=1", *overrides, into=name)
        return set(ended.predictions.query("split == 'test'")["row"])

    assert test_rows("a", "seed=1") != test_rows("b", "seed=2")
    assert test_rows("c", "seed=1", "data.split_seed=0") == test_rows("d", "seed=2", "data.split_seed=0")


@pytest.mark.slow
def test_five_runs_started_at_the_same_moment_share_no_folder(tmp_path):
    command = [
        sys.executable,
        "-m",
        "dlrun",
        "data=iris",
        "model=logistic",
        "trainer.epochs=1",
        "quiet=true",
        "plots=[]",
    ]
    runs = [subprocess.Popen(command, cwd=tmp_path) for _ in range(5)]
    assert [run.wait() for run in runs] == [0] * 5
    folders = list(tmp_path.glob("outputs/iris-logistic/*"))
    assert len(folders) == 5
    assert all((folder / "model.safetensors").is_file() for folder in folders)
