"""A recipe: a function whose settings are flat options.

    @recipe
    def mine(tasks: str = "segmentation", training: TrainingSettings = TrainingSettings(steps=400)): ...

A parameter typed as a dataclass is a group of options: `mine(steps=2)`, `mine(training=...)`, the flag
`--steps` and the key `steps` of config.yaml are the same option. A parameter of the function's own
hides a field of that name.
"""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

from crosstask.recipes.sentences import class_sentences, declared, document, sentences_of
from crosstask.suggest import nearest

E = TypeVar("E")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class Option:
    """One option of a recipe.

    Attributes:
        default: `inspect.Parameter.empty` for a required one.
        group: the settings class that declares it; None: the recipe itself.
    """

    name: str
    type: Any
    default: Any
    sentence: str
    group: type | None = None


@dataclass(frozen=True)
class Parts:
    """What a recipe is made of.

    Attributes:
        function: as it is written.
        settings: {parameter: its settings}.
        changed: {own parameter: value}, of a variant.
        without: fields that are no options.
        owner: {field: its parameter}.
        options: flat.
    """

    function: Callable[..., Any]
    settings: Mapping[str, Any]
    changed: Mapping[str, Any]
    without: tuple[str, ...]
    owner: Mapping[str, str]
    options: tuple[Option, ...]

    @property
    def passes_on(self) -> bool:
        """Whether the function takes `**options` beside those that it names."""
        kinds = [p.kind for p in inspect.signature(self.function).parameters.values()]
        return inspect.Parameter.VAR_KEYWORD in kinds


def recipe(function: Callable[..., E]) -> Callable[..., E]:
    """A function that also takes every field of its settings as a keyword."""
    return function if "__recipe__" in vars(function) else _flat(function, {}, ())


def recipe_without(*names: str) -> Callable[[Callable[..., E]], Callable[..., E]]:
    """`recipe`, of which these fields are no options: it needs the value that it gives them."""
    return lambda function: _flat(function, {}, names)


def variant(base: Callable[..., E], text: str, **values: Any) -> Callable[..., E]:
    """A recipe with other values, and all of its options: `small = variant(supervised, "...", width=0.1)`.

    Args:
        text: its docstring.
        **values: of options of `base`.

    Raises:
        ValueError: `base` has no such option.
    """
    made = parts_of(base)
    for name in values:
        known = [option.name for option in made.options]
        if name not in known:
            raise ValueError(nearest(name, known, f"option of {made.function.__name__}"))
    return _flat(made.function, {**made.changed, **values}, made.without, made.settings, text)


def parts_of(function: Callable[..., Any]) -> Parts:
    """The parts of a recipe, or of a plain function as a recipe."""
    parts: Parts = vars(recipe(function))["__recipe__"]
    return parts


def _flat(
    function: Callable[..., E],
    values: Mapping[str, Any],
    without: tuple[str, ...],
    settings: Mapping[str, Any] | None = None,
    text: str | None = None,
) -> Callable[..., E]:
    signature = inspect.signature(function)
    found = settings if settings is not None else _settings(function)
    owner = _owners(found, (*signature.parameters, *without))
    made = {
        name: replace(value, **{k: v for k, v in values.items() if owner.get(k) == name})
        for name, value in found.items()
    }
    changed = {name: value for name, value in values.items() if name in signature.parameters}

    @functools.wraps(function)
    def call(*args: Any, **given: Any) -> E:
        flat = {name: given.pop(name) for name in [*given] if name in owner}
        bound = signature.bind_partial(*args, **given)
        for name, value in changed.items():
            bound.arguments.setdefault(name, value)
        for name, default in made.items():
            own = {k: v for k, v in flat.items() if owner[k] == name}
            bound.arguments[name] = replace(bound.arguments.get(name, default), **own)
        return function(*bound.args, **bound.kwargs)

    text = inspect.getdoc(function) or "" if text is None else text
    options = _options(function, made, changed, owner, text)
    parts = Parts(function, made, changed, without, owner, options)
    call.__dict__ |= {"__recipe__": parts, "__signature__": _signature(signature, options)}
    call.__annotations__ = {option.name: option.type for option in options}
    call.__doc__ = document(text, {o.name: o.sentence for o in options})
    return call


def _settings(function: Callable[..., Any]) -> dict[str, Any]:
    """{parameter: its default} of the parameters that are settings."""
    hints, found = _hints(function), {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = hints.get(name)
        if isinstance(kind, type) and is_dataclass(kind):
            has_default = parameter.default is not inspect.Parameter.empty
            found[name] = parameter.default if has_default else kind()
    return found


def _owners(settings: Mapping[str, Any], hidden: Sequence[str]) -> dict[str, str]:
    owner: dict[str, str] = {}
    for name, value in settings.items():
        for field in fields(value):
            if field.name in owner:
                raise ValueError(
                    f"`{field.name}` is an option of both `{owner[field.name]}` and `{name}`; a recipe "
                    "has each option once"
                )
            if field.name not in hidden:
                owner[field.name] = name
    return owner


def _options(
    function: Callable[..., Any],
    settings: Mapping[str, Any],
    changed: Mapping[str, Any],
    owner: Mapping[str, str],
    text: str,
) -> tuple[Option, ...]:
    """Own options first, then those of the settings, in order."""
    hints, own, grouped = _hints(function), [], []
    said = {**sentences_of(function.__doc__), **sentences_of(text)}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in settings:
            kind: Any = type(settings[name])
            types, sentences = typing.get_type_hints(kind), class_sentences(kind)
            for field in (f.name for f in fields(kind) if owner.get(f.name) == name):
                sentence = said.get(field) or sentences.get(field, "")
                value = getattr(settings[name], field)  # a field of the dataclass
                grouped.append(Option(field, types[field], value, sentence, kind))
        elif parameter.kind not in _VARIADIC:
            sentence = said.get(name) or declared(name)
            value = changed.get(name, parameter.default)
            own.append(Option(name, hints.get(name, Any), value, sentence))
    return (*own, *grouped)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Types of the parameters; what cannot be resolved is left out."""
    hints: dict[str, Any] = {}
    for name, annotation in function.__annotations__.items():
        holder: Any = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints |= typing.get_type_hints(holder, function.__globals__)
        except NameError:
            continue
    return hints


def _signature(signature: inspect.Signature, options: Sequence[Option]) -> inspect.Signature:
    parameters = []
    for option in options:
        own = signature.parameters.get(option.name)
        kind = own.kind if own else inspect.Parameter.KEYWORD_ONLY
        parameters.append(
            inspect.Parameter(option.name, kind, default=option.default, annotation=option.type)
        )
    parameters += [p for p in signature.parameters.values() if p.kind in _VARIADIC]
    return inspect.Signature(sorted(parameters, key=lambda p: p.kind))
