"""`dlrun` with no argument: trains on the embedded digits, without a network, and ends with a table of results."""

import csv
import json
import socket

import torch
from safetensors.torch import load_file


def test_trains_digits_without_a_network_and_shows_each_split_beside_its_baseline(dlrun, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    ended = dlrun()
    assert ended.exit_code == 0
    assert ended.metrics["test"]["accuracy"] > 0.95
    assert ended.metrics["baseline"]["test"]["accuracy"] < 0.15
    for word in ("train_eval", "valid", "test", "baseline", "accuracy", "parameters 50,610", "best epoch"):
        assert word in ended.out
    assert ended.out.strip().endswith(str(ended.folder.relative_to(ended.outputs.parent)))


def test_run_folder_holds_everything_the_run_leaves(dlrun):
    ended = dlrun("trainer.epochs=2")
    names = {path.relative_to(ended.folder).as_posix() for path in ended.folder.rglob("*") if path.is_file()}
    events = {name for name in names if name.startswith("events.out.tfevents")}
    assert names - events == {
        "config.yaml", "overrides.yaml", "metrics.json", "history.csv", "timing.csv", "predictions.csv",
        "model.safetensors", "preprocessing.json", "environment.json",
    }  # fmt: skip
    assert len(events) == 2  # the curves, and the settings with the last metrics
    rows = list(csv.DictReader((ended.folder / "history.csv").read_text().splitlines()))
    assert list(rows[0]) == ["epoch", "lr", "train/loss", "train/accuracy", "valid/loss", "valid/accuracy"]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    environment = json.loads((ended.folder / "environment.json").read_text())
    assert environment["torch"] == torch.__version__ and environment["threads"] >= 1
    assert ended.metrics["config"]["trainer.epochs"] == 2


def test_saved_weights_give_the_saved_predictions(dlrun):
    from sklearn.datasets import load_digits

    ended = dlrun("trainer.epochs=2", "model=logistic")
    weights = load_file(ended.folder / "model.safetensors")
    test = ended.predictions.query("split == 'test'")
    inputs = torch.tensor(load_digits().data[test["row"]] / 16, dtype=torch.float32)
    scores = inputs @ weights["output.weight"].T + weights["output.bias"]
    assert (scores.argmax(dim=1).numpy() == test["prediction"].astype(int)).all()
    assert (test["truth"].astype(int) == load_digits().target[test["row"]]).all()


def test_an_infinite_setting_is_kept_as_text(dlrun):
    ended = dlrun("data=iris", "model=logistic", "trainer.epochs=1", "trainer.grad_clip=inf")
    assert ended.exit_code == 0, ended.err
    assert ended.metrics["config"]["trainer.grad_clip"] == "inf"


def test_quiet_prints_nothing(dlrun):
    ended = dlrun("quiet=true", "trainer.epochs=1")
    assert (ended.out, ended.err) == ("", "")


def test_dry_run_shows_data_and_model_and_leaves_nothing(dlrun):
    ended = dlrun("dry_run=true")
    assert ended.exit_code == 0 and not ended.outputs.exists()
    assert "1,797 rows" in ended.out and "50,610 parameters" in ended.out
