"""``snnconvert report``: bundles are found, compared on one page, and linked."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path


def test_bundles_are_compared(cli: Callable, bundle: Path, work: Path) -> None:
    (work / "runs").mkdir()
    for name in ("one", "two", ".hidden"):
        shutil.copytree(bundle, work / "runs" / name)
    (work / "runs" / "notes.txt").write_text("no bundle")
    done = cli("report", "runs", bundle)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "report.html"
    page = (work / "report.html").read_text(encoding="utf-8")
    assert "3 runs compared" in page
    assert 'href="runs/one/report.html"' in page
    document = json.loads(cli("report", "runs", "--out", "other.html", "--json").out)
    assert document["page"] == "other.html"
    assert [(each["name"], each["bundle"]) for each in document["runs"]] == [("one", "runs/one"), ("two", "runs/two")]
    assert document["verdict"].startswith("Most accurate: one, ")


def test_names_are_as_long_as_they_must_be(cli: Callable, bundle: Path, work: Path) -> None:
    for name in ("a/net_snn", "b/net_snn"):
        shutil.copytree(bundle, work / name)
    document = json.loads(cli("report", "a", "b/net_snn", "--json").out)
    assert [each["name"] for each in document["runs"]] == ["a/net_snn", "b/net_snn"]


def test_what_cannot_be_is_refused(cli: Callable, bundle: Path, work: Path) -> None:
    assert cli("report", "nowhere").status == 2
    (work / "empty").mkdir()
    assert "no bundle, and none in it" in cli("report", "empty").err
    (work / "report.html").write_text("mine")
    assert "E401" in cli("report", bundle).err
    assert (work / "report.html").read_text() == "mine"
    assert cli("report", bundle, "--force").status == 0
    assert "E401" in cli("report", bundle, "--out", bundle / "report.html", "--force").err
    (bundle / "metrics.json").write_text("{}")
    done = cli("report", bundle, "--out", "other.html")
    assert done.status == 5
    assert "E403" in done.err
    assert not (work / "other.html").exists()
