"""Pictures show what they are given: planted peaks appear where they belong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from mmtrack_mixformerv2 import explain
from mmtrack_mixformerv2.explain import (
    FrameExplanation,
    attention_figure,
    draw_edges,
    edge_figure,
    layers_figure,
    save_figure,
    score_timeline,
    similarity_figure,
)
from mmtrack_mixformerv2.explain.pictures import EDGE_COLORS, figure_array, overlay_heat
from mmtrack_mixformerv2.explain.timeline import STATE_COLORS
from mmtrack_mixformerv2.tracking import EdgeDistributions, TargetState, TrackResult
from mmtrack_mixformerv2.tracking.track_log import TrackLog

GREY = np.full((64, 64, 3), 128, np.uint8)


def peaks(places: dict[int, int], bins: int = 32) -> np.ndarray:
    """Distributions ``(4, bins)`` with a sharp peak in each row."""
    rows = np.zeros((4, bins))
    for row, place in places.items():
        rows[row, place - 1 : place + 2] = 0.2, 0.6, 0.2
    return rows


@pytest.fixture(scope='module')
def explanation() -> FrameExplanation:
    """Two layers, two templates; 60 % at a patch of the search region, 30 % of a template."""
    search = np.full((2, 4, 8, 8), 1e-6, np.float32)
    templates = np.full((2, 4, 2, 4, 4), 1e-6, np.float32)
    for row in range(4):
        search[1, row, 2, row + 1] = 0.6
        templates[1, row, 1, 3, 0] = 0.3
        search[0, row, 7, 7] = 0.5
    similarity = np.full((8, 8), -0.2, np.float32)
    similarity[1, 6] = 0.9
    return FrameExplanation(
        crop=GREY,
        region_xywh=(100.0, 50.0, 128.0, 128.0),
        templates=[GREY[:32, :32], GREY[:32, :32] // 2],
        search_attention=search,
        template_attention=templates,
        similarity=similarity,
        layers=(0, 2),  # a block between has faded out
        box_norm=np.array([0.25, 0.25, 0.75, 0.5]),
        edges=peaks({0: 8, 1: 8, 2: 24, 3: 16}),
    )


def shown(panel) -> np.ndarray:
    """The picture in a panel, RGB."""
    return np.asarray(panel.images[0].get_array())


def brightest(picture: np.ndarray, patch: int) -> tuple[int, int]:
    """Row and column of the patch that is the most yellow."""
    yellow = picture[..., 0].astype(float) - picture[..., 2]
    rows = yellow.reshape(len(yellow) // patch, patch, -1, patch).mean((1, 3))
    return tuple(map(int, np.unravel_index(rows.argmax(), rows.shape)))


def test_heat_is_where_the_attention_is():
    heat = np.zeros((8, 8))
    heat[5, 2] = 1
    picture = overlay_heat(GREY, heat)
    assert picture.shape == GREY.shape and picture.dtype == np.uint8
    assert brightest(picture, 8) == (5, 2)
    assert np.ptp(picture[:8, 40:], axis=(0, 1)).max() == 0  # even where nobody looks
    signed = overlay_heat(GREY, -heat, 'PuOr_r')
    assert signed[44, 20, 2] > signed[44, 20, 0]  # violet


def test_attention_figure(explanation):
    figure = attention_figure(explanation)
    panels = figure.axes[:12]  # four tokens, the search region and two templates; then the scale
    assert [panel.get_ylabel() for panel in panels[::3]] == ['left', 'top', 'right', 'bottom']
    titles = [panel.get_title() for panel in panels]
    assert titles[:3] == ['search region\n60%', 'static template\n0%', 'online template\n30%']
    assert titles[3:6] == ['60%', '0%', '30%']
    for row in range(4):
        assert brightest(shown(panels[3 * row]), 8) == (2, row + 1)
        assert brightest(shown(panels[3 * row + 2]), 8) == (3, 0)
    # One scale for a row: half as much attention is half as bright.
    assert shown(panels[0])[20, 12, 0] > shown(panels[2])[28, 4, 0]
    assert '2 (of 0 to 2)' in figure.get_suptitle()
    # The box, and the edge that the token stands for.
    box, line = panels[6].patches[0], panels[6].lines[0]
    assert box.get_bbox().bounds == (15.5, 15.5, 32, 16)
    assert list(line.get_xdata()) == [47.5, 47.5] and line.get_color() == EDGE_COLORS['right']
    other = attention_figure(explanation, layer=0)
    assert brightest(shown(other.axes[0]), 8) == (7, 7)
    with pytest.raises(ValueError, match='there is no layer 1; expected one of 0, 2'):
        attention_figure(explanation, layer=1)


def test_layers_figure(explanation):
    panels = layers_figure(explanation).axes[:8]
    assert [panel.get_title() for panel in panels[:2]] == ['layer 0\n50%', 'layer 2\n60%']
    assert brightest(shown(panels[0]), 8) == (7, 7)
    assert brightest(shown(panels[1]), 8) == (2, 1)
    panels = layers_figure(explanation, template=1, layers=[2]).axes[:4]
    assert [brightest(shown(panel), 8) for panel in panels] == [(3, 0)] * 4
    with pytest.raises(ValueError, match='template is 2, expected 0 to 1'):
        layers_figure(explanation, template=2)


def test_similarity_figure(explanation):
    figure = similarity_figure(explanation)
    _, overlay, static, _online, scale = figure.axes
    assert brightest(shown(overlay), 8) == (1, 6)
    assert static.get_title() == 'static template'
    assert scale.get_ylim() == pytest.approx((-0.9, 0.9))


def edge_place(picture: np.ndarray, name: str) -> tuple[float, float]:
    """Mean x and y of the pixels that were drawn in the colour of an edge."""
    color = 255 * np.array(to_rgb(EDGE_COLORS[name]))[::-1]
    drawn = np.abs(picture.astype(float) - color).max(axis=2) < 30
    rows, columns = np.nonzero(drawn)
    assert len(rows) > 20
    return columns.mean(), rows.mean()


@pytest.mark.parametrize('shift', [0, 30])
def test_edges_are_drawn_where_they_are_likely(shift):
    frame = np.full((240, 320, 3), 20, np.uint8)
    before = frame.copy()
    positions = np.linspace(0, 310, 32)[None].repeat(4, axis=0)
    edges = EdgeDistributions(peaks({0: 10, 1: 8, 2: 20, 3: 16}), positions + shift)
    box = (100 + shift, 80, 100, 80)
    picture = draw_edges(frame, box, edges)
    assert np.array_equal(frame, before) and picture.shape == frame.shape
    left, top = edge_place(picture, 'left'), edge_place(picture, 'top')
    right, bottom = edge_place(picture, 'right'), edge_place(picture, 'bottom')
    assert left[0] == pytest.approx(100 + shift, abs=3) and left[1] < 80
    assert right[0] == pytest.approx(200 + shift, abs=3) and right[1] > 160
    assert top[1] == pytest.approx(80 + shift, abs=3) and top[0] > 200 + shift
    assert bottom[1] == pytest.approx(160 + shift, abs=3) and bottom[0] < 100 + shift


def test_curves_fit_into_the_frame_and_may_be_compared():
    frame = np.zeros((100, 100, 3), np.uint8)
    positions = np.linspace(0, 93, 32)[None].repeat(4, axis=0)
    edges = EdgeDistributions(peaks({0: 2, 1: 2, 2: 31, 3: 31}, 33)[:, :32], positions)
    picture = draw_edges(frame, (5, 5, 90, 90), edges)
    # There is no room above the box: left hangs from its lower side instead, where it may.
    assert picture.any()
    flat = draw_edges(frame, (30, 40, 40, 30), edges, full=6.0)
    steep = draw_edges(frame, (30, 40, 40, 30), edges)
    assert np.count_nonzero(flat.any(2)) < np.count_nonzero(steep.any(2))
    with pytest.raises(ValueError, match='no edge distributions to draw'):
        draw_edges(frame, (5, 5, 90, 90), None)
    with pytest.raises(ValueError, match='no edge distributions to draw'):
        edge_figure(frame, (5, 5, 90, 90), None)


def test_edge_figure(explanation):
    placed = explanation.edge_distributions
    region = explanation.region_xywh
    assert explanation.box_xywh.tolist() == [132, 82, 64, 32]
    assert (placed.probabilities * placed.positions).sum(1) == pytest.approx([132, 82, 196, 114])
    figure = edge_figure(explanation.crop, explanation.box_xywh, placed, region_xywh=region)
    main, above, beside = figure.axes
    assert main.get_xlim() == (100, 228) and main.get_ylim() == (178, 50)
    assert main.patches[0].get_bbox().bounds == (132, 82, 64, 32)
    left = above.lines[0]
    assert left.get_xdata()[np.argmax(left.get_ydata())] == 132
    bottom = beside.lines[2]
    assert bottom.get_ydata()[np.argmax(bottom.get_xdata())] == 114
    assert [text.get_text().split(' ±')[0] for text in above.texts] == [
        'left 132',
        'top 82',
        'right 196',
        'bottom 114',
    ]
    # The axes beside the picture end where it ends.
    figure.canvas.draw()
    assert above.get_position().x0 == pytest.approx(main.get_position().x0, abs=1e-6)
    assert above.get_position().x1 == pytest.approx(main.get_position().x1, abs=1e-6)
    assert beside.get_position().y0 == pytest.approx(main.get_position().y0, abs=1e-6)


def make_log() -> TrackLog:
    """Ten frames: tracked, from 4 uncertain, from 6 lost, from 8 tracked; an update at 3."""
    box = np.array([10, 20, 30, 30.0])
    edges = EdgeDistributions(peaks({0: 5, 1: 5, 2: 9, 3: 9}), np.arange(32.0)[None].repeat(4, 0))
    log = TrackLog('of a test', [TrackResult(box, None, False)])
    states = ['tracked'] * 3 + ['uncertain'] * 2 + ['lost'] * 2 + ['tracked'] * 2
    for index, state in enumerate(states, 1):
        log.results.append(
            TrackResult(box, 0.9, index == 3, TargetState(state), 0.1 * index, edges)
        )
    return log


def test_timeline():
    figure = score_timeline(make_log(), frame=7)
    scores, spreads = figure.axes
    lines = {line.get_label(): line for line in scores.lines}
    assert np.isnan(lines['score'].get_ydata()[0]) and lines['score'].get_ydata()[9] == 0.9
    np.testing.assert_allclose(lines['confidence'].get_ydata()[1:], 0.1 * np.arange(1, 10))
    bands = [(band.get_x(), band.get_width(), band.get_facecolor()[:3]) for band in scores.patches]
    runs = [(0.5, 3, 'tracked'), (3.5, 2, 'uncertain'), (5.5, 2, 'lost'), (7.5, 2, 'tracked')]
    for band, (start, width, state) in zip(bands, runs, strict=True):
        assert band[:2] == (start, width) and band[2] == pytest.approx(to_rgb(STATE_COLORS[state]))
    assert [line.get_xdata()[0] for line in scores.lines if line.get_marker() == 'v'] == [3]
    assert any(list(line.get_xdata()) == [7, 7] for line in scores.lines)
    spread = spreads.lines[-1].get_ydata()
    assert spread[5] == pytest.approx(100 * 0.4**0.5 / 30)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[:4] == ['score', 'confidence', 'template update', 'frame 7']
    assert names[4:] == ['tracked', 'uncertain', 'lost']


def test_timeline_of_a_published_tracker_without_a_score_head():
    log = TrackLog('bare', [TrackResult(np.array([0, 0, 9, 9.0]), None, False)] * 3)
    figure = score_timeline(log)
    assert len(figure.axes) == 1 and not figure.axes[0].lines and not figure.legends
    assert figure_array(figure).std() > 0
    figure_array(score_timeline(TrackLog('empty')))


def test_figures_are_saved_whole_and_kept_by_nobody(explanation, tmp_path):
    pyplot = pytest.importorskip('matplotlib.pyplot')
    before = pyplot.get_fignums()
    figure = edge_figure(GREY, explanation.box_xywh, explanation.edge_distributions)
    assert pyplot.get_fignums() == before
    path = save_figure(figure, tmp_path / 'new' / 'picture.png', dpi=60)
    array = figure_array(figure, dpi=60)
    assert np.array_equal(cv2.imread(str(path)), array)
    assert save_figure(figure, tmp_path / 'picture.svg').read_bytes().startswith(b'<?xml')
    with pytest.raises(ValueError, match='xyz'):
        save_figure(figure, tmp_path / 'picture.xyz')
    assert sorted(one.name for one in tmp_path.iterdir()) == ['new', 'picture.svg']


def test_every_public_name_is_there():
    assert all(getattr(explain, name) for name in explain.__all__)
    assert set(explain.__all__) <= set(dir(explain))  # autodoc looks there
    with pytest.raises(AttributeError, match='no attribute'):
        _ = explain.attention_picture
