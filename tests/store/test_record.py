"""metrics.json, typed: what is written is read back, and what is damaged is named by file and field."""

import json

import pytest

from dlrun.errors import Mistake
from dlrun.store.folder import RunFolder
from dlrun.store.record import Record

RUN = Record(
    status="finished",
    config={"trainer.epochs": 3, "data.classes": None, "model.hidden": [300, 100]},
    choices={"data": "iris", "model": "mlp"},
    figures={
        "train_eval": {"loss": 0.5},
        "test": {"loss": 0.75, "roc_auc": None, "confusion_matrix": [[3, 1], [0, 2]]},
    },
    baseline={"train_eval": {"loss": 1.1}, "test": {"loss": 1.2}},
    undefined={"test": {"roc_auc": "only one class"}},
    rows={"train": 100, "test": 6},
    parameters=15,
    best_epoch=2,
    epochs=3,
    fit_seconds=0.25,
)
PARTS = Record("finished", "parts", figures={"test": {"loss": 0.5}}, deviation={"test": {"loss": None}}, parts=1)
SWEEP = Record("interrupted", "sweep", config={"seed": 0}, choices={"data": "iris"})


@pytest.mark.parametrize("record", [RUN, PARTS, SWEEP], ids=lambda record: record.kind)
def test_a_record_is_read_back_as_it_was_written(tmp_path, record):
    folder = RunFolder(tmp_path)
    folder.write_record(record)
    assert folder.record() == record
    assert folder.record().to_json() == json.loads((tmp_path / "metrics.json").read_text())


def test_a_figure_is_a_number_or_none():
    assert RUN.figure("test/loss") == 0.75 and RUN.figure("baseline/test/loss") == 1.2
    for name in ("test/roc_auc", "test/confusion_matrix", "valid/loss", "baseline/valid/loss", "loss", ""):
        assert RUN.figure(name) is None
    assert PARTS.deviation_of("test/loss") is None and RUN.deviation_of("test/loss") is None


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("test", [0.5], "test is a list, not a table"),
        ("test", None, "test is null, not a table"),
        ("test", {"loss": "low"}, "test/loss is text, not a number"),
        ("test", {"loss": True}, "test/loss is a truth value, not a number"),
        ("test", {"loss": 10**400}, "test/loss is 1"),
        ("test", {"confusion_matrix": [[1], [2, 3]]}, "test/confusion_matrix is a list, not a table of counts"),
        ("baseline", {"test": 3}, "baseline/test is 3, not a table"),
        ("deviation", {"test": {"loss": {}}}, "deviation/test/loss is an object, not a number"),
        ("parts", 1.5, "parts is 1.5, not a count"),
        ("parts", 0, "parts is 0, not a count"),
        ("rows", {"train": -1}, "rows/train is -1, not a count"),
        ("choices", {"model": 7}, "choices/model is 7, not text"),
        ("config", "seed", "config is text, not a table"),
        ("status", "finishd", "'finished'"),
        ("status", ["finished"], "not one of"),
        ("kind", None, "it has no kind"),
        ("epochs", "three", "epochs is text, not a number"),
    ],
)
def test_a_damaged_field_is_named_in_one_line(field, value, words):
    with pytest.raises(Mistake) as mistake:
        Record.read({**RUN.to_json(), field: value}, "run/metrics.json")
    line = str(mistake.value)
    assert line.startswith("run/metrics.json: is damaged (") and words in line and "\n" not in line


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"status": NaN}', '{"status": "\\ud800"}', "[" * 100_000, '{"status": 1e999}', "\x00"]
)
def test_a_file_that_is_no_json_object_is_one_line(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(Mistake) as mistake:
        RunFolder(tmp_path).record()
    assert str(tmp_path / "metrics.json") in str(mistake.value) and "\n" not in str(mistake.value)
