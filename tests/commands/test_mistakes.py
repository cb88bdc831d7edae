"""Every mistake of the user's gets one line that names the key or file, and exit code 2; nothing is left behind."""

import shlex
import subprocess
import sys

import pytest

TABLE = "a,b,kind,value\n" + "".join(f"{i},{i * 7 % 13},{'xyz'[i % 3]},{i * 1.5}\n" for i in range(60))
CSV = ("data=csv", "data.path=table.csv")
IRIS = ("data=iris", "trainer.epochs=2", "quiet=true")
DELETED = ("penalty", "plots", "threads", "cv", "repeats", "precision", "output_dir", "allow_targets", "quiet",
           "deterministic")  # fmt: skip

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
    "a loss of probabilities": (
        ["data=breast_cancer", "model=mlp", "loss={_target_: torch.nn.BCELoss}"], ["loss", "BCELoss", "loss=task"]),
    "a loss of log probabilities": (["data=iris", "loss={_target_: torch.nn.NLLLoss}"], ["loss", "NLLLoss"]),
    "a loss of signs": (
        ["data=breast_cancer", "model=mlp", "loss={_target_: torch.nn.SoftMarginLoss}"], ["loss", "SoftMarginLoss"]),
    "a loss of a count": (["data=diabetes", "loss={_target_: torch.nn.PoissonNLLLoss}"], ["loss", "PoissonNLLLoss"]),
    "a loss that grows with the batch": (
        ["data=iris", "loss._target_=torch.nn.CrossEntropyLoss", "+loss.reduction=sum"], ["loss.reduction", "mean"]),
    "a rate of nothing": (["scheduler=exponential", "scheduler.class.gamma=0"], ["scheduler.class", "gamma is 0"]),
    "a plateau of nothing": (["scheduler=plateau", "scheduler.class.factor=0"], ["scheduler.class", "factor is 0"]),
    "only warm-up": (["scheduler=one_cycle", "scheduler.class.pct_start=1"], ["scheduler.class", "pct_start is 1"]),
    "columns without names": (["data=iris", "data.as_frame=false"], ["data.as_frame", "true"]),
    "negative rate": (["optimizer.lr=-1"], ["optimizer", "-1"]),
    "rate of text": (["optimizer.lr=fast"], ["optimizer.lr", "fast"]),
    "too much dropout": (["model.dropout=1.5"], ["model.dropout", "1.5"]),
    "unknown activation": (["model.activation=rellu"], ["model.activation", "did you mean 'relu'?"]),
    "layer of text": (["model.hidden=[3,x]"], ["model.hidden", "x"]),
    "layer without neurons": (["model.hidden=[3,0]"], ["model.hidden", "0"]),
    "unknown piece": (["model.block=[dense,norm]"], ["model.block", "norm"]),
    "wrong number of kernels": (["model=cnn", "model.kernel_size=[3,3,3]"], ["model.kernel_size", "3", "2"]),
    "unknown padding": (["model=cnn", "model.padding=sane"], ["model.padding", "did you mean 'same'?"]),
    "image too small": (["model=cnn", "model.kernel_size=9"], ["model", "too small"]),
    "no recurrent layer": (["model=lstm", "model.hidden=[]"], ["model.hidden", "at least one"]),
    "cnn on a table": (["model=cnn", "data=iris"], ["model", "CNN", "table", "model=mlp"]),
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
    "data target": (["data._target_=dlrun.store.files.flatten"], ["data._target_", "Source"]),
    "wrong task": (["data.task=clasification"], ["data.task", "multiclass"]),
    "binary with ten classes": (["data.task=binary"], ["data.task", "multiclass"]),
    "fraction above 1": (["data.split.test.fraction=2"], ["data.split.test.fraction", "2"]),
    "no rows to split off": (["data.split.test.rows=0"], ["data.split.test.rows", "0"]),
    "a split that is no group of keys": (["data.split.test=0.2"], ["data.split.test", "fraction"]),
    "a width that is no list": (["model.hidden=64"], ["model.hidden", "[64]"]),
    "no stride": (["model=cnn", "model.stride=0"], ["model.stride", "0"]),
    "kernel of text": (["model=cnn", "model.kernel_size=abc"], ["model.kernel_size", "abc"]),
    "no place for dropout": (["model.block=[dense,activation]", "model.dropout=0.5"], ["model.block", "dropout"]),
    "no full batch": (["data=iris", "trainer.drop_last=true", "trainer.batch_size=128"], ["trainer.batch_size", "128"]),
    "a lone row for batch norm": (
        ["data=iris", "model.batch_norm=true", "trainer.batch_size=5"], ["trainer.batch_size", "batch norm"]
    ),
    "a lone row of one pixel for batch norm": (
        ["data=digits", "data.train_rows=65", "model=cnn", "model.channels=[4,4,4]", "model.kernel_size=2",
         "model.hidden=[]", "model.batch_norm=true"], ["trainer.batch_size", "batch norm"],
    ),
    "lone rows for batch norm and a number of steps": (
        ["data=iris", "model.batch_norm=true", "trainer.batch_size=1", "trainer.steps_per_epoch=3"],
        ["trainer.batch_size", "batch norm"],
    ),
    "plateau by steps": (["scheduler=plateau", "scheduler.interval=step"], ["scheduler.interval", "epoch"]),
    "penalty below 0": (["penalty.l2=-1"], ["penalty.l2", "-1"]),
    "penalty of no layer": (["penalty.l1=1", "penalty.layers=[hiden]"], ["penalty.layers", "'hidden'"]),
    "closed form of a deep network": (["data=diabetes", "solver=closed_form"], ["solver=closed_form", "model=linear"]),
    "weights of a class that is not there": (["class_weight={x: 2}"], ["class_weight", "'x'"]),
    "weights without classes": (["data=diabetes", "class_weight=balanced"], ["class_weight", "null"]),
    "loss of another task": (["loss=mae"], ["loss", "L1Loss", "loss=task"]),
    "classifier for a quantity": (["data=diabetes", "model=sklearn/svc"], ["SVC", "quantity"]),
    "regressor for classes": (["model=sklearn/ridge"], ["Ridge", "classes"]),
    "setting of an estimator": (["model=sklearn/lasso", "data=diabetes", "+model.alfa=1"], ["model.alfa", "'alpha'"]),
    "penalty on an estimator": (["model=sklearn/logistic", "penalty.l2=1"], ["penalty", "sklearn"]),
    "closed form of a recurrent network": (["data=digits", "model=gru", "solver=closed_form"], ["solver=closed_form"]),
    "time that is none": ([*CSV, "data.target=value", "data.split.test.by={time: kind}"], ["'kind'", "dates"]),
    "split by a dropped column": (
        [*CSV, "data.target=value", "data.drop=[kind]", "data.split.test.by={group: kind}"],
        ["'kind'", "ignore"],
    ),
    "gaps of another name": (
        ["data=series", "data.path=table.csv", "data.target=value", "data.gaps=alow"], ["data.gaps", "'allow'"]
    ),
    "border that is no time": (
        ["data=series", "data.path=table.csv", "data.target=value", "data.test_from=2020-01-01"],
        ["data.test_from", "data.time"],
    ),
    "series of text": (["data=series", "data.path=table.csv", "data.target=kind"], ["'kind'", "text"]),
    "divided text": ([*CSV, "data.target=kind", "data.scale={kind: 10}"], ["data.scale.kind", "text"]),
    "several targets as classes": ([*CSV, "data.target=[a,b]", "data.task=multiclass"], ["data.task", "one"]),
    "labels that are not 0 and 1": ([*CSV, "data.target=[a,b]", "data.task=multilabel"], ["data.task", "0 and 1"]),
    "no target": ([*CSV, "data.target=[]"], ["data.target"]),
    "a target twice": ([*CSV, "data.target=[a,a]"], ["data.target", "once"]),
    "too few categories": ([*CSV, "data.target=value", "data.max_categories=0"], ["data.max_categories", "0"]),
    "divisor 0": ([*CSV, "data.target=value", "data.scale={b: 0}"], ["data.scale.b", "0"]),
    "time of no column": ([*CSV, "data.target=value", "data.split.test.by={time: when}"], ["data.split", "when"]),
    "resume of nothing": (["resume="], ["resume", "latest"]),
    "a file outside the data folder": (
        ["data=banknotes", "data.file.path=../x.csv"], ["../x.csv", "leads out"]
    ),
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
    "quantities of text": ([*CSV, "data.target=kind", "data.task=regression"], ["data.target", "kind", "no numbers"]),
    "nothing to learn from": ([*CSV, "data.target=value", "data.drop=[a,b,kind]"], ["no column is left"]),
    "data folder missing": (["data=mnist", "data_dir=nowhere"], ["data_dir", "nowhere"]),
    "outputs unwritable": (["output_dir=/dev/null/x"], ["output_dir", "/dev/null/x"]),
    "outputs a file": (["output_dir=table.csv"], ["output_dir", "table.csv"]),
    **{f"deleted {key}": ([f"~{key}"], [f"~{key}", f"{key}=…"]) for key in DELETED},
    "a list of one choice": (["data=[iris]"], ["data", "'iris'", "one name"]),
    "a number for a loss": (["loss=3"], ["loss", "3", "task"]),
    "no solver by number": (["solver=3"], ["solver", "3", "lbfgs"]),
    "null for a schedule": (["scheduler=null"], ["scheduler", "null", "cosine"]),
    "settings that exclude each other": (
        [*IRIS, "+optimizer.foreach=true", "+optimizer.differentiable=true"], ["optimizer", "differentiable"]
    ),
    "one beta": ([*IRIS, "optimizer.betas=[0.9]"], ["optimizer"]),
    "steps of no size": ([*IRIS, "scheduler=step", "scheduler.class.step_size=0"], ["scheduler.class", "zero"]),
    "cosine of no length": ([*IRIS, "scheduler=cosine", "scheduler.class.T_max=0"], ["scheduler.class", "zero"]),
    "rate divided by 0": ([*IRIS, "scheduler=one_cycle", "+scheduler.class.div_factor=0"], ["scheduler.class", "zero"]),
    "cycle shorter than the training": (
        [*IRIS, "scheduler=one_cycle", "+scheduler.class.total_steps=3"], ["scheduler.class", "total_steps", "null"]
    ),
    **{
        f"{name} that cannot be": (
            [*IRIS, f"initializer.weights={{_target_: torch.nn.init.{name}, {settings}}}"], ["initializer.weights"]
        )
        for name, settings in {"uniform_": "a: 3, b: 1", "trunc_normal_": "a: 3, b: 1", "normal_": "std: -3"}.items()
    },
    "group called by a number": ([*IRIS, "optimizer.groups={3: {lr: 0.1}}"], ["optimizer.groups.3", "parameter"]),
    "metric written in C": ([*IRIS, "metrics=[{_target_: torch.equal}]"], ["metrics", "equal"]),
    "list for an interval": ([*IRIS, "scheduler=step", "scheduler.interval=[a]"], ["scheduler.interval", "epoch"]),
    "optimizer that refuses to step": (
        [*IRIS, "optimizer=rmsprop", "+optimizer.capturable=true"],
        ["optimizer", "capturable"],
    ),
    "layers that are no list": (["penalty.layers=all"], ["penalty.layers", "[all]"]),
    "frozen that is no list": (["initializer.frozen=x"], ["initializer.frozen", "[x]"]),
    "classes that are no list": (["data.classes=3"], ["data.classes", "[3]"]),
    "endless penalty": (["penalty.l1=inf"], ["penalty.l1", "finite"]),
    "epochs of text for an estimator": (
        ["data=iris", "model=sklearn/decision_tree_classifier", "trainer.epochs=x"], ["trainer.epochs", "x: it"]
    ),
    "negative rate of a group": ([*IRIS, "optimizer.groups={output: {lr: -1}}"], ["optimizer", "-1"]),
    "setting without a loss": ([*IRIS, "+loss.foo=3"], ["loss.foo", "loss=task"]),
    "metric of nothing": ([*IRIS, "metrics=[{}]"], ["metrics", "_target_"]),
    "unknown estimator": (["model=sklearn/nope"], ["model", "'sklearn/nope'", "sklearn/ridge"]),
    "sparse optimizer": ([*IRIS, "optimizer={_target_: torch.optim.SparseAdam}"], ["optimizer", "sparse"]),
    "sparse optimizer of a group": (
        [*IRIS, "optimizer.groups={output: {_target_: torch.optim.SparseAdam}}"], ["optimizer.groups.output", "sparse"]
    ),
    "LBFGS of a group": (
        [*IRIS, "optimizer.groups={output: {_target_: torch.optim.LBFGS}}"], ["optimizer.groups.output", "solver=lbfgs"]
    ),
    "loss of another shape": ([*IRIS, "loss._target_=torch.nn.BCEWithLogitsLoss"], ["loss", "BCEWithLogitsLoss"]),
    "loss of each row": (
        [*IRIS, "loss._target_=torch.nn.CrossEntropyLoss", "+loss.reduction=none"], ["loss", "(2,)", "one number"]
    ),
    "layer for a loss": (
        [*IRIS, "loss._target_=torch.nn.Linear", "+loss.in_features=3", "+loss.out_features=1"], ["loss", "Linear"]
    ),
    "number for dropped columns": (["data=iris", "data.drop=3"], ["data.drop", "list"]),
    "degree of text": (["data=iris", "data.polynomial=x"], ["data.polynomial", "'x'"]),
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


def test_a_broken_archive_is_one_line(dlrun, tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 no zip at all")
    ended = dlrun("data=csv", "data.path=bad.zip", "data.target=b")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "cannot be read" in ended.err


def test_a_sweep_of_mistakes_leaves_nothing(dlrun):
    ended = dlrun("-m", "trainer.batch_size=32,-2")
    assert ended.exit_code == 2 and "trainer.batch_size is -2" in ended.err and not ended.outputs.exists()


def test_a_sweep_of_models_that_make_no_sense_leaves_nothing(dlrun):
    ended = dlrun("-m", "data=iris", "model=cnn,rnn")
    assert ended.exit_code == 2 and ended.err.count("\n") == 2 and not ended.outputs.exists()


def test_a_dry_sweep_leaves_nothing(dlrun):
    ended = dlrun("-m", "dry_run=true", "data=iris", "seed=1,2")
    assert ended.exit_code == 0 and ended.out.count("dry run") == 2 and not ended.outputs.exists()


def test_a_job_that_makes_no_sense_does_not_stop_the_others(dlrun):
    ended = dlrun("-m", "data=iris", "model=cnn,logistic", "trainer.epochs=1")
    assert ended.exit_code == 2 and "needs images" in ended.err
    assert len(list(ended.outputs.rglob("model.safetensors"))) == 1


def test_debug_shows_the_traceback(tmp_path):
    command = [sys.executable, "-m", "dlrun", "debug=true", "model=cnnn"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2 and "Traceback" in ended.stderr and "did you mean 'cnn'" in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on memory")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["model.hidden=[60000,60000]"], ["while building the model", "smaller"]),
        pytest.param(
            ["model=cnn", "model.channels=[16384]", "trainer.batch_size=1100"],
            ["trainer.batch_size=1100", "parameters"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_running_out_of_memory_names_what_to_lower_and_leaves_nothing(tmp_path, settings, words):
    limited = f"ulimit -v 6000000; exec {sys.executable} -m dlrun {shlex.join(settings)}"
    ended = subprocess.run(["bash", "-c", limited], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1, ended.stderr
    assert all(word in ended.stderr for word in words) and not (tmp_path / "outputs").exists()
