"""A launcher and a searcher of one's own work from a --config-dir, as the docs say, under resume too."""

import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from dlrun.sweeps.launchers.base import Gpus, launches
from dlrun.sweeps.searchers.base import searches

DOCS = Path(__file__).parents[2] / "docs"
POOL = """
import pickle, subprocess, sys

CODE = "import pickle, sys; sys.stdout.buffer.write(pickle.dumps(pickle.load(sys.stdin.buffer).run()))"

class Pool:
    def __init__(self, jobs, gpus):
        print("asked", jobs, gpus)

    def __call__(self, jobs):
        for job in jobs:
            sent = pickle.dumps(job)
            done = subprocess.run([sys.executable, "-c", CODE], input=sent, capture_output=True, cwd="/", check=True)
            yield pickle.loads(done.stdout)
"""
IRIS = ("--config-dir", "conf", "-m", "data=iris", "model=logistic", "trainer.epochs=1")


@pytest.fixture(autouse=True)
def modules_of_its_own(monkeypatch):
    """A test's modules are found in its own folder, and forgotten after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("my_launchers", "my_searchers", "my_pool"):
        sys.modules.pop(name, None)


@pytest.fixture
def from_docs(tmp_path):
    """Write the files of a page of the docs into the test's folder, verbatim."""

    def write(page: str) -> None:
        text = (DOCS / page).read_text()
        for name, content in re.findall(r"`(\S+)`:\n\n```\w+\n(.*?)```", text, flags=re.DOTALL):
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)

    return write


def sweep_of(ended) -> Path:
    return next(ended.outputs.glob("sweeps/*"))


def test_a_launcher_of_ones_own_runs_the_jobs_and_is_used_again_on_resume(dlrun, from_docs):
    from_docs("own_launcher.md")
    ended = dlrun(*IRIS, "seed=1,2,3", "launcher=mine", "launcher.greeting=good_day")
    assert ended.exit_code == 0, ended.err
    assert re.findall(r"good_day (\d)", ended.out) == ["2", "1", "0"]
    assert len(pd.read_csv(sweep_of(ended) / "sweep.csv")) == 3
    shutil.rmtree(sweep_of(ended) / "1")
    again = dlrun("--config-dir", "conf", "resume=latest")
    assert again.exit_code == 0, again.err
    assert re.findall(r"good_day (\d)", again.out) == ["1"] and again.out.count("finished before") == 2


def test_settings_of_a_launcher_are_checked_against_its_class(dlrun, from_docs):
    from_docs("own_launcher.md")
    ended = dlrun(*IRIS, "seed=1,2", "launcher=mine", "+launcher.greting=hello")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "did you mean 'greeting'" in ended.err
    assert not ended.outputs.exists()


@pytest.mark.slow
def test_a_launcher_gets_jobs_and_gpus_if_it_asks_for_them_and_jobs_run_in_another_process(dlrun, tmp_path):
    (tmp_path / "conf" / "launcher").mkdir(parents=True)
    (tmp_path / "conf" / "launcher" / "pool.yaml").write_text(
        "# @package _global_\nlauncher: {_target_: my_pool.Pool}\n"
    )
    (tmp_path / "my_pool.py").write_text(POOL)
    ended = dlrun(*IRIS, "seed=1,2", "launcher=pool", "jobs=7", "device=cpu")
    assert ended.exit_code == 0, ended.err
    assert "asked 7 ()" in ended.out and len(list(sweep_of(ended).glob("*/model.safetensors"))) == 2


def test_a_searcher_of_ones_own_proposes_the_trials_and_goes_on(dlrun, from_docs, tmp_path):
    from_docs("own_searcher.md")
    module = tmp_path / "my_searchers.py"
    module.write_text(module.read_text().replace("trials: int = 3", "trials: int = 3\n    note_of_mine: str = ''"))
    ended = dlrun(*IRIS, "sweeper=mine", "optimizer.lr=interval(0.1,0.3)", "+sweeper.note_of_mine=hello")
    assert ended.exit_code == 0, ended.err
    table = pd.read_csv(sweep_of(ended) / "sweep.csv")
    assert table["optimizer.lr"].tolist() == pytest.approx([0.1, 0.2, 0.3])
    shutil.rmtree(sweep_of(ended) / "1")
    again = dlrun("--config-dir", "conf", "resume=latest")
    assert again.exit_code == 0, again.err
    assert again.out.count("finished before") == 2
    pd.testing.assert_frame_equal(
        pd.read_csv(sweep_of(ended) / "sweep.csv").drop(columns="fit_seconds"), table.drop(columns="fit_seconds")
    )


def test_a_searcher_of_ones_own_needs_m_and_stays_inside_its_space(dlrun, from_docs, tmp_path):
    from_docs("own_searcher.md")
    alone = dlrun("--config-dir", "conf", "data=iris", "model=logistic", "sweeper=mine")
    assert alone.exit_code == 2 and "-m" in alone.err
    module = tmp_path / "my_searchers.py"
    module.write_text(module.read_text().replace("items()}", "items()} | {'allow_targets': '[os]'}"))
    ended = dlrun(*IRIS, "sweeper=mine", "optimizer.lr=interval(0.1,0.3)")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "allow_targets, which is not searched" in ended.err


def test_of_torch_and_scikit_learn_nothing_is_a_launcher_or_a_searcher():
    from sklearn.gaussian_process.kernels import RBF
    from torch.distributed.launcher.api import elastic_launch
    from torch.nn import Linear

    assert not any(launches(target) or searches(target) for target in (RBF, elastic_launch, Linear, print))


def test_each_job_gets_an_idle_gpu():
    gpus = Gpus(range(3))
    assert [gpus.take() for _ in range(3)] == [0, 1, 2]
    gpus.give_back(1)
    assert gpus.take() == 1
    gpus.give_back(2)
    gpus.give_back(0)
    assert sorted([gpus.take(), gpus.take()]) == [0, 2]
    assert Gpus([]).take() is None


def test_more_jobs_than_gpus_are_spread_evenly():
    gpus = Gpus(range(2))
    assert sorted(gpus.take() for _ in range(4)) == [0, 0, 1, 1]


def test_joblib_gives_a_job_a_gpu_that_no_other_is_running_on(monkeypatch):
    from concurrent.futures import Future

    from dlrun.sweeps.launchers.base import Job, Outcome
    from dlrun.sweeps.launchers.local import Joblib

    running, seen = {}, []

    class Executor:
        """Ends its jobs in an odd order: always the youngest first."""

        def submit(self, _function, _parent, job):
            assert job.gpu not in [other.gpu for other in running.values()]
            seen.append(job.gpu)
            running[future := Future()] = job
            return future

    def wait(futures, return_when):
        youngest = list(futures)[-1]
        youngest.set_result(Outcome(running.pop(youngest).path))
        return type("Done", (), {"done": {youngest}})

    monkeypatch.setattr("joblib.externals.loky.get_reusable_executor", lambda *_, **__: Executor())
    monkeypatch.setattr("dlrun.sweeps.launchers.local.wait", wait)
    jobs = [Job(str(n), Path(str(n)), ()) for n in range(7)]
    outcomes = list(Joblib(gpus=(0, 1))(iter(jobs)))  # as many at once as there are GPUs
    assert sorted(outcome.path for outcome in outcomes) == [str(n) for n in range(7)]
    assert seen[:2] == [0, 1] and set(seen) == {0, 1}


def test_jobs_default_to_the_cores_that_the_process_may_use(monkeypatch):
    from dlrun.sweeps.launchers.local import Joblib

    asked = []

    class Stop(Exception):
        pass

    def executor(at_once, **_settings):
        asked.append(at_once)
        raise Stop

    monkeypatch.setattr("joblib.cpu_count", lambda: 3)
    monkeypatch.setattr("joblib.externals.loky.get_reusable_executor", executor)
    for launcher in (Joblib(), Joblib(gpus=(0, 1)), Joblib(jobs=5, gpus=(0, 1))):
        with pytest.raises(Stop):
            next(launcher(iter(())))
    assert asked == [3, 2, 5]


def test_the_record_of_a_whole_says_how_threads_are_chosen_and_that_of_a_part_how_many_there_were(dlrun):
    ended = dlrun("data=iris", "model=logistic", "trainer.epochs=1", "repeats=2")
    records = {f.parent.name: json.loads(f.read_text())["threads"] for f in ended.outputs.rglob("environment.json")}
    assert records.pop("repeat_1") == records.pop("repeat_2") == 1
    assert list(records.values()) == ["auto"]
