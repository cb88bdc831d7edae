"""Random and Optuna searches: settings from the space, resumed, pruned, shared by their journal."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
import time

import pandas as pd
import pytest

from dlrun.sweeps.searchers.base import Domain
from dlrun.sweeps.searchers.random import Random

JOB = ("-m", "data=moons", "trainer.epochs=4", "model.hidden=[8]")
SPACE = (
    "optimizer.lr=tag(log, interval(1e-4, 1e-1))",
    "trainer.batch_size=range(16,65,16)",
    "model.activation=relu,tanh",
)


def trials(ended) -> pd.DataFrame:
    assert ended.exit_code == 0, ended.err
    return pd.read_csv(next(ended.outputs.glob("sweeps/*")) / "sweep.csv")


@pytest.mark.parametrize("sweeper", ["random", "optuna"])
def test_trials_are_drawn_from_the_space(dlrun, sweeper):
    if sweeper == "optuna":
        pytest.importorskip("optuna")
    found = trials(dlrun(*JOB, f"sweeper={sweeper}", "sweeper.trials=6", *SPACE))
    assert len(found) == 6 and found["optimizer.lr"].between(1e-4, 1e-1).all() and found["optimizer.lr"].nunique() == 6
    assert set(found["trainer.batch_size"]) <= {16, 32, 48, 64} and set(found["model.activation"]) <= {"relu", "tanh"}


def test_a_logarithmic_interval_is_drawn_evenly_by_order_of_magnitude():
    search = Random(trials=4000)
    space = {"x": Domain(low=1e-4, high=1.0, log=True), "n": Domain(low=1, high=3, whole=True)}
    search.begin(None, [space], [])
    drawn = [values for _, values in search.proposals()]
    decades = pd.Series([math.floor(math.log10(float(values["x"]))) for values in drawn]).value_counts(normalize=True)
    assert decades.reindex([-4, -3, -2, -1]).between(0.22, 0.28).all()
    assert pd.Series([values["n"] for values in drawn]).value_counts(normalize=True).between(0.3, 0.37).all()


def test_a_random_search_is_the_same_again_and_goes_on_with_more_trials(dlrun):
    first = trials(dlrun(*JOB, "sweeper=random", "sweeper.trials=3", *SPACE))
    more = dlrun("resume=latest", "sweeper.trials=5")
    assert more.out.count("finished before") == 3
    found = trials(more)
    assert len(found) == 5
    pd.testing.assert_frame_equal(found[:3], first)
    again = trials(dlrun(*JOB, "sweeper=random", "sweeper.trials=5", *SPACE, into="again"))
    pd.testing.assert_frame_equal(found.drop(columns="fit_seconds"), again.drop(columns="fit_seconds"))


def test_the_space_may_stand_in_an_experiment(dlrun, tmp_path):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "search.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /data: moons\n  - override /sweeper: random\n"
        "trainer: {epochs: 2}\n"
        "sweeper: {trials: 3, objective: valid/accuracy, space: {optimizer.lr: 'interval(0.1, 0.2)'}}\n"
    )
    ended = dlrun("--config-dir", "conf", "-m", "experiment=search")
    assert trials(ended)["optimizer.lr"].between(0.1, 0.2).all() and "ranked by valid/accuracy" in ended.out


def test_a_search_averages_over_folds(dlrun):
    ended = dlrun(*JOB, "sweeper=random", "sweeper.trials=2", "optimizer.lr=interval(0.01,0.02)", "cv.folds=2")
    assert len(trials(ended)) == 4 and "±" in ended.out


def study_in(folder):
    from optuna import load_study
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return load_study(study_name="dlrun", storage=JournalStorage(JournalFileBackend(str(folder / "study.journal"))))


@pytest.mark.slow
def test_optuna_prunes_and_says_what_matters_and_goes_on(dlrun):
    pytest.importorskip("optuna")
    job = (*JOB, "sweeper=optuna", "optimizer.lr=tag(log, interval(1e-6, 1e-1))", "trainer.epochs=8")
    ended = dlrun(*job, "sweeper.trials=12", "sweeper.startup_trials=4", "model.activation=relu,tanh")
    found = trials(ended)
    assert (found["status"] == "pruned").any() and (found["status"] == "finished").sum() >= 5
    assert found[found["status"] == "pruned"]["epochs"].max() < 8
    assert "importance: optimizer.lr" in ended.out
    folder = next(ended.outputs.glob("sweeps/*"))
    shutil.rmtree(folder / "11")
    more = dlrun("resume=latest", "sweeper.trials=14")
    assert more.exit_code == 0 and len(pd.read_csv(folder / "sweep.csv")) == 14
    study = study_in(folder)
    assert len(study.trials) == 14
    best = found[found["status"] == "finished"].sort_values("valid/loss").iloc[0]
    assert min(t.value for t in study.trials[:12] if t.value is not None) == pytest.approx(best["valid/loss"])


def test_an_interrupted_trial_of_optunas_goes_on_in_its_folder(dlrun):
    pytest.importorskip("optuna")
    ended = dlrun(*JOB, "sweeper=optuna", "sweeper.trials=2", "optimizer.lr=interval(0.01, 0.02)")
    folder = next(ended.outputs.glob("sweeps/*"))
    metrics = json.loads((folder / "1" / "metrics.json").read_text())
    (folder / "1" / "metrics.json").write_text(json.dumps({**metrics, "status": "interrupted"}))
    lines = (folder / "study.journal").read_text().splitlines()
    last = max(i for i, line in enumerate(lines) if json.loads(line).get("trial_id") == 1)
    (folder / "study.journal").write_text("\n".join(lines[:last]) + "\n")
    again = dlrun("resume=latest")
    assert again.exit_code == 0, again.err
    config = json.loads((folder / "1" / "metrics.json").read_text())["config"]
    assert config["optimizer.lr"] == metrics["config"]["optimizer.lr"] and not (folder / "2").exists()


def test_an_objective_that_no_run_has_stops_the_search(dlrun):
    ended = dlrun(*JOB, "sweeper=random", "sweeper.objective=valid/acuracy", "optimizer.lr=interval(0.1,1)")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "did you mean 'valid/accuracy'" in ended.err


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (["sweeper=random"], "nothing to search"),
        (["sweeper=random", "sweeper.trials=0", "optimizer.lr=interval(0.1,1)"], "sweeper.trials"),
        (["sweeper=random", "optimizer.lr=interval(1,0.1)"], "rise"),
        (["sweeper=random", "optimizer.lr=tag(log, interval(0,1))"], "above 0"),
        (["sweeper=optuna", "sweeper.sampler=grid", "optimizer.lr=interval(0.1,1)"], "tpe"),
        (["sweeper=optuna", "sweeper.pruner=all", "optimizer.lr=interval(0.1,1)"], "median"),
        (["sweeper=optuna", "optimizr.lr=interval(0.1,1)"], "optimizer"),
        (["sweeper=random", "trainer.batch_size=-5,0"], "trainer.batch_size"),
        (["sweeper=bayes", "optimizer.lr=interval(0.1,1)"], "sweeper"),
        (["sweeper._target_=os.system"], "os"),
        (["optimizer.lr=interval(0.1,1)"], "interval"),
    ],
)
def test_a_search_that_cannot_be_is_one_line_and_leaves_nothing(dlrun, settings, word):
    ended = dlrun("-m", "data=moons", "trainer.epochs=1", *settings)
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and word in ended.err, ended.err
    assert not ended.outputs.exists()


def test_a_search_whose_trials_all_diverge_ends(dlrun):
    pytest.importorskip("optuna")
    ended = dlrun("-m", "data=diabetes", "data.scale_target=false", "model=linear", "optimizer=sgd", "trainer.epochs=9",
                  "sweeper=optuna", "sweeper.trials=3", "optimizer.lr=interval(1e4, 1e5)")  # fmt: skip
    assert ended.exit_code == 3 and len(pd.read_csv(next(ended.outputs.glob("sweeps/*")) / "sweep.csv")) == 3


def test_a_search_for_something_else_does_not_go_on_in_the_same_folder(dlrun):
    pytest.importorskip("optuna")
    job = (*JOB, "sweeper=optuna", "sweeper.trials=2", "sweep_dir=mine")
    assert dlrun(*job, "optimizer.lr=interval(0.01, 0.02)").exit_code == 0
    other = dlrun(*job, "optimizer.lr=interval(0.1, 0.2)")
    assert other.exit_code == 2 and other.err.count("\n") == 1 and "something else" in other.err


LEARNING = (*JOB, "sweeper=optuna", "sweeper.startup_trials=2", "optimizer.lr=tag(log, interval(1e-4, 1))",
            "trainer.batch_size=range(16,65,16)")  # fmt: skip


def test_a_search_that_was_killed_proposes_what_it_would_have_proposed(dlrun):
    pytest.importorskip("optuna")
    whole = trials(dlrun(*LEARNING, "sweeper.trials=7", into="whole"))
    killed = dlrun(*LEARNING, "sweeper.trials=4", into="killed")
    folder = next(killed.outputs.glob("sweeps/*"))
    lines = (folder / "study.journal").read_text().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if "distribution" in line)  # killed while its last trial was trained
    (folder / "study.journal").write_text("".join(lines[: last + 2]) + '{"op_code": 6, "torn')
    shutil.rmtree(folder / "3")
    assert [trial.state.name for trial in study_in(folder).trials] == ["COMPLETE", "COMPLETE", "COMPLETE", "RUNNING"]
    more = dlrun("resume=latest", "sweeper.trials=7", into="killed")
    assert more.out.count("finished before") == 3
    pd.testing.assert_frame_equal(trials(more).drop(columns="fit_seconds"), whole.drop(columns="fit_seconds"))


def changed(folder, change) -> None:
    """The study's journal with its entries changed."""
    entries = [json.loads(line) for line in (folder / "study.journal").read_text().splitlines()]
    (folder / "study.journal").write_text("".join(json.dumps(entry) + "\n" for entry in change(entries)))


@pytest.fixture
def searched(dlrun):
    pytest.importorskip("optuna")
    ended = dlrun(*JOB, "sweeper=optuna", "sweeper.trials=2", "model.activation=relu,tanh")
    assert ended.exit_code == 0, ended.err
    return next(ended.outputs.glob("sweeps/*"))


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("allow_targets", "[evil]"),
        ("model", "{_target_: evil.Model}"),
        ("model.activation", "{_target_: evil.Model}"),
        ("+data.path", "/etc/passwd"),
    ],
)
def test_a_study_sets_only_what_is_searched(dlrun, searched, tmp_path, name, choice):
    (tmp_path / "evil.py").write_text("raise SystemExit('was imported')")
    kind = json.dumps({"name": "CategoricalDistribution", "attributes": {"choices": [choice]}})

    def planted(entries):
        for entry in entries:
            if "param_name" in entry:
                entry |= {"param_name": name, "param_value_internal": 0, "distribution": kind}
        return entries

    changed(searched, planted)
    ended = dlrun("resume=latest")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "trial 0 sets" in ended.err, ended.err
    assert "evil" not in sys.modules


def test_a_trial_waiting_in_a_study_sets_only_what_is_searched(dlrun, searched):
    def planted(entries):
        waiting = {"op_code": 4, "worker_id": "x", "study_id": 0, "state": 4, "distributions": {}, "params": {},
                   "user_attrs": {}, "system_attrs": {"fixed_params": {"model.activation": "{_target_: evil.M}"}},
                   "intermediate_values": {}}  # fmt: skip
        return [*entries, {**waiting, "datetime_start": None}]

    changed(searched, planted)
    ended = dlrun("resume=latest", "sweeper.trials=4")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1, ended.err


@pytest.mark.parametrize("name", ["study.journal", "study.lock"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_journal_that_is_no_file_is_one_line(dlrun, searched, tmp_path, name, kind):
    (searched / name).unlink()
    outside = tmp_path / "outside"
    {"link": lambda: (searched / name).symlink_to(outside), "pipe": lambda: os.mkfifo(searched / name),
     "folder": (searched / name).mkdir}[kind]()  # fmt: skip
    ended = dlrun("resume=latest")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and name in ended.err, ended.err
    assert not outside.exists()


@pytest.mark.parametrize("damage", ["[]", "null", '{"op_code": 4}', '{"op_code": 99, "worker_id": "x"}', "{"])
def test_a_damaged_journal_is_one_line(dlrun, searched, damage):
    lines = (searched / "study.journal").read_text().splitlines()
    (searched / "study.journal").write_text("\n".join([*lines[:3], damage, *lines[3:]]) + "\n")
    ended = dlrun("resume=latest")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "study.journal" in ended.err, ended.err


def test_a_lock_that_a_dead_process_left_behind_keeps_nobody_waiting(dlrun, searched):
    (searched / "study.journal.lock").symlink_to("study.journal")  # as Optuna's own lock leaves it
    started = time.monotonic()
    assert dlrun("resume=latest").exit_code == 0
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("objective", ["parameters", "fit_seconds", "valid/f1"])
def test_any_figure_may_be_the_objective(dlrun, objective):
    pytest.importorskip("optuna")
    ended = dlrun(*JOB, "sweeper=optuna", "sweeper.trials=3", f"sweeper.objective={objective}",
                  "model.hidden=[2],[16]", "optimizer.lr=interval(0.01,0.1)")  # fmt: skip
    table = trials(ended)
    assert f"ranked by {objective}" in ended.out
    if objective != "valid/f1":
        best = table.loc[table[objective].idxmin()]
        assert f"optimizer.lr={best['optimizer.lr']}" in ended.out.split("best:")[1]
        assert f"no trial was pruned: {objective}" in ended.out


def test_pruning_goes_by_the_objective_whatever_is_monitored(dlrun):
    pytest.importorskip("optuna")
    job = (*JOB, "sweeper=optuna", "sweeper.objective=valid/f1", "trainer.early_stopping.monitor=valid/loss",
           "optimizer.lr=tag(log, interval(1e-6, 1e-1))", "trainer.epochs=8")  # fmt: skip
    ended = dlrun(*job, "sweeper.trials=10", "sweeper.startup_trials=3")
    table = trials(ended)
    assert (table["status"] == "pruned").any()
    folder = next(ended.outputs.glob("sweeps/*"))
    assert "valid/f1" not in (folder / "0" / "history.csv").read_text()  # a trial has the bits of the run alone
    again = dlrun(f"run={folder / '0'}", into="alone")
    assert "the same bits" in again.out, again.out + again.err


def test_a_whole_number_that_is_searched_as_any_number_is_told_how(dlrun):
    ended = dlrun("-m", "data=moons", "sweeper=random", "trainer.epochs=interval(1,99)")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and not ended.outputs.exists()
    assert "trainer.epochs=int(interval(1,99))" in ended.err and "trainer.epochs=range(1,100)" in ended.err


@pytest.mark.parametrize("domain", ["int(interval(1,3))", "range(1,4)"])
def test_whole_numbers_are_searched_as_the_hint_says(dlrun, domain):
    found = trials(
        dlrun(*JOB[:2], "model.hidden=[4]", "sweeper=random", "sweeper.trials=3", f"trainer.epochs={domain}")
    )
    assert found["trainer.epochs"].isin([1, 2, 3]).all()


def test_a_domain_holds_its_values_only():
    lr, size, step = (
        Domain(low=0.1, high=1.0),
        Domain(low=1, high=9, step=2, whole=True),
        Domain(low=0, high=1, step=0.1),
    )
    assert lr.holds("0.5") and lr.holds("1.0") and not any(map(lr.holds, ("2", "nan", "inf", "{a: 1}", "", "0.5,0.6")))
    assert size.holds("3") and not any(map(size.holds, ("4", "11", "3.0", "-1")))
    assert step.holds(repr(3 * 0.1)) and not step.holds("0.25")
    assert Domain(choices=["a", "b"]).holds("a") and not Domain(choices=["a"]).holds("c")


@pytest.mark.slow
def test_two_processes_share_a_search(dlrun, tmp_path):
    pytest.importorskip("optuna")
    job = [*JOB[1:], "sweeper=optuna", "sweeper.trials=10", "optimizer.lr=interval(0.01, 0.1)", "sweep_dir=mine"]
    command = [sys.executable, "-m", "dlrun", "-m", *job, "trainer.epochs=30", "trainer.early_stopping=null"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen(command, cwd=tmp_path, **quiet)
    deadline = time.monotonic() + 60
    while not (tmp_path / "mine" / "0" / "metrics.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    second = subprocess.Popen(command, cwd=tmp_path, **quiet)
    errors = [process.communicate(timeout=120)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), errors
    runs = [file.parent.name for file in (tmp_path / "mine").glob("*/model.safetensors")]
    assert sorted(runs, key=int) == [str(number) for number in range(10)]
    assert len(pd.read_csv(tmp_path / "mine" / "sweep.csv")) == 10


SPACES = ('sweeper.space=[{model: mlp, solver: none, model.hidden: "choice([8],[64],[16,16])"}, '
          '{model: logistic, solver: none, optimizer.lr: "interval(0.01,0.1)"}]')  # fmt: skip
AMONG_MODELS = ("-m", "data=moons", "trainer.epochs=2", "sweeper.trials=6", "optimizer.weight_decay=0,0.01", SPACES)


@pytest.mark.parametrize("sweeper", ["random", "optuna"])
def test_a_trial_takes_one_of_a_list_of_spaces_and_nothing_of_the_others(dlrun, sweeper):
    if sweeper == "optuna":
        pytest.importorskip("optuna")
    found = trials(dlrun(*AMONG_MODELS, f"sweeper={sweeper}"))
    assert set(found["model"]) == {"mlp", "logistic"}
    assert (found["model.hidden"].notna() == (found["model"] == "mlp")).all()
    assert (found["optimizer.lr"].notna() == (found["model"] == "logistic")).all()
    assert found["optimizer.weight_decay"].isin([0, 0.01]).all()


def test_a_search_among_spaces_proposes_the_same_again_when_it_goes_on(dlrun):
    pytest.importorskip("optuna")
    whole = trials(dlrun(*AMONG_MODELS, "sweeper=optuna", into="whole"))
    dlrun(*AMONG_MODELS, "sweeper=optuna", "sweeper.trials=3", into="parts")
    found = trials(dlrun("resume=latest", "sweeper.trials=6", into="parts"))
    pd.testing.assert_frame_equal(found.drop(columns="fit_seconds"), whole.drop(columns="fit_seconds"))


def test_several_objectives_end_in_the_pareto_front_listed_and_drawn(dlrun):
    pytest.importorskip("optuna")
    ended = dlrun(*AMONG_MODELS, "sweeper=optuna", "sweeper.objective=[valid/accuracy,parameters]")
    assert ended.exit_code == 0, ended.err
    folder = next(ended.outputs.glob("sweeps/*"))
    listed = {int(line.partition(":")[0]) for line in ended.out.splitlines() if re.match(r"\d+: dlrun ", line)}
    own = {trial.number for trial in study_in(folder).best_trials}
    numbers = {number for number in own if (folder / str(number)).exists()}  # a setting drawn twice is run once
    assert numbers <= listed <= own and "Pareto front by valid/accuracy and parameters" in ended.out
    assert (folder / "plots" / "pareto_front.png").exists() and "there are several objectives" in ended.out


@pytest.mark.parametrize(
    "wrong, line",
    [
        (["sweeper=optuna", "sweeper.objective=[valid/loss,valid/loss]"], "one of them stands there twice"),
        (["sweeper=optuna", "sweeper.objective=[]"], "a figure such as valid/loss, or a list of them"),
        (["sweeper=random", "sweeper.objective=3"], "a figure such as valid/loss, or a list of them"),
        (["sweeper=random", "sweeper.space=[3]"], "keys and what they may be belong here"),
        (["sweeper=random", "sweeper.space=[{}]"], "keys and what they may be belong here"),
        (["sweeper=random", "sweeper.space={optimizer.lr: 0.1}"], "is no domain"),
        (["sweeper=random", "sweeper.space=[{optimizer.lrr: 'interval(0,1)'}]"], "optimizer.lrr"),
        (["sweeper=optuna", "sweeper.sampler=cmaes", SPACES], "cmaes takes one objective and one space"),
    ],
)
def test_objectives_and_spaces_that_cannot_be_are_one_line(dlrun, wrong, line):
    if "sweeper=optuna" in wrong:
        pytest.importorskip("optuna")
    ended = dlrun("-m", "data=moons", "optimizer.weight_decay=0,0.01", *wrong)
    assert ended.exit_code == 2 and line in ended.err and ended.err.count("\n") == 1, ended.err
    assert not list(ended.outputs.glob("sweeps/*"))
