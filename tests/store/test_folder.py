"""The run folder: its files are whole, whoever writes them and whenever, and are regular files inside it."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from dlrun.errors import Mistake
from dlrun.store.finding import latest, new_run
from dlrun.store.folder import RunFolder
from dlrun.store.record import Record


def test_a_file_that_several_write_at_once_is_one_of_theirs_whole(tmp_path):
    texts = [letter * 100_000 for letter in "abcd"]

    def write_often(text: str) -> None:
        for _ in range(20):
            RunFolder(tmp_path).write_text("sweep.csv", text)

    with ThreadPoolExecutor(len(texts)) as writers:
        list(writers.map(write_often, texts))
    assert [file.name for file in tmp_path.iterdir()] == ["sweep.csv"]
    assert (tmp_path / "sweep.csv").read_text() in texts


def as_link(path, elsewhere):
    elsewhere.write_text("elsewhere")
    path.symlink_to(elsewhere)


def as_inner_link(path, elsewhere):
    (path.parent / "other").write_text("inside")
    path.symlink_to(path.parent / "other")


def as_pipe(path, elsewhere):
    os.mkfifo(path)


def as_folder(path, elsewhere):
    path.mkdir()


READERS = {
    "metrics.json": RunFolder.record, "environment.json": RunFolder.environment, "config.yaml": RunFolder.config,
    "overrides.yaml": RunFolder.overrides, "history.csv": RunFolder.history, "predictions.csv": RunFolder.predictions,
    "preprocessing.json": RunFolder.preprocessing, "preprocessing.skops": RunFolder.fitted_preprocessing,
    "model.safetensors": RunFolder.tensors, "model.skops": lambda folder: folder.estimator(object),
    "learning_curve.csv": RunFolder.learning_curve,
    "checkpoints/last.pt": RunFolder.checkpoint, "plots/roc.png": lambda folder: folder.picture("roc"),
}  # fmt: skip
APPENDERS = {
    "history.csv": lambda folder: folder.append_epoch({"epoch": 1}, 1, 0.1),
    "timing.csv": lambda folder: folder.append_epoch({"epoch": 1}, 1, 0.1),
    "sweep.csv": lambda folder: folder.append_job({"job": 1}),
}


@pytest.mark.parametrize("instead", [as_link, as_inner_link, as_pipe, as_folder])
@pytest.mark.parametrize("use", [*READERS.items(), *APPENDERS.items()], ids=lambda use: use[0])
def test_what_is_no_regular_file_of_the_folder_is_refused_at_once_and_by_name(tmp_path, use, instead):
    name, reader_or_writer = use
    folder = RunFolder(tmp_path / "run")
    (folder.path / name).parent.mkdir(parents=True)
    instead(folder.path / name, tmp_path / "elsewhere")
    with pytest.raises(Mistake) as mistake:
        reader_or_writer(folder)
    assert str(folder.path) in str(mistake.value) and "\n" not in str(mistake.value)
    if instead is as_link:
        assert (tmp_path / "elsewhere").read_text() == "elsewhere"


def test_a_folder_of_pictures_that_is_a_link_is_neither_read_nor_written(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "roc.png").write_bytes(b"not ours")
    (folder.path / "plots").symlink_to(tmp_path / "elsewhere")
    for use in (folder.pictures, lambda: folder.picture("roc"), lambda: folder.write_picture("roc", b"ours")):
        with pytest.raises(Mistake, match="link"):
            use()
    assert (tmp_path / "elsewhere" / "roc.png").read_bytes() == b"not ours"


def test_the_latest_run_is_the_one_that_was_written_last_whatever_it_is_called(tmp_path):
    folders = [new_run(str(tmp_path), "moons", "mlp") for _ in range(2)] + [RunFolder(tmp_path / "a name of my own")]
    folders[2].path.mkdir()
    for folder in folders:
        folder.begin([], {}, {})
    for age, newest in enumerate((folders[1], folders[2], folders[0])):
        newest.write_record(Record("finished"))
        os.utime(newest.path / "metrics.json", (2e9 + age, 2e9 + age))
        assert latest(tmp_path).path == newest.path


def test_of_a_run_in_parts_the_whole_is_the_latest_though_a_part_was_written_last(tmp_path):
    whole, single = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "single")
    for folder in (whole, RunFolder(whole.path / "fold_1"), single):
        folder.path.mkdir()
        folder.begin([], {}, {})
    os.utime(whole.path / "fold_1" / "metrics.json", (3e9, 3e9))
    assert latest(tmp_path).path == whole.path


def test_a_history_that_holds_no_numbers_is_damaged(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "history.csv").write_text("epoch,lr,train/loss\n1,0.1,0.5\n2,0.1,a\n")
    with pytest.raises(Mistake, match="train/loss"):
        folder.history()
