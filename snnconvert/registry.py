"""One registry for everything that is dropped into a folder: operators, neurons, methods, chips."""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Generic, TypeVar

from snnconvert.errors import InternalError, UsageError

T = TypeVar("T")


def did_you_mean(name: str, known: list[str]) -> str:
    """Return a hint that names the closest of the known words, or all of them when none is close."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(known))}"


class Registry(Generic[T]):
    """Names to entries; registering a name twice is a bug, asking for an unknown one is a usage error."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files its target under ``name``."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise InternalError("E901", f"{self.kind} '{name}' is registered twice")
            self._entries[name] = entry
            return entry

        return add

    def get(self, name: str) -> T | None:
        """Return the entry, or None."""
        return self._entries.get(name)

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise UsageError("E002", f"unknown {self.kind} '{name}'", did_you_mean(name, list(self._entries)))
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)


def discover(package: ModuleType) -> None:
    """Import every module of a package, so that a new file in its folder is the whole change."""
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
        importlib.import_module(f"{package.__name__}.{module.name}")
