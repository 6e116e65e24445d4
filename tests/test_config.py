"""Options: nothing unknown, nothing converted in silence, every mistake with its place; YAML in version 1.2."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from snnconvert.config import Job, absolute_paths, build_job, set_option
from snnconvert.errors import UsageError
from snnconvert.yaml_document import parse_yaml, read_document

SMALLEST = {"model": "/m.onnx", "calib": {"path": "/c.npz"}}


def parsed(text: str) -> Any:
    return parse_yaml(text, "f")[0]


# YAML


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3", r"f:3:1: 'a' stands here twice"),
        ("a:\n  b: 1\n  b: 2", r"f:3:3: 'b' stands here twice"),
        ("a: {b: 1, 'b': 2}", r"f:1:11: 'b' stands here twice"),
        ("a: &x 1\nb: *x", r"f:2:4: aliases are not supported"),
        ("a: &a [*a]", r"f:1:8: aliases are not supported"),
        ("a: !!python/object/apply:os.system ['true']", r"f:1:4: the tag '.*os\.system' is not supported"),
        ("a: !!timestamp x", r"f:1:4: the tag .* is not supported"),
        ("a: !!binary aGk=", r"f:1:4: the tag .* is not supported"),
        ("!!set {a, b}", r"f:1:1: the tag .* is not supported"),
        ("a: !mine 1", r"f:1:4: the tag '!mine' is not supported"),
        ("1: a", r"f:1:1: a key must be text, got 1"),
        ("[1]: a", r"f:1:1: a key must be text"),
        ("{a: 1}: b", r"f:1:1: a key must be text"),
        ("a: [1", r"f:1:6: "),
        ("a:\n\t- b", r"f:2:1: found character"),
        ("a: 'b", r"f:1:6: "),
        ("a: 1\n--- \nb: 2", r"f:2:1: but found another document"),
        ("a: \x00", r"f: unacceptable character"),
        ("[" * 20_000, r"f: nested too deep"),
        ("{a: " * 20_000, r"f: nested too deep"),
        (f"a: {'9' * 5000}", r"f: Exceeds the limit"),
    ],
)
def test_wrong_yaml_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=rf"error\[E301\]: {words}"):
        parse_yaml(text, "f")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("y", "y"),
        ("Off", "Off"),
        ("true", True),
        ("FALSE", False),
        ("010", 10),
        ("+5", 5),
        ("-0", 0),
        ("1e-3", 0.001),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1.5E+2", -150.0),
        ("12:30", "12:30"),
        ("1:30:00", "1:30:00"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("0x10", "0x10"),
        ("1e", "1e"),
        (".", "."),
        ("~", None),
        ("null", None),
        ("", None),
        ("'1'", "1"),
        ('"a\\x1b"', "a\x1b"),
        ("=", "="),
        ("<<", "<<"),
        ("[a, 1, {b: 2.0}]", ["a", 1, {"b": 2.0}]),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    for got in (parsed(text), (parsed(f"a: {text}") or {}).get("a")):
        assert got == value
        assert type(got) is type(value)


def test_merge_keys_are_plain_keys() -> None:
    assert parsed("<<: {a: 1}") == {"<<": {"a": 1}}


def test_places_of_keys() -> None:
    _, places = parse_yaml("a: 1\nb:\n  c: {d: 1}\n", "job.yaml")
    assert places == {"a": "job.yaml:1:1", "b": "job.yaml:2:1", "b.c": "job.yaml:3:3", "b.c.d": "job.yaml:3:7"}


def test_places_of_entries_of_lists() -> None:
    _, places = parse_yaml("a: [1, {b: 2}]\n", "job.yaml")
    assert places == {"a": "job.yaml:1:1", "a.0": "job.yaml:1:5", "a.1": "job.yaml:1:8", "a.1.b": "job.yaml:1:9"}


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(UsageError):
        parse_yaml(text, "f")


# files


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"E001.*gone\.yaml: cannot be read \(No such file or directory\)"):
        read_document(tmp_path / "gone.yaml")
    with pytest.raises(UsageError, match=r"E001.*Is a directory"):
        read_document(tmp_path)
    with pytest.raises(UsageError, match=r"E001.*null byte"):
        read_document(tmp_path / "a\0b")
    (tmp_path / "latin").write_bytes(b"model: gr\xfc\xdfe.onnx")
    with pytest.raises(UsageError, match=r"E301.*latin: is not UTF-8 text"):
        read_document(tmp_path / "latin")


@pytest.mark.parametrize(("text", "got"), [("", "nothing"), ("# nothing", "nothing"), ("[1]", "list"), ("a", "str")])
def test_file_without_options_is_refused(tmp_path: Path, text: str, got: str) -> None:
    (tmp_path / "f").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=rf"E301.*expected a mapping of options, got {got}"):
        read_document(tmp_path / "f")


def test_file_of_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("# " + "x" * 2**20, encoding="utf-8")
    with pytest.raises(UsageError, match=r"E301.*more than 1 MiB"):
        read_document(tmp_path / "f")
    (tmp_path / "f").write_text("a: 1 #" + "x" * (2**20 - 6), encoding="utf-8")
    assert read_document(tmp_path / "f")[0] == {"a": 1}


def test_endless_file_is_refused() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("no /dev/zero here")
    with pytest.raises(UsageError, match=r"E301.*more than 1 MiB"):
        read_document(Path("/dev/zero"))


# values


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("percentile", 1, r"percentile: unknown option"),
        ("model", 5, r"model: Input should be a valid string, got '5'"),
        ("model", None, r"model: Input should be a valid string"),
        ("calib", "data.npz", r"calib: expected options below it, got 'data\.npz'"),
        ("calib.path", None, r"calib\.path: Input should be a valid string"),
        ("calib.samples", 0, r"calib\.samples: Input should be greater than or equal to 1, got '0'"),
        ("calib.samples", True, r"calib\.samples: Input should be a valid integer"),
        ("calib.samples", "5", r"calib\.samples: Input should be a valid integer"),
        ("calib.samples", 1.5, r"calib\.samples: Input should be a valid integer"),
        ("eval.batch_size", 65537, r"eval\.batch_size: Input should be less than or equal to 65536"),
        ("convert.percentile", 0, r"convert\.percentile: Input should be greater than 0"),
        ("convert.percentile", 100.1, r"convert\.percentile: Input should be less than or equal to 100"),
        ("convert.percentile", float("nan"), r"convert\.percentile: Input should be"),
        ("convert.percentile", "99", r"convert\.percentile: Input should be a valid number"),
        ("convert.percentile", True, r"convert\.percentile: Input should be a valid number"),
        ("convert.percentile_of", "some", r"convert\.percentile_of: Input should be 'nonzero' or 'all'"),
        ("convert.per_channel", "yes", r"convert\.per_channel: Input should be a valid boolean"),
        ("convert.neuron", 3, r"convert\.neuron: Input should be a valid string"),
        ("convert.correct", [1], r"convert\.correct: expected a list of corrections"),
        ("convert.onset_delay", -1, r"convert\.onset_delay: Input should be greater than or equal to 0"),
        ("convert.warm_up", -0.5, r"convert\.warm_up: Input should be greater than or equal to 0"),
        ("convert.spikes", "ternary", r"convert\.spikes: Input should be 'binary', 'signed' or 'graded'"),
        ("convert.reset", "none", r"convert\.reset: Input should be 'subtract' or 'zero'"),
        ("convert.initial_potential", 1.0, r"convert\.initial_potential: Input should be less than 1"),
        ("convert.initial_potential", -0.1, r"convert\.initial_potential: Input should be greater than or equal to 0"),
        ("convert.steps", [], r"convert\.steps: expected a list of numbers of time steps"),
        ("convert.steps", 4, r"convert\.steps: expected a list"),
        ("convert.steps", "1,2", r"convert\.steps: expected a list"),
        ("convert.steps", [1, "a"], r"convert\.steps: expected a list"),
        ("convert.steps", [[1]], r"convert\.steps: expected a list"),
        ("convert.steps", [True], r"convert\.steps: expected a list"),
        ("convert.steps", [0, 1], r"convert\.steps: Input should be greater than or equal to 1"),
        ("convert.steps", [10**7], r"convert\.steps: Input should be less than or equal to 1000000"),
        ("convert", None, r"convert: expected options below it"),
        ("convert", {"percentle": 1}, r"convert\.percentle: unknown option"),
        ("seed", "0", r"seed: Input should be a valid integer"),
        ("device", "tpu", r"device: expected auto, cpu or cuda:N, got 'tpu'"),
        ("device", "cuda:x", r"device: expected auto"),
        ("preprocess", 5, r"preprocess: expected text such as scale=1/255, or a mapping, got '5'"),
        ("preprocess", ["a"], r"preprocess: expected text"),
        ("preprocess", True, r"preprocess: expected text"),
    ],
)
def test_wrong_value_is_refused_with_its_path(path: str, value: object, words: str) -> None:
    document: dict[str, Any] = {"model": "/m.onnx", "calib": {"path": "/c.npz"}}
    place = document
    *parents, last = path.split(".")
    for part in parents:
        place = place.setdefault(part, {})
    place[last] = value
    with pytest.raises(UsageError, match=rf"error\[E301\]: here: {words}"):
        build_job(document, "here")


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        ({"modle": "x"}, "did you mean 'model'?"),
        ({"convert": {"stps": [1]}}, "did you mean 'steps'?"),
        ({"calib": {"path": "x", "sample": 1}}, "did you mean 'samples'?"),
        ({"eval": {"zzz": 1}}, "known: batch_size, path, samples"),
    ],
)
def test_unknown_option_gets_a_hint(document: dict[str, Any], hint: str) -> None:
    with pytest.raises(UsageError, match=r"E301.*unknown option") as refusal:
        build_job({**SMALLEST, **document}, "here")
    assert refusal.value.hint == hint


def test_a_typo_is_told_before_the_key_that_is_missing_for_it() -> None:
    with pytest.raises(UsageError, match=r"E301.*f: modle: unknown option") as refusal:
        build_job({"modle": "/m.onnx", "calib": {"path": "/c.npz"}}, "f")
    assert refusal.value.hint == "did you mean 'model'?"


def test_missing_options_are_told() -> None:
    with pytest.raises(UsageError, match=r"here: model: Field required"):
        build_job({"calib": {"path": "x"}}, "here")
    with pytest.raises(UsageError, match=r"here: calib\.path: Field required"):
        build_job({"model": "m", "calib": {}}, "here")


def test_wrong_preprocessing_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"E003.*unknown key 'sclae'"):
        build_job({**SMALLEST, "preprocess": {"sclae": 1}}, "here")


def test_job_cannot_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        build_job(dict(SMALLEST), "here").seed = 1


# what is read


def test_defaults_are_the_documented_ones() -> None:
    assert build_job(dict(SMALLEST), "here").dotted() == {
        "model": "/m.onnx",
        "input_shape": None,
        "output_name": None,
        "trust_model": False,
        "calib.path": "/c.npz",
        "calib.samples": None,
        "calib.batch_size": 64,
        "eval.path": None,
        "eval.samples": None,
        "eval.batch_size": 16,
        "preprocess": {},
        "convert.method": "percentile",
        "convert.percentile": 99.9,
        "convert.percentile_of": "nonzero",
        "convert.per_channel": True,
        "convert.correct": ["bias"],
        "convert.correct_samples": 256,
        "convert.neuron": "if",
        "convert.spikes": "binary",
        "convert.reset": "subtract",
        "convert.initial_potential": 0.5,
        "convert.max_pool": "exact",
        "convert.weights": "float32",
        "convert.encoding": "constant",
        "convert.steps": [1, 2, 4, 8, 16, 32],
        "convert.onset_delay": 0,
        "convert.warm_up": 0.0,
        "convert.readout_from": 0,
        "convert.stop": None,
        "neuron": {},
        "plots": None,
        "trace.sample": None,
        "trace.neurons": [],
        "seed": 0,
        "skip_bad": 0,
        "workers": 1,
        "max_memory": None,
        "device": "auto",
    }


jobs = st.fixed_dictionaries(
    {
        "model": st.text(min_size=1, max_size=20),
        "calib": st.fixed_dictionaries(
            {"path": st.text(max_size=20)}, optional={"samples": st.none() | st.integers(1, 10**6)}
        ),
    },
    optional={
        "eval": st.fixed_dictionaries({}, optional={"path": st.none() | st.text(max_size=9)}),
        "preprocess": st.sampled_from(["imagenet", "none", "scale=1/255,mean=.5,std=.25/.5/1", {"scale": 1e-3}, None]),
        "convert": st.fixed_dictionaries(
            {},
            optional={
                "percentile": st.floats(0, 100, exclude_min=True) | st.integers(1, 100),
                "steps": st.lists(st.integers(1, 1000), min_size=1, max_size=5),
                "initial_potential": st.floats(0, 1, exclude_max=True),
                "reset": st.sampled_from(["subtract", "zero"]),
                "correct": st.lists(st.sampled_from(["bias", "weights", "potential"]), unique=True),
                "onset_delay": st.integers(0, 50),
                "warm_up": st.floats(0, 10),
            },
        ),
        "seed": st.integers(),
        "device": st.sampled_from(["auto", "cpu", "cuda", "cuda:3"]),
    },
)


@given(jobs)
@settings(max_examples=150, deadline=None)
def test_job_survives_its_yaml(document: dict[str, Any]) -> None:
    job = build_job(document, "here")
    again = build_job(parse_yaml(job.to_yaml().decode("utf-8"), "f")[0], "f")
    assert again == job
    assert again.to_yaml() == job.to_yaml()


@pytest.mark.parametrize(
    "text", ["0E0", "010", "on", "1:30", "null", "", "\x85", "\u2028", "\udcff", "😀", "a\nb", "=", "<<", "0x1"]
)
def test_text_of_any_kind_survives(text: str) -> None:
    job = build_job({"model": text, "calib": {"path": text}}, "here")
    assert parse_yaml(job.to_yaml().decode("utf-8"), "f")[0]["model"] == text
    assert yaml.safe_load(job.to_yaml())["model"] == text  # YAML 1.1


def test_steps_are_sorted_and_distinct() -> None:
    assert build_job({**SMALLEST, "convert": {"steps": [8, 1, 8]}}, "here").convert.steps == (1, 8)


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("seed=5", 5),
        ("convert.percentile=99.5", 99.5),
        ("convert.percentile=1e1", 10.0),
        ("convert.steps=[4, 2]", (2, 4)),
        ("convert.per_channel=false", False),
        ("convert.reset=zero", "zero"),
        ("calib.samples=null", None),
        ("eval.path=a=b.npz", "a=b.npz"),
        ("device=cpu", "cpu"),
        ("preprocess=scale=1/2", {"scale": 0.5}),
        ("preprocess={scale: 0.5}", {"scale": 0.5}),
    ],
)
def test_set_reads_a_value_as_yaml(assignment: str, value: object) -> None:
    document: dict[str, Any] = {"model": "m", "calib": {"path": "c"}}
    set_option(document, {}, assignment)
    found: Any = build_job(document, "here")
    for part in assignment.partition("=")[0].split("."):
        found = getattr(found, part)
    assert found == value


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("seed", r"E003.*--set: expected path=value, got 'seed'"),
        ("=5", r"E003.*--set: expected path=value"),
        ("", r"E003.*--set"),
        ("model.name=5", r"E003.*model\.name: 'model' holds no options but 'm'"),
        ("seed=[1", r"E301.*--set seed:1:3: "),
        ("seed=!!int 5", r"E301.*--set seed:1:1: the tag"),
    ],
)
def test_wrong_assignment_is_refused(assignment: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        set_option({"model": "m"}, {}, assignment)


def test_set_makes_the_options_above_and_forgets_the_file() -> None:
    document: dict[str, Any] = {"convert": None}
    places = {"convert.percentile": "f:3:1", "seed": "f:1:1"}
    set_option(document, places, "convert.percentile=1")
    set_option(document, places, "eval.path=x")
    assert document == {"convert": {"percentile": 1}, "eval": {"path": "x"}}
    assert places == {"seed": "f:1:1"}


def test_paths_become_absolute() -> None:
    document: dict[str, Any] = {"model": "m", "calib": {"path": "../c:train"}, "eval": {"path": None}}
    absolute_paths(document, Path("/a/b"))
    assert document == {"model": "/a/b/m", "calib": {"path": "/a/c:train"}, "eval": {"path": None}}
    for odd in ({}, {"model": 5, "calib": "x", "eval": None}):
        absolute_paths(odd, Path("/a"))  # what is no path is told later


def test_dotted_paths_are_those_of_set() -> None:
    job = build_job({**SMALLEST, "preprocess": "scale=1/2"}, "here")
    for path in job.dotted():
        document: dict[str, Any] = {"model": "m", "calib": {"path": "c"}}
        if not isinstance(job.dotted()[path], dict | list):
            set_option(document, {}, f"{path}={'null' if job.dotted()[path] is None else job.dotted()[path]}")
            assert isinstance(build_job(document, "here"), Job)


# those of batches are run in cli/test_batch.py
@pytest.mark.parametrize("path", sorted(Path(__file__).parents[1].joinpath("configs").glob("digits_*.yaml")), ids=str)
def test_every_example_is_a_job_on_files_that_are_there(path: Path) -> None:
    document, places = read_document(path)
    absolute_paths(document, path.parent)
    job = build_job(document, str(path), places)
    assert Path(job.model).is_file()
    assert Path(job.calib.path).is_file()
