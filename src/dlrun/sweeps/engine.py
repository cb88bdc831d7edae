"""The one engine of many runs: it runs parts in sub-folders, skips what is finished there, and takes all together."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dlrun.config.compose import Composed
from dlrun.config.schema import key_of
from dlrun.errors import Mistake, did_you_mean
from dlrun.ranking.ranking import Ranking, choose_ranking
from dlrun.runs.recipe import plain, read_recipe
from dlrun.runtime import describe
from dlrun.store.files import finite, flatten
from dlrun.store.folder import RunFolder
from dlrun.store.record import SPLITS, Kind, Record
from dlrun.sweeps.display import choose_display
from dlrun.sweeps.draw import draw_sweep
from dlrun.sweeps.launchers.base import Job, Launcher, Outcome
from dlrun.sweeps.plan import Part
from dlrun.sweeps.results import COSTS, Setting, report, row_of
from dlrun.sweeps.searchers.base import Searcher
from dlrun.tasks.metric import chosen_names


class Sweep:
    """The engine: runs parts in sub-folders of one folder, skips what is finished there, and takes all together.

    Args:
        folder: of the whole.
        first: the composed config whose device and display count.
        overrides: the command line.
        several: whether the whole is a sweep, or one run in several parts.
        launcher: what runs the jobs.
        config_dir: the user's own groups, for jobs that compose themselves.
    """

    def __init__(
        self,
        folder: RunFolder,
        first: Composed,
        overrides: list[str],
        several: bool,
        launcher: Launcher,
        config_dir: str | None,
    ):
        self.folder, self.first, self.several, self.launcher = folder, first, several, launcher
        self.config_dir = Path(config_dir).resolve() if config_dir is not None else None
        self.console = Console(highlight=False, soft_wrap=True, quiet=first.config.quiet)
        self.parts: dict[str, Part] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.folders: dict[str, str] = {}  # of each part, below that of the whole
        self.before = Before(folder)
        self.taken = set(self.before.configs)
        self.goes_on = folder.has_record  # of a sweep before: it is never removed
        self.objectives = [Ranking("")]  # not known before the first figures, or a search, name them
        self.searcher: Searcher | None = None
        self.open: dict[str, list[str]] = {}  # of each trial, its parts
        record = describe(read_recipe(first).runtime())
        record["threads"] = first.config.threads  # `auto` chooses them for each part, whose own record says how many
        folder.begin(overrides, plain(first.config), record)
        self._write_status("running")
        self.folder.begin_jobs()

    @property
    def ranking(self) -> Ranking:
        """What runs are ranked by: of several objectives the first."""
        return self.objectives[0]

    def run(self, parts: Iterator[Part], jobs: int) -> int:
        """Run what is missing of `parts`, of so many jobs.

        Returns:
            The exit code.
        """
        config = self.first.config
        interrupted = 0
        self.display = choose_display(config.quiet, jobs)
        try:
            with _terminable():
                for outcome in self.launcher(self._jobs(parts)):
                    self._take(outcome)
                    if outcome.exit_code in (130, 143):
                        interrupted = outcome.exit_code
                        break
        except KeyboardInterrupt as stop:
            interrupted = stop.args[0] if stop.args else 130
        except Mistake:  # of a searcher, before any run
            if not self.goes_on and not self.outcomes:
                self.folder.remove()
            raise
        finally:
            self.display.close()
        if interrupted:
            self._write_status("interrupted")
            self._write_table()
            self.console.print(f"interrupted; to go on: dlrun resume={self.folder}", markup=False)
            return interrupted
        return self._finish()

    def exit_code(self) -> int:
        """Return 1 if any part crashed, else 2 if a mistake kept any from running, else 3 if any diverged, else 0."""
        codes = {outcome.exit_code for outcome in self.outcomes.values()}
        return next((code for code in (1, 2, 3) if code in codes), 0)

    def fail(self, path: str, mistake: Mistake) -> None:
        """Take note of a job that cannot even be composed."""
        self._take(Outcome(path, failure=str(mistake), exit_code=2))

    def _jobs(self, parts: Iterable[Part]) -> Iterator[Job]:
        """Yield what has to be run; what has been run already is taken as it is."""
        for part in parts:
            self.parts[part.path] = part
            before = self.before.folder_of(part)
            if before is None and self.searcher is not None:  # another process may have run it meanwhile
                self.before = Before(self.folder)
                before = self.before.folder_of(part)
            if before is not None and (outcome := self._outcome_before(part, before)) is not None:
                self.folders[part.path] = before
                self._take(outcome, again=True)
                continue
            self.folders[part.path] = before or self._free_folder(part.path)
            self.display.on_start(part.label)
            job = Job(
                part.path,
                self.folder.path / self.folders[part.path],
                tuple(part.composed.overrides),
                self.config_dir,
                tuple(part.composed.config.allow_targets),
                resume=before is not None,
                pruning=self._pruning(part),
            )
            yield job.knowing(part.composed)

    def _outcome_before(self, part: Part, folder: str) -> Outcome | None:
        """Return what became of a part in `folder`, where it has come to its end."""
        record = RunFolder(self.folder.path / folder).record()
        if record.status not in ("finished", "diverged", "pruned"):
            return None
        metrics = replace(record, config={}).to_json()
        return Outcome(part.path, metrics, 3 if record.status == "diverged" else 0)

    def _pruning(self, part: Part) -> Mapping[str, object] | None:
        """Return what may stop the part early: only a trial in one part is."""
        trial = part.path.split("/")[0]
        if self.searcher is None or len(self.open[trial]) > 1:
            return None
        return self.searcher.pruning(self.folder.path.resolve(), int(trial), self.ranking.name)

    def _free_folder(self, path: str) -> str:
        """Return the folder of a new part: its own, or where other settings lie there, the next free number.

        Raises:
            Mistake: a part that has no number, and a run of other settings in its folder.
        """
        top, _, rest = path.partition("/")
        folder = path
        if top.isdigit():
            number = int(top)
            while folder in self.taken:
                number += 1
                folder = f"{number}/{rest}".rstrip("/")
        elif folder in self.taken:
            raise Mistake(f"{self.folder.path / path}: holds a run of other settings; name another sweep_dir")
        self.taken.add(folder)
        return folder

    def _take(self, outcome: Outcome, again: bool = False) -> None:
        """Keep and show an outcome."""
        self.outcomes[outcome.path] = outcome
        part = self.parts.get(outcome.path)
        if not self.ranking.name and part is not None and outcome.metrics:
            self.objectives = [choose_ranking([Setting("", {}, part.whole, [(part, outcome, self.folder)])])]
        if part is not None:
            self.folder.append_job(row_of(part, outcome, chosen_names(self.first.config.metrics)))
        if outcome.crash:
            print(outcome.crash, file=sys.stderr)
        if outcome.failure:
            print(f"dlrun: job {outcome.path}: {outcome.failure}", file=sys.stderr)
        self.display.on_outcome(part.label if part else outcome.path, outcome, self.ranking, again)
        if self.searcher is not None and outcome.exit_code not in (130, 143):
            self._tell(self.searcher, outcome.path.split("/")[0])

    def _tell(self, searcher: Searcher, trial: str) -> None:
        """Tell `searcher` what a trial was worth, once all of its parts have ended."""
        ended = [self.outcomes[path] for path in self.open.get(trial, [trial]) if path in self.outcomes]
        if len(ended) < len(self.open.get(trial, [trial])):
            return
        figures = _figures(ended[0].metrics)
        for name in (objective.name for objective in self.objectives if figures):
            if name not in figures:
                near = did_you_mean(name, figures)
                raise Mistake(f"sweeper.objective: these runs have no figure '{name}'{near}")
        counting = [outcome for outcome in ended if outcome.counts]
        means = [_mean([o.value(objective.name) for o in counting], len(ended)) for objective in self.objectives]
        hopeless = any(outcome.status in ("pruned", "diverged") for outcome in ended)
        values = [mean for mean in means if mean is not None]
        searcher.tell(int(trial), values if len(values) == len(means) else None, hopeless)

    def _finish(self) -> int:
        """Take the parts of each setting together, and show which setting is best."""
        if not self.goes_on and not any(outcome.metrics or outcome.crash for outcome in self.outcomes.values()):
            self.folder.remove()  # nothing but mistakes: nothing is left behind
            return 2
        self._write_table()
        order = list(self.parts)
        settings: dict[str, Setting] = {}
        for path in order:
            part = self.parts[path]
            setting = settings.setdefault(part.setting, Setting(part.setting, part.varied, part.whole))
            setting.parts.append((part, self.outcomes[path], RunFolder(self.folder.path / self.folders[path])))
        if self.several or len(settings) > 1 or not any(setting.has_parts for setting in settings.values()):
            self._write_status("failed" if self.exit_code() == 1 else "finished")
        if self.searcher is None:
            self.objectives = [choose_ranking(list(settings.values()))]
        report(self.console, list(settings.values()), self.objectives, self.config_dir)
        for line in self.searcher.lines() if self.searcher is not None else []:
            self.console.print(line, markup=False)
        self.console.print(str(self.folder), markup=False)
        for setting in settings.values():
            if setting.has_parts:
                setting.write(RunFolder(self.folder.path / self._folder_of(setting)))
        if self.first.config.plots:
            draw_sweep(self.folder, list(settings.values()), self.objectives)
        return self.exit_code()

    def _write_table(self) -> None:
        """Write the table of jobs anew, in the order of the parts."""
        chosen, outcomes = chosen_names(self.first.config.metrics), self.outcomes
        rows = [row_of(part, outcomes[path], chosen) for path, part in self.parts.items() if path in outcomes]
        self.folder.write_jobs(rows)

    def _folder_of(self, setting: Setting) -> str:
        """Return the folder of a setting: that of its parts, less what they add to it."""
        part = setting.parts[0][0].path
        folder = self.folders[part]
        return folder[: len(folder) - len(part) + len(setting.path)] if setting.path else ""

    def _write_status(self, status: str) -> None:
        config = dict(flatten(plain(self.first.config)))
        kind: Kind = "sweep" if self.several else "parts"
        self.folder.write_record(Record(status, kind, config=config, choices=self.first.choices))


class Before:
    """The runs that lie below a folder already, and which of them is a given part.

    Args:
        root: the folder.
    """

    def __init__(self, root: RunFolder):
        records = {str(folder.path.relative_to(root.path)): folder.record() for folder in root.runs_below()}
        self.configs = {place: dict(record.config) for place, record in records.items() if record.kind == "run"}
        self._folders: dict[frozenset[str], dict[str, str]] = {}  # by the keys that count, then by identity

    def folder_of(self, part: Part) -> str | None:
        """Return the folder of the run that has the config of `part`, in all that may not differ; None: there is none.

        What is varied tells runs apart, even where it may differ else.
        """
        counting = frozenset(key for key in part.varied if key_of(key).changes != "bits")
        if counting not in self._folders:
            self._folders[counting] = {_identity(config, counting): at for at, config in self.configs.items()}
        return self._folders[counting].get(_identity(dict(flatten(plain(part.composed.config))), counting))


def _identity(config: dict, counting: frozenset[str]) -> str:
    """Return what tells the config of one run from another's, as text."""
    telling = {key: value for key, value in config.items() if key_of(key).changes == "bits" or key in counting}
    return json.dumps(finite(telling), sort_keys=True)


def _figures(metrics: dict) -> list[str]:
    """Return the names of all figures that trials can be ranked by, undefined ones too."""
    by_split = [f"{split}/{name}" for split in SPLITS for name in metrics.get(split, {})]
    return by_split + [name for name in COSTS if name in metrics]


def _mean(values: Sequence[float | None], count: int) -> float | None:
    """Return the mean of `count` values; None where any of them is missing."""
    known = [value for value in values if value is not None]
    return sum(known) / count if len(known) == count else None


@contextmanager
def _terminable():
    """Let SIGTERM between two runs stop them like ^C, with its own exit code."""

    def stop(_number, _frame):
        raise KeyboardInterrupt(143)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
