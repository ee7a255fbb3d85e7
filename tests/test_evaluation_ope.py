"""Success, precision and normalised precision, by hand, against a reference and mmtrack's."""

from __future__ import annotations

import numpy as np
import pytest
from mmtrack.evaluation.functional import eval_sot_ope
from random_tracks import make_sequence, random_result, random_truth, reference

from mmtrack_mixformerv2.evaluation import ope
from mmtrack_mixformerv2.evaluation.pairs import paired_iou
from mmtrack_mixformerv2.evaluation.protocols import PROTOCOLS, get_protocol

BOX = [10.0, 10.0, 20.0, 20.0]
AWAY = [210.0, 110.0, 20.0, 20.0]
RULES = ('unseen', 'no_box', 'positive_corner', 'repeats_empty')
OPE = [name for name, protocol in PROTOCOLS.items() if protocol.kind == 'ope']


def right_frames(name, truth, boxes, visible=None):
    """Which frames are right at overlap 0, at 20 px and at 0.2, each scored beside a missed one.

    The curves of one frame more or less tell what that frame adds.
    """
    found = []
    for last in range(1, len(truth) + 1):
        seen = None if visible is None else visible[:last]
        result = ope.curves(
            make_sequence(truth[:last], visible=seen), boxes[:last], PROTOCOLS[name]
        )
        found.append([result.success[0], result.precision[20], result.norm_precision[20]])
    counts = np.round(np.array(found) * np.arange(1, len(truth) + 1)[:, None]).astype(int)
    return np.diff(counts, axis=0, prepend=0).astype(bool).tolist()


def test_numbers_of_four_frames_by_hand():
    truth = [[16, 16, 32, 32]] * 4
    # Overlaps 1, 1/3, 1/7 and 0; distances 0, 16, 24 and 192 px; 0, 0.5, 0.75 and 6 widths.
    boxes = [AWAY, *([16 + right, 16, 32, 32] for right in (16, 24, 192))]
    result = ope.curves(make_sequence(truth), boxes, get_protocol('lasot'))
    assert result.success.tolist() == [0.75] * 3 + [0.5] * 4 + [0.25] * 13 + [0]
    assert result.precision.tolist() == [0.25] * 16 + [0.5] * 8 + [0.75] * 27
    assert result.norm_precision.tolist() == [0.25] * 50 + [0.5]
    assert ope.summary([result]) == dict(
        success=pytest.approx(100 * (3 * 0.75 + 4 * 0.5 + 13 * 0.25) / 21),
        norm_precision=25,
        precision=50,
    )


def test_an_overlap_on_a_threshold_fails_and_a_distance_on_it_passes():
    # Overlaps k / 20 for k = 0 ... 20: a part of the annotated box, and all of it in frame 1.
    truth = [[10.0, 10, 20, 20]] * 22
    boxes = [[10.0, 10, 20, 20], *([10.0, 10, max(k, 1e-9), 20] for k in range(21))]
    success = ope.curves(make_sequence(truth), boxes, get_protocol('otb100')).success
    assert np.round(22 * success).tolist() == [22, *range(20, 1, -1), 0]

    boxes = [[10.0 + k, 10, 20, 20] for k in range(22)]
    result = ope.curves(make_sequence(truth), boxes, get_protocol('otb100'))
    assert np.round(22 * result.precision[:22]).tolist() == list(range(1, 23))
    assert np.round(22 * result.norm_precision[[4, 6, 11]]).tolist() == [1, 2, 3]


def test_a_normalised_distance_on_the_threshold_is_rounded_as_in_the_toolkits():
    truth = [[x, 10.0, 10.0, 20.0] for x in range(1, 101)]
    boxes = [[x + 2, 10.0, 10.0, 20.0] for x in range(1, 101)]
    near = [True] + [(x + 6.5) / 10 - (x + 4.5) / 10 <= 0.2 for x in range(2, 101)]
    assert 10 < sum(near) < 90
    found = ope.curves(make_sequence(truth), boxes, get_protocol('lasot')).norm_precision
    assert found[[20, 21]].tolist() == [sum(near) / 100, 1]


def test_the_first_frame_counts_with_the_annotated_box():
    result = ope.curves(make_sequence([BOX]), [AWAY], get_protocol('lasot'))
    assert ope.summary([result]) == dict(
        success=pytest.approx(2000 / 21), norm_precision=100, precision=100
    )


ABSENT = {
    'unseen': (BOX, False),
    'zeros': ([0.0, 0, 0, 0], True),
    'nan': ([np.nan] * 4, True),
    'negative size': ([30.0, 30, 20, -11], True),
}


def in_the_middle(name, case, result, visible=None):
    """Whether that frame is right at overlap 0, at 20 px and at 0.2; the one after is not."""
    box, seen = ABSENT[case]
    seen = seen if visible is None else visible
    found = right_frames(name, [BOX, box, BOX], np.array([BOX, result, AWAY]), [True, seen, True])
    assert found[0] == [True] * 3 and found[2] == [False] * 3
    return found[1]


@pytest.mark.parametrize('result', [BOX, AWAY], ids=['near', 'far'])
@pytest.mark.parametrize('case', ABSENT)
def test_an_unseen_target_is_missed_whatever_the_annotation(case, result):
    for name in ('lasot', 'lasot_ext', 'tnl2k', 'folder'):
        assert in_the_middle(name, case, result, visible=False) == [False] * 3


@pytest.mark.parametrize('result', [BOX, AWAY], ids=['near', 'far'])
@pytest.mark.parametrize('case', ['zeros', 'nan', 'negative size'])
def test_an_annotation_that_is_no_box_is_precise_or_missed(case, result):
    for name in ('lasot', 'lasot_ext', 'otb100', 'uav123', 'nfs'):
        assert in_the_middle(name, case, result) == [False, True, True]
    for name in ('tnl2k', 'folder'):
        assert in_the_middle(name, case, result) == [False] * 3


def test_otb_does_not_use_visibility():
    for name in ('otb100', 'uav123', 'nfs'):
        assert in_the_middle(name, 'unseen', BOX) == [True] * 3
        assert in_the_middle(name, 'unseen', AWAY) == [False] * 3
        assert in_the_middle(name, 'nan', AWAY, visible=False) == [False, True, True]


@pytest.mark.parametrize('corner', [[0.0, 10.0], [10.0, 0.0], [-3.0, 10.0]])
def test_an_annotation_at_the_border_is_no_box_where_pixels_count_from_one(corner):
    box = [*corner, 20.0, 20.0]
    for name in OPE:
        seen = right_frames(name, [BOX, box], np.array([BOX, box]))[1]
        assert seen == ([True] * 3 if name == 'folder' else [False, True, True])
        away = right_frames(name, [BOX, box], np.array([BOX, AWAY]))[1]
        assert away == ([False] * 3 if name == 'folder' else [False, True, True])
    assert right_frames('lasot', [BOX, box], np.array([BOX] * 2), [True, False])[1] == [False] * 3


def test_a_result_without_area_repeats_the_frame_before():
    empty, negative = [12.0, 10.0, 0.0, 20.0], [40.0, 40.0, -5.0, 20.0]
    boxes = np.array([BOX, BOX, empty, negative, AWAY, empty])
    found = right_frames('lasot', [BOX] * 6, boxes)
    assert [frame[0] for frame in found] == [True, True, True, True, False, False]
    # A data set of one's own: no overlap, but a centre.
    found = right_frames('folder', [BOX] * 6, boxes)
    assert [frame[0] for frame in found] == [True, True, False, False, False, False]
    assert found[2][1]
    # Not where the annotation is NaN, and what is empty then is repeated.
    truth = [BOX, [np.nan] * 4, BOX]
    found = right_frames('uav123', truth, np.array([BOX, empty, empty]))
    assert [frame[0] for frame in found] == [True, False, False]
    # The first line of a result is replaced only after it was repeated.
    found = right_frames('otb100', [BOX] * 2, np.array([AWAY, empty]))
    assert [frame[0] for frame in found] == [True, False]


def test_sequences_count_the_same_whatever_their_length():
    short = ope.curves(make_sequence([BOX] * 2), np.array([BOX, AWAY]), get_protocol('folder'))
    long = ope.curves(make_sequence([BOX] * 50), np.array([BOX] * 50), get_protocol('folder'))
    assert ope.summary([short, long])['precision'] == 75
    assert ope.mean_curves([short, long]).success[3] == 0.75
    with pytest.raises(ValueError, match='no sequence'):
        ope.summary([])


def test_paired_iou_is_symmetric_and_zero_without_area():
    rng = np.random.default_rng(0)
    first, second = rng.uniform(-20, 40, (2, 400, 4))
    overlaps = paired_iou(first, second)
    assert (overlaps == paired_iou(second, first)).all()
    assert overlaps.min() == 0 and 0 < overlaps.max() <= 1
    no_area = (first[:, 2:] <= 0).any(1) | (second[:, 2:] <= 0).any(1)
    assert (overlaps[no_area] == 0).all()
    sized = first[(first[:, 2:] > 0).all(1)]
    assert np.allclose(paired_iou(sized, sized), 1, rtol=0, atol=1e-12)
    assert paired_iou(sized, sized).max() == 1


def odd_tracks(seed, frames):
    """Annotation, visibility and result with all that the benchmarks' files are known for.

    Every other one is of whole pixels, where overlaps and distances fall on thresholds.
    """
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, frames)
    result = random_result(rng, truth)
    visible = np.ones(frames, bool)
    if seed % 2:
        truth, result = np.trunc(truth), np.trunc(result)

    def some():
        return 1 + rng.choice(frames - 1, frames // 10, replace=False)

    visible[some()] = False
    truth[some()] = 0
    truth[some()] = np.nan
    truth[some(), 0] = 0
    truth[some(), 1] = -2
    truth[some(), 3] = -4
    result[some(), 2] = 0
    result[some(), 3] = -1
    return truth, visible, result


@pytest.mark.parametrize('name', OPE)
def test_equals_the_reference_on_random_tracks(name):
    protocol, found, expected = PROTOCOLS[name], [], []
    for seed in range(12):
        truth, visible, result = odd_tracks(seed, frames=20 + 17 * seed)
        found.append(ope.curves(make_sequence(truth, visible=visible), result, protocol))
        rules = {rule: getattr(protocol, rule) for rule in RULES}
        expected.append(reference(truth, visible, result, **rules))
        assert ope.summary(found[-1:]) == pytest.approx(expected[-1], abs=1e-9)
    for key, value in ope.summary(found).items():
        assert value == pytest.approx(np.mean([numbers[key] for numbers in expected]), abs=1e-9)


@pytest.mark.parametrize('case', ['plain', 'LaSOT: unseen', 'UAV123: nan', 'OTB: zeros'])
def test_equals_mmtrack_where_it_follows_the_protocol(case):
    rng = np.random.default_rng(3)
    found, truths, results, seen = [], [], [], []
    for frames in (30, 75, 140):
        truth, visible = random_truth(rng, frames), np.ones(frames, bool)
        result = random_result(rng, truth)
        absent = 1 + rng.choice(frames - 1, frames // 8, replace=False)
        if case == 'LaSOT: unseen':
            visible[absent] = False
        elif case != 'plain':
            truth[absent] = np.nan if 'nan' in case else 0
        name = {'UAV': 'uav123', 'OTB': 'otb100'}.get(case[:3], 'lasot')
        found.append(ope.curves(make_sequence(truth, visible=visible), result, PROTOCOLS[name]))
        for boxes, to in ((truth, truths), (result, results)):
            to.append(np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]))
        seen.append(visible)
    theirs = eval_sot_ope([list(boxes) for boxes in results], truths, seen)
    assert ope.summary(found) == pytest.approx(
        {key: theirs[key] for key in ('success', 'norm_precision', 'precision')}, abs=1e-6
    )
    assert np.allclose([100 * each.success for each in found], theirs['ori_success'])


@pytest.mark.parametrize(
    ('boxes', 'message'),
    [
        (np.zeros((2, 4)), '2 boxes, but the sequence has 3 frames'),
        (np.zeros(12), r'shape \(12,\), expected \(frames, 4\)'),
        ([BOX, [1, 2, np.nan, 4], [np.inf, 2, 3, 4]], r'line 2 is .*; line 3 is .*inf'),
    ],
)
def test_a_result_that_cannot_be_scored_is_named(boxes, message):
    with pytest.raises(ValueError, match=f'result of car-1.*{message}'):
        ope.curves(make_sequence([BOX] * 3), boxes, get_protocol('lasot'))


def test_no_curves_without_an_annotation_or_a_fitting_protocol():
    sequence = make_sequence([BOX] * 3)
    with pytest.raises(ValueError, match='GOT-10k val has no curves'):
        ope.curves(sequence, np.array([BOX] * 3), get_protocol('got10k'))
    sequence.frames.append('00000004.jpg')
    with pytest.raises(ValueError, match='4 frames and 3 annotated boxes'):
        ope.curves(sequence, np.array([BOX] * 4), get_protocol('lasot'))


def test_an_unknown_protocol_is_answered_with_the_known_ones():
    assert all(get_protocol(name).name == name for name in PROTOCOLS)
    with pytest.raises(ValueError, match="no protocol 'LaSOT'.*'lasot', 'lasot_ext'.*'folder'"):
        get_protocol('LaSOT')


def test_rules_can_be_changed_and_the_name_says_so():
    protocol = get_protocol('lasot:positive_corner=False:no_box=missed')
    assert (protocol.positive_corner, protocol.no_box, protocol.repeats_empty) == (
        False,
        'missed',
        True,
    )
    assert protocol.name == 'lasot:no_box=missed:positive_corner=False'
    assert protocol.title == 'LaSOT (no_box=missed, positive_corner=False)'
    assert get_protocol(protocol.name) == protocol
    assert get_protocol('lasot:positive_corner=True') is PROTOCOLS['lasot']
    border = [[10.0, 10, 20, 20], [0.0, 10, 20, 20]]
    both = [
        ope.curves(make_sequence(border), border, get_protocol(name)).success[0]
        for name in ('lasot', 'lasot:positive_corner=False')
    ]
    assert both == [0.5, 1]


@pytest.mark.parametrize('change', ['corner=False', 'unseen', 'unseen=False', 'name=x', ''])
def test_what_is_no_rule_is_answered_with_the_rules(change):
    with pytest.raises(ValueError, match=r'is no rule; these are: unseen=missed\|counted; no_box='):
        get_protocol(f'lasot:{change}')
    with pytest.raises(ValueError, match='the rules of GOT-10k val cannot be changed'):
        get_protocol(f'got10k:{change}')
