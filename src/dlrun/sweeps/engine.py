"""The one engine of many runs: it runs parts in sub-folders, skips what is finished there, and takes all together."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dlrun import runtime as environment
from dlrun.config.build import resolve
from dlrun.errors import Mistake, did_you_mean
from dlrun.ranking.ranking import Ranking, choose_ranking
from dlrun.runs.conclude import plain
from dlrun.runs.recipe import Job
from dlrun.store.files import finite, flatten
from dlrun.store.folder import RunFolder
from dlrun.store.record import Record
from dlrun.sweeps.display import choose_display
from dlrun.sweeps.draw import draw_sweep
from dlrun.sweeps.launchers.base import Outcome, Task, is_launcher
from dlrun.sweeps.plan import Part
from dlrun.sweeps.results import Setting, report, row_of
from dlrun.sweeps.searchers.base import Searcher
from dlrun.training.recorder import Pruning

MAY_DIFFER = (  # between the config of a part and that of the same part before
    "jobs", "quiet", "debug", "plots", "device", "sweep_dir", "output_dir", "launcher._target_", "trainer.max_minutes",
    "data_dir", "data.data_dir", "workers", "data.workers", "data.in_memory", "name", "note", "allow_targets",
)  # fmt: skip


class Sweep:
    """The engine: runs parts in sub-folders of one folder, skips what is finished there, and takes all together.

    Args:
        folder: of the whole.
        first: the job whose launcher, device and display count.
        overrides: the command line.
        several: whether the whole is a sweep, or one run in several parts.
    """

    def __init__(self, folder: RunFolder, first: Job, overrides: list[str], several: bool):
        self.folder, self.first, self.several = folder, first, several
        self.console = Console(highlight=False, soft_wrap=True, quiet=first.config.quiet)
        self.parts: dict[str, Part] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.places: dict[str, str] = {}
        self.known = _runs_in(folder.path)
        self.taken = set(self.known.values())
        self.kept = bool(self.known)
        self.ranking: Ranking | None = None
        self.searcher: Searcher | None = None
        self.open: dict[str, list[str]] = {}  # of each trial, its parts
        self.launch = resolve(first.config.launcher, "launcher", is_launcher)
        device = environment.choose_device(first.config.device)
        folder.begin(overrides, plain(first.config), environment.describe(first.config, device))
        self._write_status("running")
        self.folder.begin_jobs()

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
                for outcome in self.launch(self._tasks(parts), config.jobs):
                    self._take(outcome)
                    if outcome.exit_code in (130, 143):
                        interrupted = outcome.exit_code
                        break
        except KeyboardInterrupt as stop:
            interrupted = stop.args[0] if stop.args else 130
        finally:
            self.display.close()
        if interrupted:
            self._write_status("interrupted")
            self._write_table()
            self.console.print(f"interrupted; to go on: dlrun resume={self.folder}", markup=False)
            return interrupted
        return self._finish()

    def exit_code(self) -> int:
        """1 if any part crashed, else 2 if the user's mistake kept any from running, else 3 if any diverged, else 0."""
        codes = {outcome.exit_code for outcome in self.outcomes.values()}
        return next((code for code in (1, 2, 3) if code in codes), 0)

    def fail(self, path: str, mistake: Mistake) -> None:
        """Take note of a job that cannot even be composed."""
        self._take(Outcome(path, failure=str(mistake), exit_code=2))

    def _tasks(self, parts: Iterable[Part]) -> Iterator[Task]:
        """What has to be run; what has been run already is taken as it is."""
        for part in parts:
            self.parts[part.path] = part
            before = self.known.get(_identity(part.job))
            if before is None and self.searcher is not None:  # another process may have run it meanwhile
                self.known |= _runs_in(self.folder.path)
                before = self.known.get(_identity(part.job))
            place = before or self._free_place(part.path)
            if before is not None:
                record = RunFolder(self.folder.path / before).record()
                if record.status in ("finished", "diverged", "pruned"):
                    self.places[part.path] = before
                    metrics = replace(record, config={}).to_json()
                    self._take(Outcome(part.path, metrics, 3 if record.status == "diverged" else 0), again=True)
                    continue
            self.places[part.path] = place
            self.display.on_start(part.label)
            yield Task(
                part.path, self.folder.path / place, part.job, resumes=before is not None, pruning=self._pruning(part)
            )

    def _pruning(self, part: Part) -> Pruning | None:
        """What may stop the part early: only a trial in one part is."""
        trial = part.path.split("/")[0]
        if self.searcher is None or len(self.open[trial]) > 1:
            return None
        return self.searcher.pruning(self.folder.path.resolve(), int(trial), self.ranking.name)

    def _free_place(self, path: str) -> str:
        """The folder of a new part: its own, or where a run of other settings lies there, the next number that is free.

        Raises:
            Mistake: a part that has no number, and a run of other settings in its place.
        """
        top, _, rest = path.partition("/")
        place = path
        if top.isdigit():
            number = int(top)
            while place in self.taken:
                number += 1
                place = f"{number}/{rest}".rstrip("/")
        elif place in self.taken:
            raise Mistake(f"{self.folder.path / path}: holds a run of other settings; name another sweep_dir")
        self.taken.add(place)
        return place

    def _take(self, outcome: Outcome, again: bool = False) -> None:
        """Keep and show an outcome."""
        self.outcomes[outcome.path] = outcome
        part = self.parts.get(outcome.path)
        if self.ranking is None and part is not None and outcome.metrics:
            self.ranking = choose_ranking([Setting("", {}, part.whole, [(part, outcome, self.folder)])])
        if part is not None:
            self.folder.append_job(row_of(part, outcome))
        if outcome.crash:
            print(outcome.crash, file=sys.stderr)
        if outcome.failure:
            print(f"dlrun: job {outcome.path}: {outcome.failure}", file=sys.stderr)
        self.display.on_outcome(part.label if part else outcome.path, outcome, self.ranking or Ranking(""), again)
        if self.searcher is not None and outcome.exit_code not in (130, 143):
            self._tell(outcome.path.split("/")[0])

    def _tell(self, trial: str) -> None:
        """Tell the searcher what a trial was worth, once all of its parts have ended."""
        ended = [self.outcomes[path] for path in self.open.get(trial, [trial]) if path in self.outcomes]
        if len(ended) < len(self.open.get(trial, [trial])):
            return
        known = [f"{split}/{m}" for split in ("valid", "test", "train_eval") for m in ended[0].metrics.get(split, {})]
        if known and self.ranking.name not in known:
            near = did_you_mean(self.ranking.name, known)
            raise Mistake(f"sweeper.objective: these runs have no figure '{self.ranking.name}'{near}")
        values = [outcome.value(self.ranking.name) for outcome in ended if outcome.counts]
        hopeless = any(outcome.status in ("pruned", "diverged") for outcome in ended)
        complete = len(values) == len(ended) and None not in values
        self.searcher.tell(int(trial), sum(values) / len(values) if complete else None, hopeless)

    def _finish(self) -> int:
        """Take the parts of each setting together, and show which setting is best."""
        if not self.kept and not any(outcome.metrics or outcome.crash for outcome in self.outcomes.values()):
            self.folder.remove()  # nothing but mistakes: nothing is left behind
            return 2
        self._write_table()
        order = list(self.parts)
        settings: dict[str, Setting] = {}
        for path in order:
            part = self.parts[path]
            found = settings.setdefault(part.setting, Setting(part.setting, part.varied, part.whole))
            found.parts.append((part, self.outcomes[path], RunFolder(self.folder.path / self.places[path])))
        if self.several or len(settings) > 1 or not any(setting.has_parts for setting in settings.values()):
            self._write_status("failed" if self.exit_code() == 1 else "finished")
        if self.searcher is None:
            self.ranking = choose_ranking(list(settings.values()))
        report(self.console, list(settings.values()), self.ranking)
        for line in self.searcher.lines() if self.searcher is not None else []:
            self.console.print(line, markup=False)
        self.console.print(str(self.folder), markup=False)
        for setting in settings.values():
            if setting.has_parts:
                setting.write(RunFolder(self.folder.path / self._place_of(setting)))
        if self.first.config.plots:
            draw_sweep(self.folder, list(settings.values()), self.ranking.name)
        return self.exit_code()

    def _write_table(self) -> None:
        """Write the table of jobs anew, in the order of the parts."""
        rows = [row_of(part, self.outcomes[path]) for path, part in self.parts.items() if path in self.outcomes]
        self.folder.write_jobs(rows)

    def _place_of(self, setting: Setting) -> str:
        """The folder of a setting: that of its parts, less what they add to it."""
        part = setting.parts[0][0].path
        place = self.places[part]
        return place[: len(place) - len(part) + len(setting.path)] if setting.path else ""

    def _write_status(self, status: str) -> None:
        config = dict(flatten(plain(self.first.config)))
        kind = "sweep" if self.several else "parts"
        self.folder.write_record(Record(status, kind, config=config, choices=self.first.choices))


def _runs_in(root: Path) -> dict[str, str]:
    """Returns the places of the runs below `root`, by what identifies their configs."""
    records = {folder.path: folder.record() for folder in RunFolder(root).runs_below()}
    return {_key(r.config): str(path.relative_to(root)) for path, r in records.items() if r.kind == "run"}


def _identity(job: Job) -> str:
    return _key(dict(flatten(plain(job.config))))


def _key(config: dict) -> str:
    """What tells the config of one run from another's, as text."""
    kept = {key: value for key, value in config.items() if key not in MAY_DIFFER}
    return json.dumps(finite(kept), sort_keys=True)


@contextmanager
def _terminable():
    """SIGTERM between two runs stops like ^C, with its own exit code."""

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
