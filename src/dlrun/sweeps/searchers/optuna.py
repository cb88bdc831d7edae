"""Settings proposed by Optuna: a search that learns from the trials before, and stops the hopeless ones."""

from __future__ import annotations

import math
import os
import platform
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dlrun.errors import Mistake, choose, one_line
from dlrun.ranking.ranking import Ranking
from dlrun.store import directory
from dlrun.store.folder import JOURNAL, LOCK
from dlrun.sweeps.searchers.base import Domain, as_text
from dlrun.sweeps.searchers.random import Random

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import JournalStorage
    from optuna.trial import FrozenTrial, Trial

STUDY = "dlrun"
CHOICE = "sweeper.space"  # which of several spaces a trial is from
_KEY = re.compile(r"^\d+:")


@dataclass
class Optuna(Random):
    """Settings proposed by Optuna, which learns from the trials before; hopeless trials are pruned.

    The study is kept in a journal in the sweep's folder, so that it can go on, and several processes can share it. What
    is drawn for a trial is a function of its number and of the results that are known then: with jobs=1 a search that
    was stopped and goes on proposes what it would have proposed.

    Args:
        sampler: `tpe` (tree-structured Parzen estimator), `random` or `cmaes`.
        pruner: `median` (stops a trial that is worse than the median of those before at the same epoch), `halving`
            (successive halving) or `none`. They go by the objective after each epoch; of one that only the finished run
            has (test/loss, fit_seconds) nothing is pruned.
        startup_trials: trials drawn at random before Optuna begins to learn and to prune.

    Raises:
        Mistake: an unknown sampler or pruner, or Optuna is not installed.
    """

    is_shared: ClassVar[bool] = True

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

    def begin(self, folder: Path, alternatives: Sequence[Mapping[str, Domain]], objectives: Sequence[Ranking]) -> None:
        """Open the study.

        Raises:
            Mistake: the study in `folder` is a search for something else, or damaged; or several objectives or a list
                of spaces for a sampler that takes none.
        """
        import optuna

        if self.sampler == "cmaes" and (len(objectives) > 1 or len(alternatives) > 1):
            raise Mistake("sweeper.sampler: cmaes takes one objective and one space; tpe and random take several")
        super().begin(folder, alternatives, objectives)
        self.folder = folder
        Direction = optuna.study.StudyDirection
        directions = [Direction.MAXIMIZE if objective.maximizes else Direction.MINIMIZE for objective in objectives]
        names, spaces = [objective.name for objective in objectives], [sorted(space.items()) for space in alternatives]
        aim = {
            "objective": names[0] if len(names) == 1 else names,
            "space": repr(spaces[0] if len(spaces) == 1 else spaces),
        }
        with damage_explained(folder):
            self.lock, storage = storage_in(folder)
            self.study = optuna.create_study(
                storage=storage, study_name=STUDY, load_if_exists=True, directions=directions
            )
            if self.study.user_attrs.get("aim", aim) != aim or list(self.study.directions) != directions:
                raise Mistake(f"sweep_dir: {folder} holds a search for something else; name another")
            self.study.set_user_attr("aim", aim)

    def proposals(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the trials that the study knows, but those of processes that run still, and then what is missing."""
        from optuna.trial import TrialState

        seen = set()
        with damage_explained(self.folder):
            for trial in self._known():
                seen.add(trial.number)
                yield trial.number, self._as_texts(trial)
            while (new := self._ask()) is not None:
                seen.add(new.number)
                yield new.number, self._as_texts(new)
            for trial in self.study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)):
                if trial.number not in seen:  # another process has run it meanwhile
                    yield trial.number, self._as_texts(trial)

    def tell(self, number: int, values: Sequence[float] | None, hopeless: bool) -> None:
        """Take a result: complete, hopeless or failed. What the study knows already is left as it is."""
        from optuna.trial import TrialState

        if self.study.trials[number].state.is_finished():
            return
        if hopeless or values is None or not all(map(math.isfinite, values)):
            self.study.tell(number, state=TrialState.PRUNED if hopeless else TrialState.FAIL)
        else:
            self.study.tell(number, list(values))

    def pruning(self, folder: Path, number: int, objective: str) -> dict[str, object] | None:
        """Return what stops trial `number` early; None where nothing does: Optuna prunes by one objective alone."""
        if self.pruner == "none" or len(self.objectives) > 1 or _logged_name(objective) is None:
            return None
        settings = {"pruner": self.pruner, "startup_trials": self.startup_trials, "objective": objective}
        return {"_target_": f"{__name__}.Pruning", "folder": str(folder), "number": number, **settings}

    def lines(self) -> list[str]:
        """Return how much each setting matters, by Optuna's fANOVA, and whether pruning was possible."""
        import optuna

        lines, names = [], [objective.name for objective in self.objectives]
        if self.pruner != "none" and len(names) > 1:
            lines.append("no trial was pruned: there are several objectives")
        elif self.pruner != "none" and _logged_name(names[0]) is None:
            lines.append(f"no trial was pruned: {names[0]} is known at the end of a run only")
        finished = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        for i, name in enumerate(names):
            if len(finished) < 4 or len({trial.values[i] for trial in finished}) < 2:
                continue
            shares = optuna.importance.get_param_importances(
                self.study,
                evaluator=optuna.importance.FanovaImportanceEvaluator(seed=self.seed),
                target=partial(_value, i),
            )
            shown = {CHOICE: "which space"} if len(self.alternatives) > 1 else {}
            of = f" for {name}" if len(names) > 1 else ""
            if shares:
                parts = (f"{shown.get(key, key)} {share:.0%}" for key, share in shares.items())
                lines.append(f"importance{of}: {', '.join(parts)}")
        return lines

    def _known(self) -> list[FrozenTrial]:
        """Return the trials to be taken up, in order; those that a process which has ended left under way are ours
        from now on.
        """
        from optuna.trial import TrialState

        with self.lock.held():  # no two processes may take up the same trial
            trials = self.study.get_trials(deepcopy=False)
            stopped = [t for t in trials if t.state == TrialState.RUNNING and _has_ended(t.user_attrs.get("process"))]
            for trial in stopped:
                self.study._storage.set_trial_user_attr(trial._trial_id, "process", _this_process())
        return [t for t in trials if t.state.is_finished() or t in stopped]

    def _ask(self) -> Trial | None:
        """Return a new trial; None where there are enough."""
        from optuna.trial import TrialState

        with self.lock.held():
            begun = [t for t in self.study.get_trials(deepcopy=False) if t.state != TrialState.WAITING]
            if len(begun) >= self.trials:
                return None
            self.study.sampler = self._sampler(len(begun))
            trial = self._drawn()
            trial.set_user_attr("process", _this_process())
            return trial

    def _drawn(self) -> Trial:
        """Return a new trial whose settings are drawn: first, where there are several spaces, which of them."""
        trial, several = self.study.ask(), len(self.alternatives)
        number = int(trial.suggest_categorical(CHOICE, list(range(several)))) if several > 1 else 0
        for key, domain in self.alternatives[number].items():
            _suggest(trial, self._name_of(number, key), domain)
        return trial

    def _name_of(self, number: int, key: str) -> str:
        """Return what the study calls a setting: its key, but where alternatives mean different things by it."""
        domain = self.alternatives[number][key]
        same = all(space.get(key, domain) == domain for space in self.alternatives)
        return key if same else f"{number}:{key}"

    def _as_texts(self, trial: FrozenTrial | Trial) -> dict[str, str]:
        """Return the settings of a trial, as they are written in an override."""
        params = {name: value for name, value in trial.params.items() if name != CHOICE}
        if len(self.alternatives) > 1:
            params = {_KEY.sub("", name): value for name, value in params.items()}
        return {key: as_text(value) for key, value in params.items()}

    def _sampler(self, number: int) -> BaseSampler:
        """Return the sampler of a trial: a new one for each, so that what it draws depends on none of its past."""
        import optuna

        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        return {
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.startup_trials),
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
            "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=self.startup_trials),
        }[self.sampler]()


@dataclass
class Pruning:
    """What a run reports to its study after each epoch.

    Args:
        folder: of the sweep, with the study's journal.
        number: of the trial.
        pruner: as of Optuna, and so `startup_trials`.
        objective: what is reported; of `train_eval/loss` the running mean of the epoch, `train/loss`.
    """

    folder: str
    number: int
    pruner: str
    startup_trials: int
    objective: str

    def hopeless(self, epoch: int, logged: dict[str, float]) -> bool:
        """Report an epoch, and return whether to stop after it. An undefined value says nothing."""
        name = _logged_name(self.objective)
        value = None if name is None else logged.get(name)
        if value is None or not math.isfinite(value):
            return False
        with damage_explained(Path(self.folder)):
            if not hasattr(self, "_trial"):
                self._trial, self._reported = self._open()
            if epoch not in self._reported:  # by this trial, before it was interrupted
                self._trial.report(value, epoch)
            return epoch >= max(self._reported, default=0) and self._trial.should_prune()

    def _open(self) -> tuple[Trial, set[int]]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        _, storage = storage_in(Path(self.folder))
        study = optuna.load_study(study_name=STUDY, storage=storage, pruner=self._pruner())
        trial = next(trial for trial in study.get_trials(deepcopy=False) if trial.number == self.number)
        return optuna.trial.Trial(study, trial._trial_id), set(trial.intermediate_values)

    def _pruner(self) -> BasePruner:
        import optuna

        pruners: dict[str, Callable[[], BasePruner]] = {
            "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=self.startup_trials, n_warmup_steps=2),
            "halving": optuna.pruners.SuccessiveHalvingPruner,
        }
        return pruners[self.pruner]()


class Lock:
    """Held by one process, and one thread of it, at a time. The system lets go of it when its process ends.

    It is a file that is locked (flock), not one that is there or not: what a process that was killed leaves behind
    keeps nobody waiting.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path):
        self.path = path
        self._thread, self._depth, self._file = threading.RLock(), 0, -1

    def acquire(self) -> bool:
        """Wait until it is free; whoever holds it may take it again."""
        import fcntl

        self._thread.acquire()
        if self._depth == 0:
            self._file = open_regular(self.path)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._depth += 1
        return True

    def release(self) -> None:
        """Give it back once."""
        self._depth -= 1
        if self._depth == 0:
            os.close(self._file)
        self._thread.release()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it meanwhile."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


class LockOfWindows(Lock):
    """The same where there is no flock: threads of this process only keep out of each other's way, and Optuna's file,
    which is there while it is held, keeps out other processes.
    """

    def acquire(self) -> bool:
        """Wait until it is free; whoever holds it may take it again."""
        from optuna.storages.journal import JournalFileOpenLock

        self._thread.acquire()
        if self._depth == 0:
            self._other = JournalFileOpenLock(str(self.path), grace_period=5)
            self._other.acquire()
        self._depth += 1
        return True

    def release(self) -> None:
        """Give it back once."""
        self._depth -= 1
        if self._depth == 0:
            self._other.release()
        self._thread.release()


def storage_in(folder: Path) -> tuple[Lock, JournalStorage]:
    """Return the storage of the study in a sweep's folder, and the lock that guards it.

    Raises:
        Mistake: the journal is not a regular file: a link, or a pipe.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    lock = (LockOfWindows if os.name == "nt" else Lock)(folder / LOCK)
    with lock.held():
        journal = open_regular(folder / JOURNAL)
        try:
            _cut_torn_line(journal)
        finally:
            os.close(journal)
        file_backend = JournalFileBackend(str(folder / JOURNAL), lock)  # type: ignore[arg-type]  # has its methods
        return lock, JournalStorage(file_backend)


def open_regular(path: Path) -> int:
    """Return a file opened for reading and writing, made if it is not there; links are not followed.

    Raises:
        Mistake: it is a link, a pipe, or no file at all.
    """
    if path.is_symlink():
        raise Mistake(f"{path}: is a link, not a file of the sweep's; remove it")
    try:
        return directory.open_regular(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise Mistake(f"{path}: cannot be opened ({error.strerror})") from error


@contextmanager
def damage_explained(folder: Path) -> Iterator[None]:
    """Turn what Optuna raises about a journal that it did not write like that into one line."""
    import optuna

    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError, RuntimeError,
            optuna.exceptions.OptunaError) as error:  # fmt: skip
        reason = one_line(f"{type(error).__name__}: {error}")
        raise Mistake(f"{folder / JOURNAL}: is damaged ({reason}); name another sweep_dir") from error


def _cut_torn_line(journal: int) -> None:
    """Cut off the last line of a journal if it was not written to its end: what is appended would be lost with it."""
    size = os.fstat(journal).st_size
    end = size
    while end:
        start = max(0, end - 4096)
        os.lseek(journal, start, os.SEEK_SET)
        newline = os.read(journal, end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(journal, end)


def _logged_name(objective: str) -> str | None:
    """Return the value, known after each epoch, that stands for an objective; None where there is none."""
    split, _, metric = objective.partition("/")
    names = {"valid": f"valid/{metric}", "train": f"train/{metric}", "train_eval": f"train/{metric}"}
    return names.get(split)


def _this_process() -> str:
    return f"{platform.node()} {os.getpid()}"


def _has_ended(process: object) -> bool:
    """Return whether the process that began a trial runs no more; of one on another machine that cannot be known."""
    machine, _, number = str(process).rpartition(" ")
    if not number.isdigit() or not 0 < int(number) < 2**31:
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


def _value(number: int, trial: FrozenTrial) -> float:
    return float(trial.values[number])


def _suggest(trial: Trial, name: str, domain: Domain) -> None:
    """Draw one more setting of a trial."""
    if domain.choices is not None:
        trial.suggest_categorical(name, domain.choices)
    elif domain.whole:
        trial.suggest_int(name, int(domain.low), int(domain.high), step=int(domain.step or 1), log=domain.log)
    else:
        trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log)
