"""Configuration: the typed schema of the root keys, and composing with Hydra.

The keys inside `data`, `model`, `trainer`, … are typed by the signatures of the classes that they name (targets.py).
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field, fields
from enum import Enum
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dlrun.errors import Mistake, did_you_mean, one_line
from dlrun.places import config_folder


class Precision(Enum):
    """Arithmetic of the network: float32, float64, or float32 weights with bfloat16 autocast."""

    fp32 = "fp32"
    fp64 = "fp64"
    bf16 = "bf16"


@dataclass
class SplitPart:
    """Which rows become the test or the validation rows: a number of `rows` or else a `fraction` of what is left.

    With neither there are none. `by` is `random` (drawn with `data.split_seed`), `last` or `first` (in order),
    `{time: <column>}` (the latest rows) or `{group: <column>}` (whole groups, drawn at random). The validation rows can
    be the test rows themselves (`test`), as in some courses; the run says so then. `stratify` keeps the class shares;
    null means: where classes are predicted and the rows are drawn at random.
    """

    fraction: float | None = None
    rows: int | None = None
    by: Any = "random"
    stratify: bool | None = None


@dataclass
class Splits:
    """The test rows are taken first, the validation rows from what is left. null: none but those the source ships."""

    test: SplitPart | None = field(default_factory=SplitPart)
    valid: SplitPart | None = field(default_factory=SplitPart)


@dataclass
class CrossValidation:
    """k folds: each plays the test rows once.

    Drawn as `data.split.test.by` says: at random (stratified for classes), whole groups, or, for a series and for
    `by: {time: …}`, in order: each fold is tested after training on the rows before it. `shuffle: false` takes random
    folds in the order of the file. `fold` runs one of them alone, counted from 1.
    """

    folds: int | None = None
    fold: int | None = None
    shuffle: bool = True


@dataclass
class Config:
    """Root keys and their types; `configs/config.yaml` has the defaults and a line on each."""

    data: Any = MISSING
    model: Any = MISSING
    optimizer: Any = MISSING
    initializer: Any = MISSING
    scheduler: Any = MISSING
    loss: Any = None
    class_weight: Any = None
    penalty: Any = MISSING
    trainer: Any = MISSING
    sweep: Any = None
    learning_curve: list[Any] | None = None
    cv: CrossValidation = field(default_factory=CrossValidation)
    repeats: int = 1
    launcher: Any = MISSING
    sweeper: Any = MISSING
    jobs: int | None = None
    sweep_dir: str | None = None
    seed: int = 0
    device: str = "auto"
    threads: Any = "auto"
    workers: Any = "auto"
    precision: Precision = Precision.fp32
    deterministic: bool = False
    data_dir: str | None = None
    output_dir: str = "outputs"
    plots: list[str] = field(default_factory=lambda: ["all"])
    name: str | None = None
    note: str | None = None
    quiet: bool = False
    debug: bool = False
    dry_run: bool = False
    allow_targets: list[str] = field(default_factory=list)


ConfigStore.instance().store(name="schema", node=Config)

# Their values may be any text (a column "Time (min)", a file "houses (1).csv"), so what Hydra cannot parse is quoted.
LITERAL_KEYS = (
    "data.path",
    "data.path_valid",
    "data.path_test",
    "data.target",
    "data_dir",
    "output_dir",
    "sweep_dir",
    "name",
    "note",
)


@contextmanager
def hydra(config_dir: str | None = None):
    """Hydra, initialised on our groups and, where given, the user's own folder `config_dir`."""
    extra = []
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise Mistake(f"--config-dir: there is no folder '{config_dir}'")
        extra = [f"hydra.searchpath=['file://{Path(config_dir).resolve()}']"]
    with explained(), warnings.catch_warnings(), initialize_config_dir(str(config_folder()), version_base="1.3"):
        warnings.simplefilter("ignore")
        yield extra


def compose(overrides: list[str], config_dir: str | None = None) -> tuple[DictConfig, dict[str, str]]:
    """Compose the config of one run.

    Args:
        overrides: Hydra's overrides, as typed (`model=cnn`).
        config_dir: a folder with the user's own groups, or None.

    Returns:
        The config, without Hydra's own node, and the choice made in each group (`{"model": "cnn", …}`).

    Raises:
        Mistake: anything that Hydra or OmegaConf does not accept, in one line.
    """
    return Composer(config_dir).compose(overrides)


class Composer:
    """Composes the configs of many runs. Those that choose the same in every group differ in values only, and are
    composed once: setting a value costs milliseconds, composing a tenth of a second.

    Args:
        config_dir: a folder with the user's own groups, or None.
    """

    def __init__(self, config_dir: str | None = None):
        self.config_dir = config_dir
        self._trusted: list[str] | None = None
        self._bases: dict[tuple[str, ...], tuple[DictConfig, dict[str, str]]] = {}

    def compose(self, overrides: list[str]) -> tuple[DictConfig, dict[str, str]]:
        """The config and the choices of one run; see `compose`."""
        with explained(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quoted = [quote_literal(override) for override in overrides]
            parsed = OverridesParser.create().parse_overrides(quoted)
            values = [override for override in parsed if _sets_a_value(override)]
            choosing = tuple(o.input_line for o in parsed if o not in values)
            if values and choosing not in self._bases:
                self._bases[choosing] = self._compose_by_hydra(list(choosing))
            base = self._bases.get(choosing)
            if base is None or not values:
                config, choices = self._compose_by_hydra(quoted)
                return self._finish(config), choices
            config = deepcopy(base[0])
            try:
                for override in values:
                    OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
            except OmegaConfBaseException:  # Hydra says better what is wrong
                config, choices = self._compose_by_hydra(quoted)
                return self._finish(config), choices
            return self._finish(config), base[1]

    def _compose_by_hydra(self, overrides: list[str]) -> tuple[DictConfig, dict[str, str]]:
        with hydra(self.config_dir) as extra:
            config = hydra_compose("config", overrides + extra, return_hydra_config=True)
        choices = {str(k): str(v) for k, v in config.hydra.runtime.choices.items() if not str(k).startswith("hydra/")}
        OmegaConf.set_readonly(config, False)
        OmegaConf.set_struct(config, False)
        del config["hydra"]
        _refuse_unknown_keys(config)
        OmegaConf.set_struct(config, True)
        return config, choices

    def _finish(self, config: DictConfig) -> DictConfig:
        """Everything filled in, and nothing missing."""
        OmegaConf.set_struct(config, False)
        OmegaConf.resolve(config)
        if self.config_dir is not None:
            if self._trusted is None:
                self._trusted = sorted(own_packages(self.config_dir))
            config.allow_targets.extend(self._trusted)
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise Mistake(f"{missing[0]} is needed and has no default: give it as {missing[0]}=…")
        return config


def _sets_a_value(override: Override) -> bool:
    """Whether an override changes a value that is there, and neither chooses in a group nor adds or deletes a key."""
    key = override.key_or_group
    chooses = "/" in key or "@" in key or (config_folder() / key).is_dir() or key.startswith("hydra")
    return override.type == OverrideType.CHANGE and not chooses and not override.is_sweep_override()


def own_packages(config_dir: str) -> set[str]:
    """Packages in the current folder that a YAML file of the user's `--config-dir` names as a target: trusted.

    A name that stands for an installed package stays that, and is not meant.
    """
    found = {}
    for file in Path(config_dir).rglob("*.yaml"):
        for name in {target.partition(".")[0] for target in _targets(OmegaConf.load(file))}:
            with suppress(ImportError, ValueError):
                found[name] = PathFinder.find_spec(name, [*sys.path, str(Path.cwd())])
    here = Path.cwd().resolve()
    return {
        name
        for name, spec in found.items()
        if spec and spec.origin and here in Path(spec.origin).resolve().parents
        and "site-packages" not in Path(spec.origin).parts
    }  # fmt: skip


def _targets(node: object) -> Iterator[str]:
    if isinstance(node, DictConfig):
        for key in node:
            value = node._get_node(key)
            if key == "_target_" and isinstance(value._value(), str):
                yield value._value()
            else:
                yield from _targets(value)


def quote_literal(override: str) -> str:
    """`data.target=Time (min)` as `data.target='Time (min)'`; anything that Hydra's grammar accepts stays as it is."""
    key, equals, value = override.partition("=")
    if not equals or key.lstrip("+") not in LITERAL_KEYS:
        return override
    try:
        OverridesParser.create().parse_override(override)
        return override
    except HydraException:
        escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
        return f"{key}='{escaped}'"


def _refuse_unknown_keys(config: DictConfig) -> None:
    known = [f.name for f in fields(Config)]
    for key in config:
        if key not in known:
            raise Mistake(f"{key}: there is no such key{did_you_mean(key, known)}")


@contextmanager
def explained():
    """Turn Hydra's and OmegaConf's exceptions into one line each."""
    try:
        yield
    except MissingConfigException as error:
        raise Mistake(_explain_missing(error)) from error
    except OverrideParseException as error:
        raise Mistake(_explain_parse(error)) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise Mistake(_explain(error)) from error
    except yaml.YAMLError as error:
        raise Mistake(f"a config file is no YAML: {one_line(error)}") from error
    except ValueError as error:  # Hydra's own, of a group that is given no name
        raise Mistake(one_line(str(error).split(": Override(")[0])) from error


def _explain_missing(error: MissingConfigException) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    if not error.options:
        return one_line(str(error).split("Config search path")[0])
    if not name:
        return f"{group}: name a choice: {', '.join(error.options)}"
    return f"{group}: '{name}' is not one of {', '.join(error.options)}{did_you_mean(name, error.options)}"


def _explain_parse(error: OverrideParseException) -> str:
    said = one_line(str(error).split("See https")[0])
    if "EQUAL" in said and "=" not in error.override:
        return f"'{error.override}' is neither an option nor of the form key=value (dlrun --help lists them)"
    return f"{said} (quote what is text: \"{error.override.partition('=')[0]}='…'\")"


def _explain(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    said = one_line(str(error).split("See https")[0])
    if not isinstance(cause, OmegaConfBaseException):
        return _explain_hydra(said)
    key = cause.full_key or ""
    reason = str(cause.msg or cause).splitlines()[0] if str(cause) else said
    if isinstance(cause, AttributeError | KeyError) or "not in struct" in reason:
        parent = cause.parent_node
        known = [k for k in parent if k not in ("hydra", "_target_")] if isinstance(parent, DictConfig) else []
        where = f" (here: {', '.join(map(str, known))})" if known else ""
        return f"{key}: there is no such key{did_you_mean(key.rpartition('.')[2], known)}{where}"
    return f"{key}: {one_line(reason)}" if key and key not in reason else one_line(reason)


def _explain_hydra(said: str) -> str:
    ambiguous = re.match(r"Ambiguous value for argument '([^=]+)=(.*?)' 1\.", said)
    if ambiguous:
        key, value = ambiguous.groups()
        return f"{key}={value}: several values; add -m to run one after the other, or write a list: {key}=[{value}]"
    unknown_group = re.match(r"Could not override '([^']+)'. No match in the defaults list", said)
    if unknown_group:
        name = unknown_group.group(1).partition("@")[0]
        groups = [p.name for p in config_folder().iterdir() if p.is_dir()] + [f.name for f in fields(Config)]
        return f"{name}: there is no such key{did_you_mean(name, groups)}"
    return said
