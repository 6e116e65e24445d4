"""provenance.json is a statement about the files of the bundle that it lies in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snnconvert.errors import OutputError
from snnconvert.report.manifest import verify_bundle
from snnconvert.report.provenance import CONTENTS, material, provenance_bytes, verify_provenance, versions
from snnconvert.report.publish import publish

FILES = {"metrics.json": b"{}\n", "snn.onnx": b"\x08\x08" * 500}
INPUTS = [
    material("model", "net.onnx", {"sha256": "a" * 64}),
    material("calibration", "x:train", {CONTENTS: "b"}),
]


def statement() -> dict[str, Any]:
    return json.loads(provenance_bytes(FILES, {"seed": 0}, "cpu", INPUTS))


@pytest.fixture
def published(tmp_path: Path) -> Callable[..., Path]:
    """Publish a bundle with this for its provenance."""

    def call(content: bytes | dict[str, Any] | None) -> Path:
        content = json.dumps(content).encode() if isinstance(content, dict) else content
        files = FILES if content is None else FILES | {"provenance.json": content}
        publish(tmp_path / "a_snn", files, b"{}", force=False)
        verify_bundle(tmp_path / "a_snn")
        return tmp_path / "a_snn"

    return call


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    document = statement()
    change(document)
    return document


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is missing"),
        (b"", r"is no statement \(Expecting value"),
        (b"[]", "is no statement"),
        (b"[" * 100_000, "is no statement"),
        (b'{"_type": 3}', r"is no statement \('predicateType'\)"),
        (changed(lambda found: found.update(_type="https://in-toto.io/Statement/v0.1")), "got .*v0.1.*, expected"),
        (changed(lambda found: found["subject"].pop()), r"is not about the files of this bundle \('snn\.onnx'\)"),
        (changed(lambda found: found["subject"].append(found["subject"][0])), "is not about the files"),
        (
            changed(lambda found: found["subject"][0]["digest"].update(sha256="0" * 64)),
            r"is not about .* \('metrics\.json'\)",
        ),
        (changed(lambda found: found.update(subject=[{"name": "\x1b[2J", "digest": {"sha256": ""}}])), "is not about"),
    ],
)
def test_statement_about_something_else_is_refused(published: Callable, content: Any, words: str) -> None:
    with pytest.raises(OutputError, match=rf"E403.*a_snn: file 'provenance\.json' {words}"):
        verify_provenance(published(content))


def test_statement_holds_digests_options_and_packages(published: Callable) -> None:
    found = statement()
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = found["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"seed": 0}
    model, samples, *packages = definition["resolvedDependencies"]
    assert model == {"name": "net.onnx", "digest": {"sha256": "a" * 64}, "annotations": {"role": "model"}}
    assert samples["annotations"] == {"role": "calibration"}
    assert [each["name"] for each in packages] == [name for name in versions() if versions()[name] != "none"]
    assert any(each["uri"].startswith("pkg:pypi/torch@") and "+" not in each["uri"] for each in packages)
    assert provenance_bytes(FILES, {"seed": 0}, "cpu", INPUTS) == provenance_bytes(
        dict(reversed(FILES.items())), {"seed": 0}, "cpu", INPUTS
    )
    verify_provenance(published(found))
