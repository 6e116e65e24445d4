"""The wheel holds all that a conversion needs: it runs where nothing else of the project is."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ACCURACY = {"digits_mlp": 0.98, "digits_cnn": 0.9933, "digits_resnet": 0.9933}  # of the ANN, models/README.md


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy of the tree."""
    for tool in ("build", "hatchling"):
        pytest.importorskip(tool)
    tree = tmp_path_factory.mktemp("tree")
    for name in ("snnconvert", "models", "tests/test_wheel.py", "pyproject.toml", "README.md", "LICENSE"):
        (tree / name).parent.mkdir(exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tree / "dist", tree]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = (tree / "dist").glob("snnconvert-*-py3-none-any.whl")
    return found


def test_wheel_holds_the_package_its_networks_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in names if name.startswith("snnconvert/")}
    information = {name.partition("/")[0] for name in names - package}
    assert len(information) == 1
    assert next(iter(information)).endswith(".dist-info")
    assert {
        f"snnconvert/models/{name}"
        for name in ("digits_mlp.onnx", "digits_cnn.onnx", "digits_resnet.onnx", "digits_calib.npz", "digits_test.npz")
    } <= package
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "snnconvert").rglob("*.py")}
    templates = {str(path.relative_to(ROOT)) for path in (ROOT / "snnconvert").rglob("*.j2")}
    assert any(name.endswith("page.html.j2") for name in templates)
    others = {f"snnconvert/{name}" for name in ("py.typed", "report/page.css", "report/sort.js")}
    assert sources | templates | others <= package
    assert not any("test" in Path(name).name and name.endswith(".py") for name in package)
    assert not any("__pycache__" in name for name in package)


def test_demo_runs_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    """Installed by pip into an environment of its own, which sees the packages that it needs, but not this project."""
    home = tmp_path / "env"
    venv.create(home, with_pip=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    others = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    (site / "needed.pth").write_text("\n".join(sorted(others)) + "\n", encoding="utf-8")
    (tmp_path / "work").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command, work = [home / "bin" / program, *arguments], tmp_path / "work"
        return subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    installed = run("python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel))
    assert installed.returncode == 0, installed.stderr
    where = run("python", "-c", "import snnconvert; print(snnconvert.__file__)")
    assert where.stdout.strip() == str(site / "snnconvert" / "__init__.py")
    demo = run("snnconvert", "demo", "--json", "-q")
    assert (demo.returncode, demo.stderr) == (0, "")
    found = json.loads(demo.stdout)
    assert found["schema"] == "snnconvert/demo/1"
    assert set(found["bundles"]) == set(ACCURACY)
    for name, metrics in found["bundles"].items():
        row = metrics["steps"][-1]
        assert (row["t"], metrics["samples"]) == (32, 600)
        assert metrics["ann"]["accuracy"] == pytest.approx(ACCURACY[name], abs=5e-5)
        assert row["accuracy"] == pytest.approx(ACCURACY[name], abs=0.01)
        bundle = tmp_path / "work" / metrics["bundle"]
        assert (bundle / "report.html").stat().st_size > 10_000
        assert str(site / "snnconvert" / "models") in (bundle / "config.yaml").read_text(encoding="utf-8")
    assert run("snnconvert", "verify", "snnconvert-demo/digits_mlp_snn").returncode == 0
