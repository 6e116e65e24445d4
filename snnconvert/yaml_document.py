"""YAML as version 1.2 reads it: no aliases, tags or duplicate keys, and every key with its line and column."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from snnconvert.errors import UsageError, first_line

MAX_BYTES = 2**20  # of a file


def read_document(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read a YAML mapping from a file of at most 1 MiB; also where in it (file:line:column) each dotted path stands.

    Raises:
        UsageError: no such file (E001), or not a YAML mapping (E301).
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError("E301", f"{path}: is not UTF-8 text") from None
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise UsageError("E001", f"{path}: cannot be read ({reason})") from None
    if len(content) > MAX_BYTES:
        raise UsageError("E301", f"{path}: more than 1 MiB")
    document, places = parse_yaml(text, str(path))
    if not isinstance(document, dict):
        got = "nothing" if document is None else type(document).__name__
        raise UsageError("E301", f"{path}: expected a mapping of options, got {got}")
    return document, places


def parse_yaml(text: str, where: str) -> tuple[Any, dict[str, str]]:
    """Parse YAML without aliases, tags or duplicate keys; also where each dotted path of keys stands.

    Raises:
        UsageError: it cannot be parsed; with line and column (E301).
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        return loader.construct_document(node), dict(_places(node, where))
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise UsageError("E301", f"{place}: {problem.problem}") from None
    except RecursionError:
        raise UsageError("E301", f"{where}: nested too deep") from None
    except (yaml.YAMLError, ValueError) as problem:
        raise UsageError("E301", f"{where}: {first_line(problem)}") from None


def _places(node: yaml.Node, where: str, parents: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield the place of every key, and of every entry of a list by its number from 0."""
    entries: list[tuple[str, yaml.Mark, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        entries = [(key.value, key.start_mark, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        entries = [(str(index), each.start_mark, each) for index, each in enumerate(node.value)]
    for name, mark, value in entries:
        path = (*parents, name)
        yield ".".join(path), f"{where}:{mark.line + 1}:{mark.column + 1}"
        yield from _places(value, where, path)


class _Loader(yaml.SafeLoader):
    """Reads scalars as YAML 1.2 does, and refuses what PyYAML takes in silence."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not supported", mark)
        if event.tag is not None:
            raise yaml.composer.ComposerError(None, None, f"the tag '{event.tag}' is not supported", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise yaml.constructor.ConstructorError(None, None, f"a key must be text, got {name!r}", key.start_mark)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{name}' stands here twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def _integer(loader: Any, node: Any) -> int:
    return int(loader.construct_scalar(node))  # PyYAML's own would read 010 as 8


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


class _Dumper(yaml.SafeDumper):
    """Writes text so that YAML 1.1 and 1.2 both read it as text again, with escapes for what cannot be seen."""

    def represent_text(self, value: str) -> yaml.ScalarNode:
        style = None if value.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def yaml_lines(document: dict[str, Any]) -> str:
    """Return a document as YAML that :func:`read_document` reads back."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
    return text


def yaml_text(value: object) -> str:
    """Return a value as YAML in one line."""
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("...").strip()


_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_representer(tuple, yaml.SafeDumper.represent_list)
_Dumper.yaml_implicit_resolvers = {
    first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *_Loader.yaml_implicit_resolvers.get(first, [])]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
}
