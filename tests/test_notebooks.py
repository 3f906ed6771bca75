"""docs/notebooks run from top to bottom, and show what they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import aumer

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def outputs(notebook: Any) -> str:
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
            found += [output.get("text", ""), *(str(v) for v in output.get("data", {}).values())]
    return "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(aumer.__file__).parents[1]))
    monkeypatch.setenv("AUMER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    (tmp_path / "work").mkdir()
    resources = {"metadata": {"path": str(tmp_path / "work")}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    said = outputs(notebook)
    # A second time in the same folder, as whoever restarts it has it: what is kept is used.
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    if path.stem == "spot-and-read":
        # A real kernel's bar, as it stands at the end.
        assert '<progress style="width:20em" max="240" value="240"></progress> 240 of' in said
        assert said.count("data:image/webp;base64,") == 3
    else:
        assert "graph digests:" in said and "Model: **aumer**" in said


def test_the_stored_outputs_are_small_and_hold_no_error() -> None:
    assert len(NOTEBOOKS) == 2
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert path.stat().st_size < 400_000
        assert outputs(notebook)
        assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
