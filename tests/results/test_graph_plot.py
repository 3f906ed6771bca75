from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from aumer.errors import UsageError
from aumer.face.mean_face import MEAN_FACE
from aumer.graph import AUGraph
from aumer.results.graph_plot import plot_graph


def lines(figure: Figure) -> list[FancyArrowPatch]:
    """The drawn edges, in the order they were drawn."""
    found = figure.findobj(FancyArrowPatch)
    return sorted((a for a in found if a.get_visible()), key=lambda a: a.get_linewidth())


def ends(line: FancyArrowPatch) -> set[tuple[float, float]]:
    a, b = line._posA_posB  # matplotlib keeps them nowhere else
    return {tuple(np.round(a, 6)), tuple(np.round(b, 6))}


def place(landmark: int) -> tuple[float, float]:
    x, y = np.round(MEAN_FACE[landmark, :2], 6)
    return float(x), float(y)


def pixels(figure: Figure) -> np.ndarray:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=80)
    decoded = cv2.imdecode(np.frombuffer(image.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded


def test_edges_join_their_rois_and_are_as_wide_as_their_weights() -> None:
    graph = AUGraph.from_edges({(48, 54): 2.0, (19, 24): 1.0, (51, 57): 0.5})
    drawn = lines(plot_graph(graph))
    assert [ends(line) for line in drawn] == [
        {place(51), place(57)},
        {place(19), place(24)},
        {place(48), place(54)},
    ]
    widths = np.array([line.get_linewidth() for line in drawn])
    np.testing.assert_allclose(widths / widths[-1], [0.25, 0.5, 1.0])


def test_the_subjects_right_is_on_the_left_and_the_brows_above() -> None:
    figure = plot_graph(AUGraph.identity())
    (axes,) = figure.axes
    spots = {t.get_text().split()[0]: axes.transData.transform(t.xy) for t in axes.texts}
    assert spots["mouth_r"][0] < spots["lip_upper"][0] < spots["mouth_l"][0]
    assert spots["brow_r_mid"][1] > spots["nose_tip"][1] > spots["lip_lower"][1]
    assert set(spots) == set(AUGraph.identity().rois)


def test_a_graph_of_two_directions_has_an_arrow_each_way() -> None:
    one_way = plot_graph(AUGraph.from_edges({(48, 54): 1.0}, directed=True))
    assert len(lines(one_way)) == 1
    both = AUGraph.from_edges({(48, 54): 1.0, (54, 48): 0.5}, directed=True)
    assert len(lines(plot_graph(both))) == 2
    assert len(lines(plot_graph(AUGraph.from_edges({(48, 54): 1.0})))) == 1


def test_normalized_weights_can_be_drawn() -> None:
    graph = AUGraph.load("samm-lv-facs")
    raw, rows = plot_graph(graph), plot_graph(graph, normalization="l1-rows")
    assert len(lines(raw)) == 66 and len(lines(rows)) == 132
    assert "l1-rows" in "".join(t.get_text() for t in rows.texts)
    with pytest.raises(UsageError, match="no normalization"):
        plot_graph(graph, normalization="rows")


def test_another_graph_is_another_picture() -> None:
    one, other = (plot_graph(AUGraph.load(n)) for n in ("casme-sq-facs", "casme-sq-published"))
    assert (pixels(one) != pixels(other)).any(axis=2).mean() > 0.01
    assert len(np.unique(pixels(plot_graph(AUGraph.empty("ibug68"))))) > 10


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_written_whole_and_not_over_others(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"graph{suffix}"
    plot_graph(AUGraph.load("casme-sq-facs"), path=path)
    begins = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert path.read_bytes().startswith(begins)
    with pytest.raises(UsageError, match="overwrite"):
        plot_graph(AUGraph.empty(), path=path)
    with pytest.raises(UsageError, match=r"Did you mean '\.png'"):
        plot_graph(AUGraph.empty(), path=tmp_path / "graph.pn")


def test_rois_without_a_place_cannot_be_drawn() -> None:
    with pytest.raises(UsageError, match="'left' is not the name of a landmark"):
        plot_graph(AUGraph.identity(["left", "right"]))
