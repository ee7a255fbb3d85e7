"""The picture of a comparison: every name can be read, and so can the axes."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from mmtrack_mixformerv2.comparison.scatter import draw, write_scatter


def row(name: str, speeds: dict[str, float], giga: float, success: float | None = None):
    """A model with 1 M parameters."""
    entry = SimpleNamespace(name=name, parameters=1_000_000, multiply_adds=giga * 1e9)
    found = {key: SimpleNamespace(frames_per_second=speed) for key, speed in speeds.items()}
    return SimpleNamespace(
        entry=entry, speeds=found, metrics={} if success is None else {'success': success}
    )


def names_of(figure: Figure) -> dict:
    """Box of each name in pixels."""
    (ax,) = figure.axes
    texts = [one for one in ax.texts if isinstance(one, Annotation)]
    figure.draw_without_rendering()
    return {one.get_text(): super(Annotation, one).get_window_extent() for one in texts}


@pytest.mark.parametrize('step', [0.01, 0.0])  # near each other, and all the same
@pytest.mark.parametrize('metric', ['success', None])
def test_names_of_models_that_are_alike_do_not_cover_each_other(step, metric):
    rows = [
        row(
            f'model-{i}',
            {'published': 40 + i / 5, 'torch': 50 + i / 5},
            1 + step * i,
            70 + step * i,
        )
        for i in range(5)
    ]
    figure = draw(rows, ['published', 'torch'], metric)
    boxes = names_of(figure)
    assert list(boxes) and {f'model-{i} (1.00 M)' for i in range(5)} == boxes.keys()
    for one, other in combinations(boxes.values(), 2):
        assert one.shrunk(0.98, 0.98).count_overlaps([other.shrunk(0.98, 0.98)]) == 0
    frame = figure.axes[0].bbox
    assert all(frame.contains(*box.min) and frame.contains(*box.max) for box in boxes.values())


@pytest.mark.parametrize(
    'speeds', [(30,), (30, 31), (67, 103), (16, 54), (0.3, 300), (0.011, 5000)]
)
def test_axes_have_labels_at_all_of_their_lines(speeds):
    rows = [row(f'model-{i}', {'torch': speed}, speed / 100) for i, speed in enumerate(speeds)]
    figure = draw(rows, ['torch'], None)
    figure.draw_without_rendering()
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        low, high = sorted(axis.get_view_interval())
        shown = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
        assert 3 <= len(shown) <= 12 and not len(axis.get_minorticklocs())
        labels = [text.get_text() for text in axis.get_ticklabels()]
        assert len({*labels}) == len(labels) and [
            float(label) for label in labels
        ] == pytest.approx(list(axis.get_majorticklocs()))


def test_who_is_not_in_the_picture_is_named(tmp_path):
    rows = [row('one', {'torch': 9}, 1, 50), row('two', {'torch': 9}, 1), row('three', {}, 1)]
    assert len(write_scatter(tmp_path, rows, ['torch'])) == 2
    svg = (tmp_path / 'comparison.svg').read_text()
    assert 'not shown, no success AUC or no speed: two, three' in svg
    assert write_scatter(tmp_path, rows[2:], ['torch']) == []
    assert list(tmp_path.iterdir()) == []  # those of an earlier call
