"""The sentences of options: read from docstrings, written into them."""

import functools
from collections.abc import Mapping
from typing import Any

from docstring_parser import parse

from crosstask.recipes.settings import (
    SENTENCES,
    ReaderSettings,
    SupervisionSettings,
    TrainingSettings,
)


def sentences_of(text: str | None) -> dict[str, str]:
    """{argument or attribute: its sentence} of a docstring."""
    found = parse(text or "").params
    return {p.arg_name: " ".join((p.description or "").split()) for p in found}


@functools.cache
def class_sentences(kind: Any) -> dict[str, str]:
    """{field: its sentence} of a class and those that it derives from."""
    found: dict[str, str] = {}
    for parent in reversed(kind.__mro__):
        found |= sentences_of(parent.__doc__)
    return found


def declared(name: str) -> str:
    """The sentence of an option that recipes have as a parameter of their own."""
    for kind in (ReaderSettings, TrainingSettings, SupervisionSettings):
        if name in class_sentences(kind):
            return class_sentences(kind)[name]
    return SENTENCES.get(name, "")


def summary(text: str | None) -> str:
    """A docstring without its sections."""
    parsed = parse(text or "")
    return "\n\n".join(t for t in (parsed.short_description, parsed.long_description) if t)


def document(text: str, sentences: Mapping[str, str]) -> str:
    """The summary of a docstring, with these sentences of arguments."""
    lines = [f"    {name}: {sentence}" for name, sentence in sentences.items() if sentence]
    return "\n".join([summary(text), "", "Args:", *lines, ""])
