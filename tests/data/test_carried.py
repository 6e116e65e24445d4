"""The evaluator is these files one after the other; so what they may import and name is narrow."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import snnconvert.data
import snnconvert.errors

FOLDER = Path(snnconvert.data.__file__).parent
CARRIED = [
    Path(snnconvert.errors.__file__),
    *(FOLDER / f"{name}.py" for name in ("preprocessing", "formats", "recordings", "samples")),
]
EARLIER = {path.stem: {before.stem for before in CARRIED[:at]} for at, path in enumerate(CARRIED)}


@pytest.mark.parametrize("path", CARRIED, ids=lambda path: path.stem)
def test_carried_file_imports_only_what_the_evaluator_has(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {id(node) for outer in ast.walk(tree) if isinstance(outer, ast.FunctionDef) for node in ast.walk(outer)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert alias.name in sys.stdlib_module_names or (alias.name, alias.asname) == ("numpy", "np")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert all(alias.asname is None for alias in node.names)
            package, _, module = node.module.rpartition(".")
            if package in ("snnconvert", "snnconvert.data"):
                assert module in EARLIER[path.stem]
                assert id(node) not in late
            elif node.module == "PIL":
                assert id(node) in late
            else:
                assert node.module in sys.stdlib_module_names - {"__future__"} or node.module == "collections.abc"
    assert "__main__" not in path.read_text(encoding="utf-8")


def test_carried_files_share_no_name() -> None:
    owner: dict[str, str] = {}
    for path in CARRIED:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
            if isinstance(node, ast.Assign):
                names = [target.id for target in node.targets]
            for name in names:
                assert owner.setdefault(name, path.stem) == path.stem
            allowed = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.Import | ast.ImportFrom | ast.Expr
            assert isinstance(node, allowed)


def test_files_put_together_read_data_without_the_package(tmp_path: Path) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    np.savez(tmp_path / "data.npz", images=images, labels=[0, 1])
    source = "\n".join(path.read_text(encoding="utf-8") for path in CARRIED)
    source = re.sub(r"^from snnconvert[.\w]* import (\([^)]*\)|.*)$", "", source, flags=re.MULTILINE)
    source += """
import sys
data = open_dataset(sys.argv[1])
(_, x), = batches(data, [0, 1], Preprocessing.parse("scale=1/2"), (3, 2, 2), 2)
print(x.sum(), *data.labels, *(name for name in sys.modules if name.startswith(("snnconvert", "PIL", "torch"))))
"""
    (tmp_path / "together.py").write_text(source, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-I", "together.py", "data.npz"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.split() == [str(images.sum() / 2), "0", "1"]
