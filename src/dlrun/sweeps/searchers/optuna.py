"""Searchers: which settings a sweep tries next. A grid is Hydra's own; the others draw from intervals and choices."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dlrun.errors import Mistake, choose
from dlrun.store.folder import RunFolder
from dlrun.sweeps.searchers.base import Domain, _text
from dlrun.sweeps.searchers.random import Random


@dataclass
class Optuna(Random):
    """Settings proposed by Optuna, which learns from the trials before; hopeless trials are pruned.

    The study is kept in a journal in the sweep's folder, so that it can go on, and several processes can share it.

    Args:
        sampler: `tpe` (tree-structured Parzen estimator), `random` or `cmaes`.
        pruner: `median` (stops a trial that is worse than the median of those before at the same epoch), `halving`
            (successive halving) or `none`.
        startup_trials: trials drawn at random before Optuna begins to learn and to prune.

    Raises:
        Mistake: an unknown sampler or pruner, or Optuna is not installed.
    """

    sampler: str = "tpe"
    pruner: str = "median"
    startup_trials: int = 5

    def __post_init__(self):
        super().__post_init__()
        choose(self.sampler, dict.fromkeys(("tpe", "random", "cmaes")), "sweeper.sampler")
        choose(self.pruner, dict.fromkeys(("median", "halving", "none")), "sweeper.pruner")
        try:
            import optuna
        except ImportError as error:
            raise Mistake("sweeper=optuna: needs Optuna: pip install 'dlrun[optuna]'") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)

    def begin(self, folder: Path, space: dict[str, Domain], objective: str, maximizes: bool) -> None:
        """Open the study, and propose again what was under way when it stopped.

        Raises:
            Mistake: the study in `folder` is a search for something else.
        """
        import optuna
        from optuna.trial import TrialState

        direction = "maximize" if maximizes else "minimize"
        self.domains = {key: _distribution(domain) for key, domain in space.items()}
        self.study = optuna.create_study(
            storage=storage_in(folder), study_name="dlrun", load_if_exists=True, direction=direction
        )
        aim = {"objective": objective, "space": repr(sorted(space.items()))}
        if self.study.user_attrs.get("aim", aim) != aim or self.study.direction.name.lower() != direction:
            raise Mistake(f"sweep_dir: {folder} holds a search for something else; name another")
        self.study.set_user_attr("aim", aim)
        seed = self.seed + len(self.study.trials)  # a search that goes on must not draw again what it drew before
        self.study.sampler = {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.startup_trials),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
            "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=self.startup_trials),
        }[self.sampler]()
        running = self.study.get_trials(states=(TrialState.RUNNING,))
        stopped = [trial for trial in running if _has_ended(trial.user_attrs.get("process", ""))]
        for trial in stopped:
            self.study.tell(trial.number, state=TrialState.FAIL)
            self.study.enqueue_trial(trial.params)
        self.study.set_user_attr("repeated", self.study.user_attrs.get("repeated", 0) + len(stopped))

    def proposals(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The trials that the study has seen end, and then as many as are missing."""
        from optuna.trial import TrialState

        ended, seen = (TrialState.COMPLETE, TrialState.PRUNED), set()
        for trial in self.study.get_trials(states=ended):
            seen.add(trial.number)
            yield trial.number, {key: _text(value) for key, value in trial.params.items()}
        begun = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL)
        trials = self.trials + self.study.user_attrs["repeated"]
        while len(self.study.get_trials(deepcopy=False, states=begun)) < trials:
            trial = self.study.ask(self.domains)
            trial.set_user_attr("process", f"{platform.node()} {os.getpid()}")
            seen.add(trial.number)
            yield trial.number, {key: _text(value) for key, value in trial.params.items()}
        for trial in self.study.get_trials(states=ended):  # what another process has run meanwhile
            if trial.number not in seen:
                yield trial.number, {key: _text(value) for key, value in trial.params.items()}

    def tell(self, number: int, value: float | None, hopeless: bool) -> None:
        """Complete, hopeless or failed; what the study knows already is left as it is."""
        from optuna.trial import TrialState

        if self.study.trials[number].state.is_finished():
            return
        if hopeless or value is None or not math.isfinite(value):
            self.study.tell(number, state=TrialState.PRUNED if hopeless else TrialState.FAIL)
        else:
            self.study.tell(number, value)

    def pruning(self, folder: Path, number: int, objective: str) -> Pruning | None:
        """What stops trial `number` early, or None."""
        if self.pruner == "none":
            return None
        return Pruning(folder, number, self.pruner, self.startup_trials, objective)

    def lines(self) -> list[str]:
        """How much each setting matters, by Optuna's fANOVA."""
        import optuna

        finished = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        if len(finished) < 4 or len({trial.value for trial in finished}) < 2:
            return []
        found = optuna.importance.get_param_importances(
            self.study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=self.seed)
        )
        return ["importance: " + ", ".join(f"{key} {share:.0%}" for key, share in found.items())]


@dataclass
class Pruning:
    """What a run reports to its study after each epoch.

    Attributes:
        folder: of the sweep, with the study's journal.
        number: of the trial.
        pruner, startup_trials: as Optuna's settings.
        objective: what is reported.
    """

    folder: Path
    number: int
    pruner: str
    startup_trials: int
    objective: str

    def hopeless(self, epoch: int, logged: dict[str, float]) -> bool:
        """Report an epoch, and whether to stop."""
        if self.objective not in logged:
            return False
        if not hasattr(self, "_trial"):
            self._trial = self._open()
        if epoch in self._told:  # by this trial, before it was interrupted
            return False
        self._trial.report(logged[self.objective], epoch)
        return self._trial.should_prune()

    def _open(self):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruners = {
            "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=self.startup_trials, n_warmup_steps=2),
            "halving": optuna.pruners.SuccessiveHalvingPruner,
        }
        study = optuna.load_study(study_name="dlrun", storage=storage_in(self.folder), pruner=pruners[self.pruner]())
        found = next(trial for trial in study.get_trials(deepcopy=False) if trial.number == self.number)
        self._told = set(found.intermediate_values)
        return optuna.trial.Trial(study, found._trial_id)


def _has_ended(process: str) -> bool:
    """Whether the process that began a trial runs no more; of one on another machine that cannot be known."""
    machine, _, number = process.partition(" ")
    if not number:
        return True
    if machine != platform.node():
        return False
    if os.name == "nt":  # there, os.kill would end it
        return True
    try:
        os.kill(int(number), 0)
    except OSError:
        return True
    return int(number) == os.getpid()


def storage_in(folder: Path):
    """The storage of the study in a sweep's folder."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(RunFolder(folder).journal())))


def _distribution(domain: Domain):
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if domain.choices is not None:
        return CategoricalDistribution(domain.choices)
    if domain.whole:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=int(domain.step or 1))
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
