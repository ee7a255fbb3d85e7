"""Pictures of results show the box, its state and the score, and leave the frame alone."""

from __future__ import annotations

import numpy as np
import pytest

from mmtrack_mixformerv2.outputs.overlay import STATE_COLORS, TARGET_COLORS, Overlay
from mmtrack_mixformerv2.tracking import TargetState, TrackResult

BOX = (240, 150, 120, 90)


def result(state=TargetState.TRACKED, score=0.9, box=BOX, updated=False) -> TrackResult:
    return TrackResult(np.array(box, float), score, updated, state, 0.5)


def grey(height: int = 360, width: int = 640) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def count(picture: np.ndarray, color) -> int:
    """Pixels of about this colour."""
    return int((np.abs(picture.astype(int) - color).max(axis=-1) < 12).sum())


def lower_edge(picture: np.ndarray) -> np.ndarray:
    """Where along the lower edge of BOX its line is."""
    x, y, w, h = BOX
    row = picture[y + h, x : x + w].astype(int)
    return np.abs(row - TARGET_COLORS[0]).max(axis=-1) < 60


def test_the_line_says_the_state():
    lines = {state: lower_edge(Overlay(1).draw(grey(), [result(state)])) for state in TargetState}
    dashes = {state: 1 + (np.diff(line.astype(int)) == 1).sum() for state, line in lines.items()}
    assert lines[TargetState.TRACKED].all() and dashes[TargetState.TRACKED] == 1
    assert 3 < dashes[TargetState.UNCERTAIN] < dashes[TargetState.LOST] / 2
    assert all(line[[0, -1]].all() for line in lines.values())  # corners are whole


def test_the_bar_is_as_long_as_the_score():
    color = STATE_COLORS[TargetState.TRACKED]
    lengths = [
        count(Overlay(1).draw(grey(), [result(score=score)])[28:36, :120], color)
        for score in (0.0, 0.5, 1.0)
    ]
    assert lengths[0] < 20 and lengths[1] == pytest.approx(lengths[2] / 2, rel=0.1)


def test_frame_is_not_changed_and_views_are_taken():
    frame = grey()
    picture = Overlay(1).draw(frame[:, ::-1], [result()])
    assert (frame == 90).all() and picture.shape == frame.shape


def test_a_new_template_is_shown_for_a_while():
    overlay = Overlay(1)
    plain = overlay.draw(grey(), [result()])
    shown = [overlay.draw(grey(), [result(updated=index == 0)]) for index in range(20)]
    different = [(picture[26:50, 100:] != plain[26:50, 100:]).any() for picture in shown]
    assert different[0] and different[5] and not different[-1]


@pytest.mark.parametrize('box', [(-50, -50, 30, 30), (630, 350, 40, 40), (0, 0, 640, 360)])
def test_boxes_at_the_border_and_off_the_frame(box):
    for score in (0.5, None):
        picture = Overlay(2).draw(grey(), [result(TargetState.LOST, score, box), result()])
        assert count(picture, TARGET_COLORS[1]) > 200


def test_a_small_frame_is_not_covered():
    picture = Overlay(3).draw(grey(90, 120), [result(box=(60, 50, 30, 30))] * 3)
    assert (picture[:30] == 90).all()


def test_a_result_without_numbers_and_state():
    plain = TrackResult(np.array(BOX, float), None, False)
    picture = Overlay(1).draw(grey(), [plain])
    assert lower_edge(picture).all()
