"""From the file to its jobs: what stands further down wins, and names tell jobs apart."""

import itertools
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from snnconvert.batch.expansion import NAME_LIMIT, Planned, expand
from snnconvert.batch.schema import read_batch
from snnconvert.errors import UsageError


def planned(folder: Path, document: dict, *assignments: str, trust: bool = False) -> list[Planned]:
    whole = {"version": 1, "output": "runs", "defaults": {"calib": {"path": "c.npz"}}, **document}
    (folder / "b.yaml").write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
    return expand(read_batch(folder / "b.yaml", assignments), trust)


def test_values_that_come_to_the_same_are_refused(tmp_path: Path) -> None:
    document = {"matrix": {"convert.percentile": [99, 99.0]}, "jobs": [{"name": "a", "model": "a"}]}
    with pytest.raises(UsageError, match=r"E302.*two jobs would be named 'a-percentile=99\.0'"):
        planned(tmp_path, document)


def test_what_stands_further_down_wins(tmp_path: Path) -> None:
    document = {
        "defaults": {"calib": {"path": "c.npz", "samples": 5}, "convert": {"steps": [8], "percentile": 90.0}},
        "matrix": {"convert.percentile": [99.0, 99.9]},
        "jobs": [
            {"name": "swept", "model": "m/a.onnx"},
            {"name": "fixed", "model": "b.onnx", "calib": {"path": "/d.npz"}, "convert": {"percentile": 98.0}},
            {"name": "alone", "model": "b.onnx", "matrix": False},
        ],
    }
    jobs = {each.name: each.job for each in planned(tmp_path, document)}
    found = {name: (job.convert.percentile, job.calib.samples, job.convert.steps) for name, job in jobs.items()}
    assert found == {
        "swept-percentile=99.0": (99.0, 5, (8,)),
        "swept-percentile=99.9": (99.9, 5, (8,)),
        "fixed": (98.0, 5, (8,)),
        "alone": (90.0, 5, (8,)),
    }
    assert jobs["swept-percentile=99.0"].model == str(tmp_path / "m" / "a.onnx")
    assert (jobs["alone"].calib.path, jobs["fixed"].calib.path) == (str(tmp_path / "c.npz"), "/d.npz")
    overridden = planned(tmp_path, document, "convert.percentile=50.0", "convert.steps=[2]", trust=True)
    assert [each.name for each in overridden] == ["swept", "fixed", "alone"]
    assert {each.job.convert.percentile for each in overridden} == {50.0}
    assert {each.job.trust_model for each in overridden} == {True}


def test_paths_of_set_are_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    document = {"jobs": [{"name": "a", "model": "a"}]}
    (job,) = planned(tmp_path, document, "calib.path=d.npz")
    assert job.job.calib.path == str(tmp_path / "sub" / "d.npz")
    assert read_batch(tmp_path / "b.yaml", ("output=o",)).checked.output == str(tmp_path / "sub" / "o")


def test_names_of_values(tmp_path: Path) -> None:
    document = {
        "matrix": {
            "convert.steps": [[4, 8], [16]],
            "convert.per_channel": [False],
            "calib.samples": [3],
            "eval.samples": [None],
            "preprocess": ["scale=1/255,mean=0.1/0.2/0.3,std=0.5"],
        },
        "jobs": [{"name": "a", "model": "a"}],
    }
    first, second = [each.name for each in planned(tmp_path, document)]
    start = "a-steps=4,8-per_channel=false-calib.samples=3-eval.samples=null-preprocess="
    assert first.startswith(start)
    assert len(first) <= NAME_LIMIT
    assert second.startswith("a-steps=16-")


def test_long_names_stay_short_and_different(tmp_path: Path) -> None:
    axes = {f"neuron.parameter_with_a_long_name_{index}": [1, 2] for index in range(4)}
    names = [each.name for each in planned(tmp_path, {"matrix": axes, "jobs": [{"name": "a" * 80, "model": "a"}]})]
    assert len(set(names)) == 16
    assert {len(name) for name in names} == {NAME_LIMIT}


VALUES = {
    "convert.percentile": st.floats(50, 100).map(lambda value: round(value, 3)),
    "convert.neuron": st.sampled_from(["if", "lif", "if-signed"]),
    "seed": st.integers(0, 99),
}


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_expansion_is_the_product_without_what_is_excluded(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    axes = {
        path: data.draw(st.lists(values, min_size=1, max_size=4, unique=True))
        for path, values in VALUES.items()
        if data.draw(st.booleans())
    }
    excluded = [
        {
            path: data.draw(st.sampled_from(axes[path]))
            for path in data.draw(st.sets(st.sampled_from([*axes]), min_size=1))
        }
        for _ in range(data.draw(st.integers(0, 2)) if axes else 0)
    ]
    wanted = [
        dict(zip(axes, values, strict=True))
        for values in itertools.product(*axes.values())
        if not any(all(dict(zip(axes, values, strict=True))[path] == each[path] for path in each) for each in excluded)
    ]
    folder = tmp_path_factory.mktemp("product")
    document = {"matrix": {**axes, "exclude": excluded}, "jobs": [{"name": "a", "model": "a"}]}
    if not wanted:
        with pytest.raises(UsageError, match=r"E302.*exclude leaves no job"):
            planned(folder, document)
        return
    found = planned(folder, document)
    assert [dict(each.swept) for each in found] == wanted
    assert len({each.name for each in found}) == len(found)
