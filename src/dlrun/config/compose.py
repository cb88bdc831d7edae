"""Configuration: the typed schema of the root keys, and composing with Hydra.

The keys inside `data`, `model`, `trainer`, … are typed by the signatures of the classes that they name (build.py).
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from importlib.machinery import PathFinder
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dlrun.config.build import plain
from dlrun.config.grammar import DICT_KEYS, named_pairs, quote_literal
from dlrun.config.groups import GROUPS, LISTED, choices_of, config_folder, with_choices, with_models
from dlrun.config.hydra_errors import explained, refuse_hydras_own
from dlrun.config.schema import Config
from dlrun.errors import Mistake, did_you_mean

ConfigStore.instance().store(name="schema", node=Config)


LINEAR = ("linear", "logistic")  # models that solver=auto trains to the end
HOW = {"trainer", "optimizer", "scheduler", "initializer", "loss", "precision"}  # what says how a network is trained


@dataclass
class Composed:
    """The composed config of one run.

    Attributes:
        config: everything filled in, without Hydra's own node.
        choices: the choice made in each group (`{"model": "cnn", …}`).
        overrides: the command line behind them.
    """

    config: DictConfig
    choices: dict[str, str]
    overrides: list[str]


@contextmanager
def hydra(config_dir: str | None = None) -> Iterator[list[str]]:
    """Initialise Hydra on our groups and, where given, the user's own folder `config_dir`."""
    extra = []
    if config_dir is not None:
        _check_folder(config_dir)
        extra = [f"hydra.searchpath=['file://{Path(config_dir).resolve()}']"]
    with explained(), warnings.catch_warnings(), initialize_config_dir(str(config_folder()), version_base="1.3"):
        warnings.simplefilter("ignore")
        yield extra


def compose(overrides: list[str], config_dir: str | None = None) -> Composed:
    """Compose the config of one run.

    Args:
        overrides: Hydra's overrides, as typed (`model=cnn`).
        config_dir: a folder with the user's own groups, or None.

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

    def compose(self, overrides: list[str]) -> Composed:
        """Compose the config of one run; see `compose`.

        With solver=auto, a linear model whose training nothing is said of is composed with solver=converged.
        """
        composed = self._composed(overrides)
        choices = composed.choices
        if choices.get("solver") == "auto" and choices.get("model") in LINEAR and not _says_how(overrides, choices):
            return replace(self._composed([*overrides, "solver=converged"]), overrides=overrides)
        return composed

    def _composed(self, overrides: list[str]) -> Composed:
        for override in overrides:
            refuse_hydras_own(override)
        with explained(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quoted = [quote_literal(override) for override in overrides]
            parsed = OverridesParser.create().parse_overrides(quoted)
            for one in parsed:
                _refuse_what_is_no_choice(one)
            values = [override for override in parsed if _sets_a_value(override)]
            choosing = tuple(str(o.input_line) for o in parsed if o not in values)
            if values and choosing not in self._bases:
                self._bases[choosing] = self._compose_by_hydra(list(choosing))
            base = self._bases.get(choosing)
            if base is None or not values:
                config, choices = self._compose_by_hydra(quoted)
                return Composed(self._finish(config), choices, overrides)
            config = deepcopy(base[0])
            try:
                for setting in values:
                    OmegaConf.update(config, setting.key_or_group, setting.value(), merge=True)
            except OmegaConfBaseException:  # Hydra says better what is wrong
                config, choices = self._compose_by_hydra(quoted)
                return Composed(self._finish(config), choices, overrides)
            return Composed(self._finish(config), base[1], overrides)

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
        """Fill in everything, and refuse what is missing."""
        OmegaConf.set_struct(config, False)
        _refuse_deleted_keys(config)
        own = None if self.config_dir is None else Path(self.config_dir)
        for key, group in LISTED.items():
            if isinstance(config[key], ListConfig):
                config[key] = with_choices(list(config[key]), group, own)
        if isinstance(encoders := OmegaConf.select(config, "model.encoders"), DictConfig):
            named = {str(branch): entry for branch, entry in plain(encoders).items()}
            OmegaConf.update(config, "model.encoders", with_models(named, own), merge=False)
        OmegaConf.resolve(config)
        for key in DICT_KEYS:
            if isinstance(pairs := named_pairs(text := OmegaConf.select(config, key)), dict) and isinstance(text, str):
                OmegaConf.update(config, key, pairs, merge=False)
        if self.config_dir is not None:
            if self._trusted is None:
                self._trusted = sorted(own_packages(self.config_dir))
            config.allow_targets.extend(self._trusted)
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise Mistake(f"{missing[0]} is needed and has no default: give it as {missing[0]}=…")
        return config


def _says_how(overrides: list[str], choices: dict[str, str]) -> bool:
    """Return whether an experiment or an override says how the network is to be trained."""
    roots = [re.split(r"[.=@/]", override.lstrip("+~"))[0] for override in overrides]
    l2_only = all(o.lstrip("+").startswith("penalty.l2=") for o in overrides if o.lstrip("+").startswith("penalty"))
    return choices.get("experiment") not in (None, "None") or bool(HOW.intersection(roots)) or not l2_only


def _sets_a_value(override: Override) -> bool:
    """Return whether an override changes a value, and neither chooses in a group nor adds or deletes a key."""
    key = override.key_or_group
    chooses = "/" in key or "@" in key or (config_folder() / key).is_dir() or key.startswith("hydra")
    return override.type == OverrideType.CHANGE and not chooses and not override.is_sweep_override()


def trusted_packages(config_dir: str | None) -> tuple[str, ...]:
    """Return the packages that the user's folder `config_dir` names and that are trusted; see `own_packages`.

    Raises:
        Mistake: there is no such folder.
    """
    if config_dir is None:
        return ()
    _check_folder(config_dir)
    return tuple(sorted(own_packages(config_dir)))


def _check_folder(config_dir: str) -> None:
    if not Path(config_dir).is_dir():
        raise Mistake(f"--config-dir: there is no folder '{config_dir}'")


def own_packages(config_dir: str) -> set[str]:
    """Return the packages in the current folder that a YAML file of the user's `--config-dir` names: trusted ones.

    A name that stands for an installed package stays that, and is not meant.
    """
    specs = {}
    for file in Path(config_dir).rglob("*.yaml"):
        for name in {target.partition(".")[0] for target in _targets(OmegaConf.load(file))}:
            with suppress(ImportError, ValueError):
                specs[name] = PathFinder.find_spec(name, [*sys.path, str(Path.cwd())])
    here = Path.cwd().resolve()
    return {
        name
        for name, spec in specs.items()
        if spec and spec.origin and here in Path(spec.origin).resolve().parents
        and "site-packages" not in Path(spec.origin).parts
    }  # fmt: skip


def _targets(node: object) -> Iterator[str]:
    if isinstance(node, DictConfig):
        for key in node:
            value = node._get_node(key)
            if key == "_target_" and value is not None and isinstance(value._value(), str):
                yield value._value()
            else:
                yield from _targets(value)


def _refuse_deleted_keys(config: DictConfig) -> None:
    for field in fields(Config):
        if field.name not in config:
            raise Mistake(f"~{field.name}: a key of the root cannot be deleted; set it: {field.name}=…")


def _refuse_what_is_no_choice(override: Override) -> None:
    """Refuse a number, null or a list for a group, which takes one name; experiments may be put together or left."""
    group, value = override.key_or_group, override.value()
    named = isinstance(value, str | dict) or (  # a dict sets values of what is chosen
        group == "experiment" and (value is None or isinstance(value, list))
    )
    if group not in GROUPS or named or override.is_delete() or override.is_sweep_override():
        return
    given = "null" if value is None else str(value)
    names = ", ".join(choices_of(config_folder() / group))
    raise Mistake(f"{group}: {given} is not one of {names} (one name belongs here: {group}=…)")


def _refuse_unknown_keys(config: DictConfig) -> None:
    known = [f.name for f in fields(Config)]
    for key in map(str, config):
        if key not in known:
            raise Mistake(f"{key}: there is no such key{did_you_mean(key, known)}")
