"""AO and SR of GOT-10k by hand; beside the toolkit in test_evaluation_toolkits.py."""

from __future__ import annotations

import numpy as np
import pytest
from random_tracks import make_sequence, random_result, random_truth

from mmtrack_mixformerv2.evaluation import got10k
from mmtrack_mixformerv2.evaluation.pairs import paired_iou

SIZE = (60, 100)  # height, width
BOX = [10.0, 10.0, 20.0, 20.0]


def sequence_with_cover(boxes, cover):
    return make_sequence(boxes, 'GOT-10k_Val_000001', cover=np.array(cover) / 8)


def test_the_first_frame_and_covered_frames_are_left_out():
    sequence = sequence_with_cover([BOX] * 5, [8, 8, 0, 1, 8])
    boxes = [BOX, [10, 10, 20, 10], BOX, [50, 10, 20, 20], BOX]
    assert got10k.overlaps(sequence, boxes, SIZE).tolist() == [0.5, 0, 1]
    # Visibility is told by the cover alone.
    assert len(got10k.overlaps(sequence_with_cover([BOX] * 3, [8, 0, 0]), [BOX] * 3, SIZE)) == 0
    assert len(got10k.overlaps(sequence_with_cover([BOX], [8]), [BOX], SIZE)) == 0


@pytest.mark.parametrize(
    ('box', 'clipped'),
    [
        ([10, 10, 20, 20], [10, 10, 20, 20]),
        ([90, 50, 20, 20], [90, 50, 10, 10]),  # cut at the right and at the bottom
        ([-10, -5, 30, 20], [0, 0, 30, 20]),  # moved at the left and at the top
        ([-10, -5, 300, 200], [0, 0, 100, 60]),
        ([120, 70, 20, 20], [100, 60, 0, 0]),
        ([10, 10, -5, 20], [10, 10, 0, 20]),
    ],
)
def test_boxes_that_leave_the_image(box, clipped):
    assert got10k.clip(np.array([box], float), SIZE).tolist() == [clipped]


def test_boxes_without_area_overlap_with_nothing():
    truth = [BOX, BOX, [10, 10, 0, 0], [200, 10, 20, 20]]
    boxes = [BOX, [10, 10, 0, 20], [10, 10, 0, 0], [200, 10, 20, 20]]
    sequence = sequence_with_cover(truth, [8] * 4)
    assert got10k.overlaps(sequence, boxes, SIZE).tolist() == [0, 0, 0]


def test_frames_are_pooled_and_an_overlap_on_the_threshold_fails():
    short, long = np.array([1.0]), np.array([0.5, 0.75, 0.5, 0.0])
    expected = {'AO': 55, 'SR_0.5': 40, 'SR_0.75': 20}
    assert got10k.summary([short, long]) == pytest.approx(expected)
    assert got10k.summary([short]) == {'AO': 100, 'SR_0.5': 100, 'SR_0.75': 100}
    curve = got10k.success_curve([short, long])
    assert curve[[0, 49, 50, 74, 75, 99, 100]] == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0])


def test_no_counted_frame_gives_no_number():
    nothing = np.zeros(0)
    assert all(np.isnan(value) for value in got10k.summary([nothing]).values())
    assert np.isnan(got10k.success_curve([nothing])).all()
    assert got10k.summary([nothing, np.array([0.25])])['AO'] == 25
    with pytest.raises(ValueError, match='no sequence'):
        got10k.summary([])


def test_inside_the_image_overlaps_are_plain_ones():
    rng = np.random.default_rng(0)
    truth = random_truth(rng, 200)
    boxes = np.abs(random_result(rng, truth))
    found = got10k.overlaps(sequence_with_cover(truth, [8] * 200), boxes, (2000, 2000))
    assert np.allclose(found, paired_iou(truth, boxes)[1:])


def test_what_cannot_be_scored_is_named():
    name = 'GOT-10k_Val_000001'
    with pytest.raises(ValueError, match=f'{name} has 2 frames, but the cover of 0'):
        got10k.overlaps(make_sequence([BOX] * 2, name), [BOX] * 2, SIZE)
    with pytest.raises(ValueError, match='2 frames, but the cover of 1'):
        got10k.overlaps(make_sequence([BOX] * 2, name, cover=[1]), [BOX] * 2, SIZE)
    with pytest.raises(ValueError, match='3 boxes, but the sequence has 2 frames'):
        got10k.overlaps(sequence_with_cover([BOX] * 2, [8, 8]), [BOX] * 3, SIZE)
    with pytest.raises(ValueError, match='line 2 is .*nan'):
        got10k.overlaps(sequence_with_cover([BOX] * 2, [8, 8]), [BOX, [np.nan] * 4], SIZE)
    truth = [BOX, [np.nan] * 4, [np.nan] * 4]
    with pytest.raises(ValueError, match=f'annotation of {name}: line 3 is .*cover is 0.5$'):
        got10k.overlaps(sequence_with_cover(truth, [8, 0, 4]), [BOX] * 3, SIZE)
