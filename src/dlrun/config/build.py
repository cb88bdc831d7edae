"""From a config node with a `_target_` to the object: resolve, refuse what is not allowed, check the settings, build.

A config may come from someone else, so a target counts by what it *resolves* to, never by how it is spelled, and each
place in the config takes one kind of object only: a model must be an `nn.Module`, an optimizer a
`torch.optim.Optimizer`, and so on. Nothing but torch, scikit-learn, dlrun and the packages named in `allow_targets`
is even imported.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dlrun.errors import Mistake, blame, did_you_mean, one_line

OURS = ("torch", "sklearn", "dlrun")
HYDRA_KEYS = ("_target_", "_partial_")

Kind = type | Callable[[Any], bool]


@dataclasses.dataclass(frozen=True)
class Component:
    """A `_target_` that has been resolved, and its settings, checked against its signature; not yet built.

    Attributes:
        key: where it stands in the config, for messages.
        target: the class or function.
        settings: by name, of the types that the signature asks for.
    """

    key: str
    target: Callable[..., Any]
    settings: Mapping[str, Any]

    def build(self, **supplied: Any) -> Any:
        """Call the target with its settings.

        Args:
            **supplied: what the runner knows (input_shape, outputs, …); passed on where the signature names it.

        Returns:
            What the target returns.

        Raises:
            Mistake: the target refuses its settings (see `blame`), in one line at the key.
        """
        known = {name: value for name, value in supplied.items() if self.takes(name)}
        with blame(self.key):
            return self.target(**{**self.settings, **known})

    def takes(self, name: str) -> bool:
        """Return whether the signature of the target names a parameter."""
        return name in inspect.signature(self.target).parameters


def component(
    node: object, key: str, kind: Kind, allowed: tuple[str, ...] = (), supplied: Iterable[str] = ()
) -> Component:  # fmt: skip
    """Resolve the object that `node` describes, and check its settings.

    Args:
        node: a mapping with `_target_` and the target's settings.
        key: where the node stands in the config, for messages.
        kind: the class that the target must be a subclass of, or a test that the resolved target must pass.
        allowed: the user's own packages (`allow_targets`), besides torch, scikit-learn and dlrun.
        supplied: parameters that the runner gives, and that are not to be set in a config.

    Raises:
        Mistake: the target is missing, not allowed or of another kind, or its settings do not fit.
    """
    target = resolve(node, key, kind, allowed)
    given = plain(node)
    hints = _type_hints(target)
    inner = _inner_components(hints, given, key, kind, allowed, tuple(supplied))
    settings = check_settings(target, {name: given[name] for name in given if name not in inner}, key, supplied)
    return Component(key, target, settings | inner | _own_functions(hints, settings, key, allowed))


def build(node: object, key: str, kind: Kind, allowed: tuple[str, ...] = (), **supplied: Any) -> Any:
    """Build the object that `node` describes; see `component` and `Component.build`."""
    return component(node, key, kind, allowed, tuple(supplied)).build(**supplied)


def plain(node: object) -> dict[str, Any]:
    """Return a config node as a dict of plain values."""
    values = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    return {str(key): value for key, value in dict(typing.cast(Mapping[Any, Any], values)).items()}


def resolve(node: object, key: str, kind: Kind, allowed: tuple[str, ...] = ()) -> Any:
    """Return the class or function that `node._target_` names, if it may stand at `key`.

    Raises:
        Mistake: no target, outside the allowed packages, not found, or not of the `kind` that belongs at `key`.
    """
    given = node.get("_target_") if isinstance(node, Mapping) else None
    if not isinstance(given, str):
        raise Mistake(f"{key}: a config with a _target_ belongs here, not '{node}'")
    return resolve_path(given, f"{key}._target_", kind, allowed)


def resolve_path(path: str, key: str, kind: Kind, allowed: tuple[str, ...] = ()) -> Any:
    """Return the class or function at `path`, such as `torch.nn.Linear`, if it may stand at `key`.

    Raises:
        Mistake: outside the allowed packages, not found, or not of the `kind` that belongs at `key`.
    """
    _refuse_foreign(path.partition(".")[0], path, key, allowed)
    if path.partition(".")[0] in allowed and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # a user's own classes; last, so that no file there hides a library
    target = _locate(path, key)
    _refuse_foreign((getattr(target, "__module__", None) or "?").partition(".")[0], path, key, allowed)
    wanted: str | None
    if isinstance(kind, type):
        fits, wanted = isinstance(target, type) and issubclass(target, kind), f"a subclass of {kind.__name__}"
    else:
        fits, wanted = kind(target), inspect.getdoc(kind)
    if not fits:
        raise Mistake(f"{key}: {path} is not {wanted}")
    return target


def _inner_components(
    hints: Mapping[str, Any], given: Mapping[str, Any], key: str, kind: Kind, allowed: tuple[str, ...],
    supplied: tuple[str, ...],
) -> dict[str, dict[str, Component]]:  # fmt: skip
    """Return the components by name that stand in settings, where the `hints` of a signature ask for such: objects of
    the same kind as the whole, each resolved and checked as it is.

    Raises:
        Mistake: no mapping of such objects.
    """
    takes = {name for name, hint in hints.items() if _without_none(hint) == Mapping[str, Component]}
    inner = {}
    for name in sorted(name for name in takes if given.get(name) is not None):
        if not isinstance(given[name], Mapping):
            raise Mistake(f"{key}.{name}: objects by name belong here, as in {{wide: …}}, not '{given[name]}'")
        parts = {str(part): node for part, node in given[name].items()}
        inner[name] = {p: component(n, f"{key}.{name}.{p}", kind, allowed, supplied) for p, n in parts.items()}
    return inner


def is_own_function(target: Any) -> bool:
    """a function of a package of yours in allow_targets"""
    ours = getattr(target, "__module__", "").partition(".")[0] in OURS  # of which some run what they are given
    return callable(target) and not isinstance(target, type) and not ours


def _own_functions(
    hints: Mapping[str, Any], settings: Mapping[str, Any], key: str, allowed: tuple[str, ...]
) -> dict[str, Any]:
    """Return the functions that stand in settings by their path, where the `hints` of a signature take functions.

    Raises:
        Mistake: one that is not allowed, or not found.
    """
    takes = {name for name, hint in hints.items() if _takes_function(hint)}
    named = {name: value for name, value in settings.items() if name in takes and "." in str(value)}
    return {name: resolve_path(path, f"{key}.{name}", is_own_function, allowed) for name, path in named.items()}


def _takes_function(hint: Any) -> bool:
    return any(typing.get_origin(member) is Callable for member in (hint, *typing.get_args(hint)))


def _refuse_foreign(package: str, path: str, key: str, allowed: tuple[str, ...]) -> None:
    if package not in OURS + tuple(allowed):
        raise Mistake(
            f"{key}: {path} belongs to '{package}', which may not be run from a config; "
            f"if it is yours and you trust it, add allow_targets=[{package}]"
        )


def _locate(path: str, key: str) -> Any:
    """Import the longest module prefix of `path` and walk the attributes that are left."""
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:end])
        try:
            located = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
                continue
            raise Mistake(f"{key}: {module_name} cannot be imported: {one_line(error)}") from error
        except (ImportError, ValueError, SyntaxError) as error:
            raise Mistake(f"{key}: {module_name} cannot be imported: {one_line(error)}") from error
        for name in parts[end:]:
            if not hasattr(located, name):
                hint = did_you_mean(name, [n for n in dir(located) if not n.startswith("_")])
                raise Mistake(f"{key}: there is no '{name}' in {module_name}{hint}")
            located = getattr(located, name)
        return located
    raise Mistake(f"{key}: there is no module '{parts[0]}' for {path} (the current folder is {Path.cwd()})")


def check_settings(target: Any, node: Mapping[str, Any], key: str, supplied: Iterable[str] = ()) -> dict[str, Any]:
    """Return the settings in `node`, with names and types checked against the signature of `target`.

    Raises:
        Mistake: a setting that the target does not have, one of another type, or a `_target_` hidden in a value.
    """
    name = getattr(target, "__name__", str(target))
    given = {k: v for k, v in node.items() if k not in HYDRA_KEYS}
    _refuse_nested_targets(given, key)
    parameters = _parameters(target, key)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    own = [p for p in parameters if p not in supplied and parameters[p].kind not in (2, 4)]
    for setting in given:
        if setting not in own and not (takes_any and str(setting) not in supplied):
            raise Mistake(
                f"{key}.{setting}: {name} has no such setting{did_you_mean(setting, own)} (it has {', '.join(own)})"
            )
    return check_types({s: t for s, t in _type_hints(target).items() if s in given}, given, key)


def _parameters(target: Any, key: str) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(target).parameters
    except ValueError as error:  # of what is written in C
        raise Mistake(
            f"{key}._target_: {target.__name__} does not say which settings it has; name a function written in Python"
        ) from error


def check_types(hints: dict[str, Any], values: dict[str, Any], key: str) -> dict[str, Any]:
    """Return `values`, those that `hints` types converted by OmegaConf (an int to a float, a dict to a dataclass).

    Raises:
        Mistake: a value that cannot be of its type, or an unknown key in a nested dataclass.
    """
    storable = {name: _storable(hint) for name, hint in hints.items() if _storable(hint) is not Any}
    if not storable:
        return dict(values)
    for name, hint in storable.items():
        _refuse_other_shape(hint, values[name], ".".join(filter(None, (key, name))))
    fields = [(name, hint, dataclasses.field(default=MISSING)) for name, hint in storable.items()]
    try:
        schema = OmegaConf.structured(dataclasses.make_dataclass("Settings", fields))
        typed = OmegaConf.merge(schema, {name: values[name] for name in storable})
        converted = vars(OmegaConf.to_object(typed))
    except OmegaConfBaseException as error:
        where = ".".join(filter(None, (key, error.full_key)))
        parent = error.parent_node
        if isinstance(error, AttributeError | KeyError) and isinstance(parent, DictConfig):
            hint = did_you_mean(str(error.full_key).rpartition(".")[2], parent)
            raise Mistake(f"{where}: there is no such key{hint} (here: {', '.join(map(str, parent))})") from error
        raise Mistake(f"{where}: {one_line(str(error.msg or error).splitlines()[0])}") from error
    return values | converted


def _refuse_other_shape(hint: Any, value: Any, key: str) -> None:
    """Say in a person's words that a list, or a group of keys, belongs where something else stands."""
    hint = _without_none(hint)
    if typing.get_origin(hint) is list and not isinstance(value, list) and value is not None:
        raise Mistake(f"{key}: a list belongs here, as in [{value}]")
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        for name, inner in typing.get_type_hints(hint).items():
            if name in value:
                _refuse_other_shape(inner, value[name], f"{key}.{name}")
    elif dataclasses.is_dataclass(hint) and value is not None:
        names = [field.name for field in dataclasses.fields(hint)]
        raise Mistake(f"{key}: '{value}' cannot stand here; set one of its keys {', '.join(names)}: {key}.{names[0]}=…")


def _without_none(hint: Any) -> Any:
    """Return of `list[int] | None` the list, and of other unions the only dataclass; the rest as it is."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    members = [member for member in typing.get_args(hint) if member is not type(None)]
    groups = [member for member in members if dataclasses.is_dataclass(member)]
    only = groups if len(groups) == 1 else members
    return only[0] if len(only) == 1 else hint


def _refuse_nested_targets(value: Any, key: str) -> None:
    """Refuse an object hidden in a setting, which would be built without its kind being checked."""
    if isinstance(value, dict):
        if "_target_" in value:
            raise Mistake(f"{key}._target_: an object cannot stand here; give a plain value")
        for name, inner in value.items():
            _refuse_nested_targets(inner, f"{key}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_nested_targets(inner, f"{key}[{index}]")


def _type_hints(target: Any) -> dict[str, Any]:
    fields = dataclasses.is_dataclass(target)  # theirs may come from base classes in other modules
    function: Any = target
    if isinstance(target, type) and not fields:
        function = target.__init__  # type: ignore[misc]  # of this very class
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):  # annotations that only a type checker can read: leave those to the class itself
        return {}


def _storable(hint: Any) -> Any:
    """Return the part of a type annotation that OmegaConf can check (of `float | Tensor` the float), or Any."""
    if hint in (int, float, bool, str) or dataclasses.is_dataclass(hint):
        return hint
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (list, Sequence):
        return list[_storable(arguments[0])]  # type: ignore[misc]
    if origin is dict:
        return dict[str, _storable(arguments[1])]  # type: ignore[misc]
    if origin in (typing.Union, types.UnionType):
        members = [a for a in arguments if a is not type(None)]
        kept = [m for m in map(_storable, members) if m is not Any]
        containers = [m for m in members if (typing.get_origin(m) or m) in (list, dict, tuple, Sequence)]
        if Any in members or not kept or (containers and len(members) > 1):
            return Any
        optional = [None] if len(members) < len(arguments) else []
        return typing.Union[tuple([*kept, *optional])]  # noqa: UP007 (built at run time)
    return Any
