"""Doors: the places at which inputs of strangers come in."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tests.fuzz.mutate import mutate

CORPUS = Path(__file__).parent / "corpus"


class Fault(AssertionError):
    """A door did what it must never do."""


class Door:
    """A place at which inputs come in.

    Attributes:
        name: Its name, which is that of its folder in the corpus.
        form: The form of its inputs: a text, or a JSON value that is mutated by its structure.
        words: Pieces that mutations put in.
        seconds: Largest CPU time for an input, in seconds, besides a hundred-thousandth for each character.
        inputs: Number of inputs that were made of the one that was given last.
    """

    name = ""
    form: Literal["text", "json"] = "text"
    words: tuple[str, ...] = ()
    seconds = 1.0
    inputs = 1

    def check(self, given: Any) -> None:
        """Gives an input to the door.

        Raises:
            Exception: Any exception is a fault; refusals that are meant are not raised.
        """
        raise NotImplementedError

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Opens the door for many inputs."""
        yield

    def finish(self) -> None:
        """Checks what holds after many inputs."""

    def seeds(self) -> list[Any]:
        """Returns the inputs of the corpus, in the order of their files' names."""
        return [self.load(path) for path in sorted((CORPUS / self.name).iterdir())]

    def another(self, dice: random.Random, pool: Sequence[Any], seeds: Sequence[Any]) -> Any:
        """Returns a new input.

        Args:
            dice: Makes all choices.
            pool: Inputs that may be mutated, those of the corpus among them.
            seeds: The inputs of the corpus.
        """
        # Half begin from the corpus: what has been mutated many times is mostly refused at once.
        return mutate(dice.choice(pool if dice.random() < 0.5 else seeds), dice, self.words, seeds)

    def load(self, path: Path) -> Any:
        """Reads an input from a file."""
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        return json.loads(text) if self.form == "json" else text

    def dump(self, given: Any) -> bytes:
        """Writes an input as `load` reads it."""
        text = json.dumps(given, indent=1) if self.form == "json" else given
        return bytes(text.encode("utf-8", "surrogatepass" if self.form == "json" else "surrogateescape"))
