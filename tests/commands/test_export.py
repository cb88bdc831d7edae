"""Exported networks say what the run says."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file


@pytest.fixture
def run(dlrun):
    return dlrun("trainer.epochs=1", "data.limit=300", "model.hidden=[12]")


def logits_of(run):
    """What the run said of its test rows, as differences of log probabilities."""
    columns = [c for c in run.predictions if c.startswith("probability_")]
    return np.log(run.predictions.query("split == 'test'")[columns].to_numpy())


def test_rows(run):
    from dlrun import load
    from dlrun.commands.evaluate import own_data, recipe_of

    trained = load(str(run.folder))
    split = own_data(trained, recipe_of(trained, [], None, None)).test
    return split.transform(split.stored(), torch.float32)


test_rows.__test__ = False


def test_a_torch_program_gives_the_runs_probabilities_without_dlrun(dlrun, run):
    ended = dlrun("export", "run=latest", "format=torch")
    assert ended.exit_code == 0 and "rows × 1 × 8 × 8" in ended.out
    program = torch.export.load(run.folder / "model.pt2").module()
    scores = program(test_rows(run)).detach().double()
    assert torch.log_softmax(scores, dim=1).numpy() == pytest.approx(logits_of(run), abs=1e-5)


def test_a_state_dict_is_the_weights_by_name(dlrun, run, tmp_path):
    dlrun("export", "format=state_dict", "output=weights.pt")
    exported, own = torch.load(tmp_path / "weights.pt", weights_only=True), load_file(run.folder / "model.safetensors")
    assert exported.keys() == own.keys() and all(torch.equal(exported[name], own[name]) for name in own)


def test_onnx_gives_the_runs_probabilities(dlrun, run):
    pytest.importorskip("onnxscript", reason="onnx, onnxscript and onnxruntime are optional")
    runtime = pytest.importorskip("onnxruntime", reason="onnx, onnxscript and onnxruntime are optional")
    assert dlrun("export", "format=onnx").exit_code == 0
    session = runtime.InferenceSession(str(run.folder / "model.onnx"))
    (scores,) = session.run(None, {"inputs": test_rows(run).numpy()})
    assert torch.log_softmax(torch.from_numpy(scores).double(), 1).numpy() == pytest.approx(logits_of(run), abs=1e-5)


def test_without_onnx_there_is_a_line_that_says_what_to_install(dlrun, run, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    ended = dlrun("export", "format=onnx")
    assert ended.exit_code == 2 and "pip install onnx" in ended.err and not (run.folder / "model.onnx").exists()


def test_a_network_that_says_something_else_is_not_exported(dlrun, run, monkeypatch):
    from dlrun.commands import export

    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    ended = dlrun("export", "format=state_dict")
    assert ended.exit_code == 2 and "says something else" in ended.err
    assert not [file for file in run.folder.iterdir() if file.name.startswith((".part", ".model", "model.pt"))]


def test_an_estimator_is_exported_by_skops_already(dlrun):
    dlrun("data=iris", "model=sklearn/svc")
    assert "skops reads model.skops" in dlrun("export", "format=torch").err


def test_every_kind_of_network_is_exported(dlrun, tmp_path):
    for model in ("cnn", "lstm", "gru"):
        dlrun(f"model={model}", "trainer.epochs=1", "data.limit=200", into=model)
        ended = dlrun("export", "format=torch", into=model)
        assert ended.exit_code == 0, ended.err
        assert json.loads((ended.folder / "metrics.json").read_text())["status"] == "finished"
