"""Many runs: `dlrun -m` and the parts of a run (folds, repeats, …), run by one engine, resumed, and taken together."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from rich.console import Console

from dlrun import environment
from dlrun.config import Composer, explained, hydra, quote_literal
from dlrun.errors import Mistake, did_you_mean
from dlrun.evaluation.metrics import higher_is_better
from dlrun.folder import RunFolder, finite, flatten
from dlrun.one_run import Job, names_of, plain, run
from dlrun.parts import check_parts
from dlrun.places import config_folder
from dlrun.sweeps.display import choose_display
from dlrun.sweeps.launch import Outcome, Task, is_launcher
from dlrun.sweeps.pictures import draw_sweep
from dlrun.sweeps.plan import Part, check_plan, parts_of
from dlrun.sweeps.results import Setting, candidates, ranked_by, report, row_of
from dlrun.sweeps.search import Domain, Grid, Pruning, Searcher, example_of, is_searcher, space_of
from dlrun.targets import build, resolve

CHECKED_AHEAD = 50  # jobs that are composed and checked before the first one starts
MAY_DIFFER = (  # between the config of a part and that of the same part before
    "jobs", "quiet", "debug", "plots", "device", "sweep_dir", "output_dir", "launcher._target_", "trainer.max_minutes",
    "data_dir", "data.data_dir", "name", "note", "allow_targets",
)  # fmt: skip


def sweep(overrides: list[str], config_dir: str | None, folder: RunFolder | None = None) -> int:
    """Run every combination that `overrides` describe in Hydra's sweep grammar, each with its parts.

    The first jobs are composed before any starts, so that a mistake in their configs is found at once.

    Args:
        folder: of the sweep, to go on in; None: `sweep_dir`, or a new one.

    Returns:
        See `Sweep.exit_code`; 130 or 143 if interrupted. Under `dry_run=true` nothing is trained or written.

    Raises:
        Mistake: an override that is wrong, or wrong for one of the combinations.
    """
    composer = Composer(config_dir)
    fixed, searcher, space = _search_of(overrides, composer)
    if searcher is not None:
        return _search(composer, fixed, searcher, space, overrides, folder)
    combinations, varied = expand(overrides, config_dir)
    jobs = (Job(*composer.compose(combination), combination) for combination in combinations)
    ahead = [job for job, _ in zip(jobs, range(min(CHECKED_AHEAD, len(combinations))), strict=False)]
    for job in ahead:
        _check(job)
    if ahead[0].config.dry_run:
        for combination in combinations:
            run(Job(*composer.compose(combination), combination))
        return 0
    root = folder or _root_of(ahead[0], several=True)
    engine = Sweep(root, ahead[0], overrides, several=True)
    total = len(combinations) * sum(1 for _ in parts_of(composer, ahead[0]))
    return engine.run(_plan(engine, composer, combinations, varied), total)


def run_parts(
    job: Job, config_dir: str | None, folder: RunFolder | None = None, ended: list[Sweep] | None = None
) -> int:
    """Run the parts of one job: the settings of its sweep, its learning curve, folds and repeats.

    Returns:
        See `sweep`.

    Raises:
        Mistake: anything in the config that cannot be.
    """
    composer = Composer(config_dir)
    _check(job)
    parts = list(parts_of(composer, job))
    for part in parts:
        _check(part.job)
    if job.config.dry_run:
        for part in parts:
            run(part.job)
        return 0
    engine = Sweep(folder or _root_of(job, several=False), job, job.overrides, several=False)
    if ended is not None:
        ended.append(engine)
    return engine.run(iter(parts), len(parts))


def _search(
    composer: Composer,
    fixed: list[str],
    searcher: Searcher,
    space: dict[str, Domain],
    overrides: list[str],
    folder: RunFolder | None,
) -> int:
    """Run the trials that a searcher proposes; see `sweep`."""
    asked = composer.compose(fixed)[0]
    own = [o for o in fixed if o.partition("=")[0].partition(".")[0] != "sweeper"] + ["sweeper=grid"]
    first = Job(*composer.compose(own), own)
    _check(first)
    example = [*own, *(f"{key}={value}" for key, value in example_of(space).items())]
    _check(Job(*composer.compose(example), example))
    if first.config.dry_run:
        raise Mistake("dry_run: shows one run; leave the sweeper out")
    engine = Sweep(folder or _root_of(first, several=True), first, overrides, several=True)
    objective = asked.sweeper.objective or candidates(first.config)[0]
    engine.ranking = (objective, higher_is_better(objective.partition("/")[2]))
    engine.searcher = searcher
    searcher.begin(engine.folder.path, space, *engine.ranking)
    return engine.run(_trials(engine, composer, searcher, own), searcher.trials)


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
        self.ranking: tuple[str, bool] | None = None  # by what, and whether more of it is better
        self.searcher: Searcher | None = None
        self.open: dict[str, list[str]] = {}  # of each trial, its parts
        self.launch = resolve(first.config.launcher, "launcher", is_launcher)
        device = environment.choose_device(first.config.device)
        folder.begin(overrides, plain(first.config), environment.describe(first.config, device))
        self._write_status("running")
        self.folder.write_text("sweep.csv", "")

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
            place = before or self._free_place(part.path)
            if before is not None:
                metrics = RunFolder(self.folder.path / before).read_json("metrics.json")
                if metrics.get("status") in ("finished", "diverged", "pruned"):
                    found = {name: value for name, value in metrics.items() if name != "config"}
                    self.places[part.path] = before
                    self._take(Outcome(part.path, found, 3 if metrics["status"] == "diverged" else 0), again=True)
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
        return self.searcher.pruning(self.folder.path.resolve(), int(trial), self.ranking[0])

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
        if self.ranking is None and outcome.metrics:
            self.ranking = ranked_by(self.first.config, outcome.value)
        part = self.parts.get(outcome.path)
        if part is not None:
            self.folder.append_row("sweep.csv", row_of(part, outcome))
        if outcome.crash:
            print(outcome.crash, file=sys.stderr)
        if outcome.failure:
            print(f"dlrun: job {outcome.path}: {outcome.failure}", file=sys.stderr)
        self.display.on_outcome(part.label if part else outcome.path, outcome, self.ranking or ("", False), again)
        if self.searcher is not None and outcome.exit_code not in (130, 143):
            self._tell(outcome.path.split("/")[0])

    def _tell(self, trial: str) -> None:
        """Tell the searcher what a trial was worth, once all of its parts have ended."""
        ended = [self.outcomes[path] for path in self.open.get(trial, [trial]) if path in self.outcomes]
        if len(ended) < len(self.open.get(trial, [trial])):
            return
        values = [outcome.value(self.ranking[0]) for outcome in ended]
        known = [f"{split}/{m}" for split in ("valid", "test", "train_eval") for m in ended[0].metrics.get(split, {})]
        if known and self.ranking[0] not in known:
            near = did_you_mean(self.ranking[0], known)
            raise Mistake(f"sweeper.objective: these runs have no figure '{self.ranking[0]}'{near}")
        values = [outcome.value(self.ranking[0]) for outcome in ended if outcome.counts]
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
        self.ranking = self.ranking or ("train_eval/loss", False)
        report(self.console, list(settings.values()), *self.ranking)
        for line in self.searcher.lines() if self.searcher is not None else []:
            self.console.print(line, markup=False)
        self.console.print(str(self.folder), markup=False)
        for setting in settings.values():
            if setting.has_parts:
                setting.write(RunFolder(self.folder.path / self._place_of(setting)))
        if self.first.config.plots:
            draw_sweep(self.folder, list(settings.values()), self.ranking[0])
        return self.exit_code()

    def _write_table(self) -> None:
        """Write sweep.csv anew, in the order of the parts."""
        rows = [row_of(part, self.outcomes[path]) for path, part in self.parts.items() if path in self.outcomes]
        self.folder.write_table("sweep.csv", rows)

    def _place_of(self, setting: Setting) -> str:
        """The folder of a setting: that of its parts, less what they add to it."""
        part = setting.parts[0][0].path
        place = self.places[part]
        return place[: len(place) - len(part) + len(setting.path)] if setting.path else ""

    def _write_status(self, status: str) -> None:
        config = dict(flatten(plain(self.first.config)))
        kind = {"several": self.several, "choices": self.first.choices, "config": config}
        self.folder.write_json("metrics.json", {"status": status, "whole": True, **kind})


def _check(job: Job) -> None:
    """Refuse what can be seen to be wrong before anything is run or written."""
    check_plan(job.config)
    check_parts(job.config, tuple(job.config.allow_targets))
    resolve(job.config.launcher, "launcher", is_launcher)


def expand(overrides: list[str], config_dir: str | None) -> tuple[list[list[str]], list[str]]:
    """The override lists of all jobs, and the keys that differ between them, in the order of the command line."""
    with hydra(config_dir):
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        parsed = parser.parse_overrides([quote_literal(override) for override in overrides])
        parsed = [_expand_glob(override, parser, config_dir) for override in parsed]
        varied = [override.get_key_element() for override in parsed if override.is_sweep_override()]
        for override in parsed:
            if isinstance(override.value(), IntervalSweep):
                raise Mistake(f"{override.input_line}: an interval has no grid; add sweeper=random or sweeper=optuna")
        return BasicSweeper.split_arguments(parsed, max_batch_size=None)[0], varied


def _search_of(overrides: list[str], composer: Composer) -> tuple[list[str], Searcher | None, dict[str, Domain]]:
    """What is fixed, the searcher, if it is not the grid, and what it searches.

    Raises:
        Mistake: the searcher's settings do not fit, or there is nothing to search.
    """
    with explained():
        parsed = OverridesParser.create().parse_overrides([quote_literal(override) for override in overrides])
    fixed = [override.input_line for override in parsed if not override.is_sweep_override()]
    try:
        config = composer.compose(fixed)[0]
    except Mistake:
        if any(override.startswith("sweeper") for override in fixed):
            raise
        return fixed, None, {}  # a grid; what is wrong, or only missing without its values, is said there
    searcher = build(config.sweeper, "sweeper", is_searcher)
    if isinstance(searcher, Grid):
        return fixed, None, {}
    with explained():
        return fixed, searcher, space_of(parsed, searcher.space)[1]


def _trials(engine: Sweep, composer: Composer, searcher: Searcher, own: list[str]) -> Iterator[Part]:
    """The parts of the trials that a searcher proposes, each composed when its turn comes."""
    for number, values in searcher.proposals():
        overrides = [*own, *(f"{key}={value}" for key, value in values.items())]
        try:
            parts = list(parts_of(composer, Job(*composer.compose(overrides), overrides), str(number), values))
        except Mistake as mistake:
            engine.fail(str(number), mistake)
            continue
        engine.open[str(number)] = [part.path for part in parts]
        yield from parts


def _expand_glob(override: Override, parser: OverridesParser, config_dir: str | None) -> Override:
    """`experiment=glob(ztdl/*)` as the choices that it stands for, those in sub-folders too.

    Raises:
        Mistake: it stands for none.
    """
    glob = override.value()
    if not isinstance(glob, Glob):
        return override
    group = override.get_key_element()
    folders = [config_folder() / group] + ([Path(config_dir) / group] if config_dir else [])
    names = sorted({f.relative_to(at).with_suffix("").as_posix() for at in folders for f in at.rglob("*.yaml")})
    chosen = [
        name for name in names
        if any(fnmatch(name, p) for p in glob.include) and not any(fnmatch(name, p) for p in glob.exclude)
    ]  # fmt: skip
    if not chosen:
        near = did_you_mean(glob.include[0], names)
        raise Mistake(f"{override.input_line}: matches none of the choices of {group}{near}")
    return parser.parse_override(f"{group}={','.join(chosen)}" if len(chosen) > 1 else f"{group}=choice({chosen[0]})")


def _plan(engine: Sweep, composer: Composer, combinations: list[list[str]], varied: list[str]) -> Iterator[Part]:
    """The parts of all jobs, each composed when its turn comes."""
    for number, combination in enumerate(combinations):
        settings = {key: value for key, _, value in (o.partition("=") for o in combination) if key in varied}
        try:
            yield from parts_of(composer, Job(*composer.compose(combination), combination), str(number), settings)
        except Mistake as mistake:
            engine.fail(str(number), mistake)


def _root_of(job: Job, several: bool) -> RunFolder:
    """The folder of the whole: `sweep_dir`, or a new one."""
    config = job.config
    if config.sweep_dir is not None:
        return RunFolder.make(config.sweep_dir)
    return RunFolder.create_sweep(config.output_dir) if several else RunFolder.create(config.output_dir, *names_of(job))


def _runs_in(root: Path) -> dict[str, str]:
    """The runs below `root`, by what identifies their configs: their places."""
    found = {}
    for file in sorted(root.rglob("metrics.json")):
        metrics = RunFolder(file.parent).read_json("metrics.json")
        if "whole" not in metrics and isinstance(metrics.get("config"), dict):
            found[_key(metrics["config"])] = str(file.parent.relative_to(root))
    return found


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
