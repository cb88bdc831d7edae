"""Every mistake of the user's gets one line that names the key or file, and exit code 2; nothing is left behind."""

import subprocess
import sys

import pytest

TABLE = "a,b,kind,value\n" + "".join(f"{i},{i * 7 % 13},{'xyz'[i % 3]},{i * 1.5}\n" for i in range(60))
CSV = ("data=csv", "data.path=table.csv")

MISTAKES = {
    "unknown choice": (["model=cnnn"], ["model", "'cnnn'", "did you mean 'cnn'?"]),
    "unknown key": (["modle=cnn"], ["modle", "did you mean 'model'?"]),
    "added unknown key": (["+sede=3"], ["sede", "did you mean 'seed'?"]),
    "unknown key of a model": (["model.hiden=[3]"], ["model.hiden", "did you mean 'hidden'?"]),
    "added unknown key of a model": (["+model.hiden=[3]"], ["model.hiden", "did you mean 'hidden'?"]),
    "unknown key of the split": (["data.split.valid.row=3"], ["data.split.valid.row", "did you mean 'rows'?"]),
    "unknown key of an optimizer": (["+optimizer.mometum=0.9", "optimizer=sgd"], ["optimizer.mometum", "momentum"]),
    "not an override": (["seed"], ["seed", "key=value"]),
    "unknown option": (["--foo"], ["--foo"]),
    "config folder missing": (["--config-dir", "nowhere"], ["--config-dir", "nowhere"]),
    "broken grammar": (["model.hidden=[3"], ["model.hidden"]),
    "several values without -m": (["seed=1,2"], ["seed", "-m"]),
    "seed of text": (["seed=x"], ["seed", "'x'"]),
    "negative seed": (["seed=-1"], ["seed", "-1"]),
    "wrong precision": (["precision=fp3"], ["precision", "fp3", "fp32"]),
    "wrong device": (["device=gpu"], ["device", "gpu"]),
    "no threads": (["threads=0"], ["threads", "0"]),
    "threads of text": (["threads=many"], ["threads", "many"]),
    "no batch": (["trainer.batch_size=0"], ["trainer.batch_size", "0", "at least 1"]),
    "negative batch": (["trainer.batch_size=-8"], ["trainer.batch_size", "-8"]),
    "half an epoch": (["trainer.epochs=2.5"], ["trainer.epochs", "2.5"]),
    "negative epochs": (["trainer.epochs=-1"], ["trainer.epochs", "-1"]),
    "no clipping norm": (["trainer.grad_clip=0"], ["trainer.grad_clip", "null"]),
    "negative patience": (["trainer.early_stopping.patience=-1"], ["trainer.early_stopping.patience", "-1"]),
    "negative min_delta": (["trainer.early_stopping.min_delta=-1"], ["trainer.early_stopping.min_delta"]),
    "wrong mode": (["trainer.early_stopping.mode=maximum"], ["trainer.early_stopping.mode", "max"]),
    "unlogged monitor": (["trainer.early_stopping.monitor=valid/los"], ["monitor", "did you mean 'valid/loss'?"]),
    "monitor of another task": (["data=diabetes", "trainer.early_stopping.monitor=valid/f1"], ["valid/f1", "valid/r2"]),
    "monitor without rows": (["data.split.valid=null", "trainer.early_stopping.monitor=valid/f1"], ["valid/f1"]),
    "unlogged schedule monitor": (["scheduler=plateau", "scheduler.monitor=loss"], ["scheduler.monitor", "loss"]),
    "no checkpoint": (["trainer.checkpoint_every.steps=0"], ["trainer.checkpoint_every.steps", "null"]),
    "negative rate": (["optimizer.lr=-1"], ["optimizer", "-1"]),
    "rate of text": (["optimizer.lr=fast"], ["optimizer.lr", "fast"]),
    "too much dropout": (["model.dropout=1.5"], ["model.dropout", "1.5"]),
    "unknown activation": (["model.activation=rellu"], ["model.activation", "did you mean 'relu'?"]),
    "layer of text": (["model.hidden=[3,x]"], ["model.hidden", "x"]),
    "layer without neurons": (["model.hidden=[3,0]"], ["model.hidden", "0"]),
    "unknown piece": (["model.block=[dense,norm]"], ["model.block", "norm"]),
    "wrong number of kernels": (["model=cnn", "model.kernel_size=[3,3,3]"], ["model.kernel_size", "3", "2"]),
    "unknown padding": (["model=cnn", "model.padding=sane"], ["model.padding", "did you mean 'same'?"]),
    "image too small": (["model=cnn", "model.kernel_size=9"], ["model=cnn", "too small"]),
    "no recurrent layer": (["model=lstm", "model.hidden=[]"], ["model.hidden", "at least one"]),
    "cnn on a table": (["model=cnn", "data=iris"], ["model=cnn", "table", "model=mlp"]),
    "logistic on a quantity": (["model=logistic", "data=diabetes"], ["model=logistic", "model=linear"]),
    "initializer that is none": (["+initializer.weigths=3"], ["initializer", "did you mean 'weights'?"]),
    "initializer of a strange shape": (
        ["initializer=orthogonal", "initializer.biases._target_=torch.nn.init.orthogonal_"],
        ["initializer.biases", "(300,)"],
    ),
    "schedule setting": (["scheduler=step", "scheduler.class.step_size=x"], ["scheduler.class", "step_size"]),
    "schedule interval": (["scheduler=step", "scheduler.interval=batch"], ["scheduler.interval", "batch"]),
    "foreign target": (["model._target_=os.system"], ["model._target_", "os.system", "allow_targets=[os]"]),
    "target behind an alias": (["model._target_=dlrun.cli.os.system"], ["model._target_", "posix|nt|os"]),
    "target of another kind": (["model._target_=torch.optim.SGD"], ["model._target_", "Module"]),
    "function for a model": (["model._target_=torch.load"], ["model._target_", "Module"]),
    "target that is not there": (["model._target_=dlrun.models.mlp.MPL"], ["MPL", "did you mean 'MLP'?"]),
    "target in a value": (["model.activation={_target_: os.system}"], ["model.activation._target_"]),
    "data target": (["data._target_=dlrun.folder.flatten"], ["data._target_", "Source"]),
    "wrong task": (["data.task=clasification"], ["data.task", "multiclass"]),
    "binary with ten classes": (["data.task=binary"], ["data.task", "multiclass"]),
    "fraction above 1": (["data.split.test.fraction=2"], ["data.split.test.fraction", "2"]),
    "fraction and rows": (["data.split.test.rows=9"], ["data.split.test", "not both"]),
    "more rows than there are": (
        ["data=iris", "data.split.test={rows: 150, fraction: null}"],
        ["data.split.test", "150"],
    ),
    "unknown way to split": (["data.split.valid.by=chance"], ["data.split.valid.by", "chance", "random"]),
    "no rows": (["data.limit=0"], ["data.limit", "0"]),
    "generator setting": (["data=moons", "data.noise=x"], ["data", "noise"]),
    "missing path": (["data=csv", "data.target=a"], ["data.path="]),
    "missing target": ([*CSV], ["data.target="]),
    "missing file": (["data=csv", "data.path=tabel.csv", "data.target=a"], ["tabel.csv", "did you mean 'table.csv'?"]),
    "a folder for a file": (["data=csv", "data.path=.", "data.target=a"], ["data.path", "folder"]),
    "missing target column": ([*CSV, "data.target=vale"], ["data.target", "vale", "did you mean 'value'?"]),
    "missing dropped column": ([*CSV, "data.target=value", "data.drop=[c]"], ["'c'"]),
    "unknown column kind": ([*CSV, "data.target=value", "data.columns={a: text}"], ["data.columns.a", "text"]),
    "unknown column": ([*CSV, "data.target=value", "data.columns={aa: numeric}"], ["data.columns", "aa"]),
    "quantities of text": ([*CSV, "data.target=kind", "data.task=regression"], ["data.target", "kind", "text"]),
    "nothing to learn from": ([*CSV, "data.target=value", "data.drop=[a,b,kind]"], ["no column is left"]),
    "data folder missing": (["data=mnist", "data_dir=nowhere"], ["data_dir", "nowhere"]),
    "outputs unwritable": (["output_dir=/dev/null/x"], ["output_dir", "/dev/null/x"]),
    "outputs a file": (["output_dir=table.csv"], ["output_dir", "table.csv"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_line_exit_2_and_nothing_left(dlrun, tmp_path, mistake):
    (tmp_path / "table.csv").write_text(TABLE)
    arguments, words = MISTAKES[mistake]
    ended = dlrun(*arguments)
    assert ended.exit_code == 2, (ended.out, ended.err)
    assert ended.err.startswith("dlrun: ") and ended.err.count("\n") == 1, ended.err
    assert ended.out == ""
    for word in words:
        assert any(part in ended.err for part in word.split("|")), ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a CUDA device")
def test_an_absent_cuda_device_is_a_mistake(dlrun):
    ended = dlrun("device=cuda")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "device=cpu" in ended.err


FILES = {
    "empty": ("", "empty"),
    "header only": ("a,b\n", "no row"),
    "ragged": ("a,b\n1,2\n3,4,5,6\n", "cannot be read"),
    "twin columns": ("a,b,a\n1,2,3\n4,5,6\n", "'a'"),
    "one class": ("a,b\n" + "1,x\n2,x\n3,x\n", "one class"),
    "one value": ("a,b\n" + "1,2.5\n2,2.5\n3,2.5\n", "one value"),
    "no target value": ("a,b\n1,\n2,\n", "'b'|b"),
    "lone class": ("a,b\n" + "".join(f"{i % 7},{'x' if i else 'y'}\n" for i in range(40)), "one row"),
    "not UTF-8": (b"a,b\n1,caf\xe9\n2,x\n", "UTF-8"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_table_that_cannot_be_learned_from_says_so_in_a_line(dlrun, tmp_path, name):
    content, word = FILES[name]
    (tmp_path / "bad.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = dlrun("data=csv", "data.path=bad.csv", "data.target=b")
    assert ended.exit_code == 2, ended.out
    assert ended.err.count("\n") == 1 and any(part in ended.err for part in word.split("|")), ended.err
    assert not ended.outputs.exists()


def test_debug_shows_the_traceback(tmp_path):
    command = [sys.executable, "-m", "dlrun", "debug=true", "model=cnnn"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" in ended.stderr and "did you mean 'cnn'" in ended.stderr
