"""What is wrong with a configuration, in words for whoever has to put it right."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from authsrv.errors import AuthsrvError

__all__ = ["Findings", "Level", "Problem"]

_T = TypeVar("_T")


class Level(enum.Enum):
    """How bad a problem is."""

    ERROR = "error"
    """The service does not start with it."""
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem.

    Args:
        level: How bad it is.
        file: The file that has it.
        key: The key in it, such as "site[wiki].hosts"; empty where it is about the whole file.
        text: What is wrong; without any secret.
        remedy: What to do; empty where the text says it.
    """

    level: Level
    file: str
    key: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        where = ": ".join(filter(None, (self.file, self.key)))
        remedy = f" ({self.remedy})" if self.remedy else ""
        return f"{self.level.value}: {where}: {self.text}{remedy}"


class Findings:
    """Collects the problems of one configuration, so that all are told at once.

    Args:
        file: The configuration file, which keys are of.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: list[Problem] = []

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that were found, each once; errors first."""
        found = dict.fromkeys(self._found)
        return tuple(sorted(found, key=lambda problem: problem.level is not Level.ERROR))

    @property
    def has_errors(self) -> bool:
        """Whether the service must not start."""
        return any(problem.level is Level.ERROR for problem in self._found)

    def error(self, key: str, text: str, remedy: str = "", *, file: str | None = None) -> None:
        """Add an error."""
        self._found.append(Problem(Level.ERROR, file or self.file, key, text, remedy))

    def warn(self, key: str, text: str, remedy: str = "", *, file: str | None = None) -> None:
        """Add a warning."""
        self._found.append(Problem(Level.WARNING, file or self.file, key, text, remedy))

    def attempt(self, key: str, make: Callable[[], _T], remedy: str = "") -> _T | None:
        """Make something; None where authsrv refuses to, and an error says why."""
        try:
            return make()
        except AuthsrvError as error:
            self.error(key, error.detail, remedy)
            return None
