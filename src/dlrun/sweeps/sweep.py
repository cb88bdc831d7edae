"""Many runs: `dlrun -m` (a grid or a search), and the parts of one run (its sweep, learning curve, folds, repeats)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from fnmatch import fnmatch
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override

from dlrun import runtime as environment
from dlrun.config.compose import Composed, Composer, hydra
from dlrun.config.grammar import quote_literal
from dlrun.config.groups import config_folder
from dlrun.config.hydra_errors import explained
from dlrun.errors import Mistake, did_you_mean
from dlrun.ranking.ranking import searched_rankings
from dlrun.runs.recipe import Run, plain, read_recipe
from dlrun.runs.run import run
from dlrun.store.files import flatten
from dlrun.store.finding import new_run, new_sweep, own_folder
from dlrun.store.folder import RunFolder
from dlrun.store.lock import working_in
from dlrun.sweeps.composing import composer_for
from dlrun.sweeps.engine import Sweep
from dlrun.sweeps.launchers.base import Launcher, gpus_of, launcher_of
from dlrun.sweeps.plan import Part, check_plan, has_parts, notes_on, obeyed, parts_of
from dlrun.sweeps.searchers.base import (
    Domain,
    Searcher,
    alternatives_of,
    as_text,
    check_trial,
    example_of,
    searcher_of,
    whole_intervals,
)
from dlrun.sweeps.searchers.grid import Grid

CHECKED_AHEAD = 50  # jobs that are composed and checked before the first one starts


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
    composer = composer_for(config_dir, anew=True)
    fixed, searcher, alternatives = _search_of(overrides, composer)
    if searcher is not None:
        return _search(composer, fixed, searcher, alternatives, overrides, folder, config_dir)
    combinations, varied = expand(overrides, config_dir)
    ahead = _first_configs(composer, combinations, any("glob(" in override for override in overrides))
    launcher = _launcher_for(ahead[0])
    _print_notes(composer, ahead)
    if ahead[0].config.dry_run:
        for combination in combinations:
            run(read_recipe(composer.compose(combination)))
        return 0
    root = folder or _root_of(ahead[0], several=True)
    with working_in(root.path):
        engine = Sweep(root, ahead[0], overrides, True, launcher, config_dir)
        total = len(combinations) * sum(1 for _ in parts_of(composer, ahead[0]))
        return engine.run(_plan(engine, composer, combinations, varied), total)


def _first_configs(composer: Composer, combinations: list[list[str]], globbed: bool) -> list[Composed]:
    """Return the configs of the first jobs, checked.

    Args:
        globbed: whether a glob stands for them, which names no one of them: a mistake is its own job's then, unless
            all have one.

    Raises:
        Mistake: in one of them.
    """
    first, mistakes = [], []
    for combination in combinations[:CHECKED_AHEAD]:
        try:
            composed = composer.compose(combination)
            _check(composed)
            first.append(composed)
        except Mistake as mistake:
            if not globbed:
                raise
            mistakes.append(mistake)
    if not first:
        raise mistakes[0]
    return first


def run_parts(composed: Composed, config_dir: str | None, folder: RunFolder | None = None) -> Run | None:
    """Run the parts of one job: the settings of its sweep, its learning curve, folds and repeats.

    Returns:
        The folder of the whole, its averaged figures and the exit code (see `sweep`); None under `dry_run=true`.

    Raises:
        Mistake: anything in the config that cannot be.
    """
    composer = composer_for(config_dir, anew=True)
    _check(composed)
    launcher = _launcher_for(composed)
    _print_notes(composer, [composed])
    composed, _, _ = obeyed(composer, composed)
    if not has_parts(composed.config):
        return run(read_recipe(composed), folder)
    parts = list(parts_of(composer, composed))
    for part in parts:
        _check(part.composed)
    if composed.config.dry_run:
        for part in parts:
            run(read_recipe(part.composed))
        return None
    root = folder or _root_of(composed, several=False)
    with working_in(root.path):
        engine = Sweep(root, composed, composed.overrides, False, launcher, config_dir)
        exit_code = engine.run(iter(parts), len(parts))
    metrics = engine.folder.record().to_json() if engine.folder.has_record else {}
    return Run(engine.folder.path, metrics, exit_code)


def run_whole(overrides: list[str], several: bool, config_dir: str | None, folder: RunFolder | None = None) -> int:
    """Run again, or (`folder`) go on with, what a folder of several runs holds: a sweep, or the parts of one run.

    Returns:
        The exit code.
    """
    if several:
        return sweep(overrides, config_dir, folder)
    ended = run_parts(composer_for(config_dir).compose(overrides), config_dir, folder)
    return ended.exit_code if ended else 0


def _search(
    composer: Composer,
    fixed: list[str],
    searcher: Searcher,
    alternatives: list[dict[str, Domain]],
    overrides: list[str],
    folder: RunFolder | None,
    config_dir: str | None,
) -> int:
    """Run the trials that a searcher proposes; see `sweep`."""
    asked = composer.compose(fixed).config
    own = [o for o in fixed if o.partition("=")[0].partition(".")[0] != "sweeper"] + ["sweeper=grid"]
    first = composer.compose(own)
    _check(first)
    for space in alternatives:
        _check_example(composer, own, space)
    launcher = _launcher_for(first)
    if first.config.dry_run:
        raise Mistake("dry_run: shows one run; leave the sweeper out")
    objectives = searched_rankings(plain(asked.sweeper).get("objective"), dict(flatten(plain(first.config))))
    root = folder or _root_of(first, several=True)
    with nullcontext() if searcher.is_shared else working_in(root.path):
        engine = Sweep(root, first, overrides, True, launcher, config_dir)
        engine.searcher, engine.objectives = searcher, objectives
        return engine.run(_trials(engine, composer, searcher, alternatives, own), searcher.trials)


def _check_example(composer: Composer, own: list[str], space: dict[str, Domain]) -> None:
    """Compose and check one setting of a space.

    Raises:
        Mistake: it cannot be; where whole numbers could, the line says how they are searched.
    """
    try:
        example = _composed_trial(composer, own, example_of(space))
        _check(example)
        _print_notes(composer, [example])
    except Mistake as mistake:
        for key, domain in whole_intervals(space).items():
            try:
                _check(_composed_trial(composer, own, example_of({**space, key: domain})))
            except Mistake:
                continue
            low, high = int(domain.low), int(domain.high)
            remedy = f"{key}=int(interval({low},{high})) or {key}=range({low},{high + 1})"
            raise Mistake(f"{mistake}; for whole numbers: {remedy}") from mistake
        raise


def _composed_trial(composer: Composer, own: list[str], values: dict[str, str]) -> Composed:
    overrides = [*own, *(f"{key}={value}" for key, value in values.items())]
    return composer.compose(overrides)


def _check(composed: Composed) -> None:
    """Refuse what can be seen to be wrong before anything is run or written."""
    check_plan(composed.config)
    read_recipe(composed)


def _launcher_for(composed: Composed) -> Launcher:
    return launcher_of(composed.config, gpus_of(environment.choose_device(composed.config.device)))


def _print_notes(composer: Composer, several: list[Composed]) -> None:
    """Print once what is taken otherwise in these configs than it is written."""
    if not several[0].config.quiet:
        for line in dict.fromkeys(line for composed in several for line in notes_on(composer, composed)):
            print(line, flush=True)


def expand(overrides: list[str], config_dir: str | None) -> tuple[list[list[str]], list[str]]:
    """Return the overrides of each job, and the keys that differ between jobs, in the order of the command line."""
    with hydra(config_dir):
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        parsed = parser.parse_overrides([quote_literal(override) for override in overrides])
        parsed = [_expand_glob(override, parser, config_dir) for override in parsed]
        varied = [override.get_key_element() for override in parsed if override.is_sweep_override()]
        for override in parsed:
            if isinstance(override.value(), IntervalSweep):
                raise Mistake(f"{override.input_line}: an interval has no grid; add sweeper=random or sweeper=optuna")
        return BasicSweeper.split_arguments(parsed, max_batch_size=None)[0], varied


def _search_of(overrides: list[str], composer: Composer) -> tuple[list[str], Searcher | None, list[dict[str, Domain]]]:
    """Return what is fixed, the searcher, if it is not the grid, and the spaces that it searches.

    Raises:
        Mistake: the searcher's settings do not fit, or there is nothing to search.
    """
    with explained():
        parsed = OverridesParser.create().parse_overrides([quote_literal(override) for override in overrides])
    fixed = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
    try:
        config = composer.compose(fixed).config
    except Mistake:
        if any(override.startswith("sweeper") for override in fixed):
            raise
        return fixed, None, []  # a grid; what is wrong, or only missing without its values, is said there
    searcher = searcher_of(config)
    if isinstance(searcher, Grid):
        return fixed, None, []
    with explained():
        return fixed, searcher, alternatives_of(parsed, plain(config.sweeper).get("space"))


def _trials(
    engine: Sweep, composer: Composer, searcher: Searcher, alternatives: list[dict[str, Domain]], own: list[str]
) -> Iterator[Part]:
    """Yield the parts of the trials that a searcher proposes, each composed when its turn comes.

    Raises:
        Mistake: a trial that sets something else than what is searched.
    """
    searcher.begin(engine.folder.path, alternatives, engine.objectives)
    for number, proposed in searcher.proposals():
        values = {key: as_text(value) for key, value in proposed.items()}
        check_trial(number, values, alternatives)
        try:
            parts = list(parts_of(composer, _composed_trial(composer, own, values), str(number), values))
        except Mistake as mistake:
            engine.fail(str(number), mistake)
            continue
        engine.open[str(number)] = [part.path for part in parts]
        yield from parts


def _expand_glob(override: Override, parser: OverridesParser, config_dir: str | None) -> Override:
    """Return `experiment=glob(ztdl/*)` as the choices that it stands for, those in sub-folders too.

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
    """Yield the parts of all jobs, each composed when its turn comes."""
    for number, combination in enumerate(combinations):
        settings = {key: value for key, _, value in (o.partition("=") for o in combination) if key in varied}
        try:
            yield from parts_of(composer, composer.compose(combination), str(number), settings)
        except Mistake as mistake:
            engine.fail(str(number), mistake)


def _root_of(composed: Composed, several: bool) -> RunFolder:
    """Return the folder of the whole: `sweep_dir`, or a new one."""
    config = composed.config
    if config.sweep_dir is not None:
        return own_folder(config.sweep_dir)
    if several:
        return new_sweep(config.output_dir)
    return new_run(config.output_dir, composed.choices["data"], composed.choices["model"])
