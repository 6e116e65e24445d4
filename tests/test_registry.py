"""Registries find what is dropped into a folder, and tell of what they do not know."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from snnconvert.errors import InternalError, UsageError
from snnconvert.neurons import NEURONS
from snnconvert.operators import READERS
from snnconvert.registry import Registry, did_you_mean, discover


def fruits() -> Registry[int]:
    registry: Registry[int] = Registry("fruit")
    for number, name in enumerate(("pear", "apple")):
        registry.register(name)(number)
    return registry


def test_name_registered_twice_is_a_bug() -> None:
    with pytest.raises(InternalError, match=r"E901.*fruit 'apple' is registered twice"):
        fruits().register("apple")(3)


def test_unknown_name_is_refused_with_the_closest() -> None:
    with pytest.raises(UsageError, match=r"E002.*unknown fruit 'aple'") as refusal:
        fruits()["aple"]
    assert refusal.value.hint == "did you mean 'apple'?"
    with pytest.raises(UsageError, match=r"E002.*unknown fruit 'stone'") as refusal:
        fruits()["stone"]
    assert refusal.value.hint == "known: apple, pear"


def test_entries() -> None:
    registry = fruits()
    assert (list(registry), len(registry)) == (["apple", "pear"], 2)
    assert (registry["pear"], registry.get("apple"), registry.get("stone")) == (0, 1, None)


def test_decorator_returns_its_target() -> None:
    registry: Registry[type] = Registry("thing")

    @registry.register("a")
    class Thing: ...

    assert registry["a"] is Thing


def test_close_words() -> None:
    assert did_you_mean("percentle", ["percentile", "steps"]) == "did you mean 'percentile'?"
    assert did_you_mean("zzz", ["b", "a"]) == "known: a, b"
    assert did_you_mean("zzz", []) == "known: "


def test_every_module_of_a_folder_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "dropped"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("b", "a"):
        (package / f"{name}.py").write_text(
            "import dropped\ndropped.seen = [*getattr(dropped, 'seen', []), __name__]\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    import dropped

    assert isinstance(dropped, ModuleType)
    discover(dropped)
    assert dropped.seen == ["dropped.a", "dropped.b"]
    for name in ("dropped", "dropped.a", "dropped.b"):
        sys.modules.pop(name)


def test_what_the_package_ships_is_registered() -> None:
    assert "if" in NEURONS
    assert {"Conv", "Gemm", "Relu", "MaxPool"} <= set(READERS)
