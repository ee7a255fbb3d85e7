"""Scores of folders: groups by attribute, what is left out, JSON, CSV, tables and plots."""

from __future__ import annotations

import csv
import dataclasses
import json

import cv2
import numpy as np
import pytest
from layouts import write_frames
from matplotlib import colormaps
from random_tracks import make_sequence
from sequence_lists import SequenceList, make_table, still_boxes, write_results

from mmtrack_mixformerv2.evaluation.plots import draw_curves, plot_curves
from mmtrack_mixformerv2.evaluation.protocols import PROTOCOLS
from mmtrack_mixformerv2.evaluation.report import score_folder
from mmtrack_mixformerv2.evaluation.report_files import (
    attribute_table,
    notes_text,
    read_report,
    sequence_table,
    summary_table,
    unscored_text,
    write_csv,
    write_report,
)
from mmtrack_mixformerv2.evaluation.result_files import Result, write_result

FIRST_COLOR, SECOND_COLOR = colormaps['tab10'].colors[:2]
FOLDER, GOT10K = PROTOCOLS['folder'], PROTOCOLS['got10k']
# How many of four frames are right, and the attributes.
SEQUENCES = {'a': (4, ('Fast Motion', 'Blur')), 'b': (2, ('Blur',)), 'c': (1, ())}


@pytest.fixture
def table() -> SequenceList:
    sequences = make_table(*SEQUENCES)
    for index, (_, attributes) in enumerate(SEQUENCES.values()):
        sequences[index] = dataclasses.replace(sequences[index], attributes=attributes)
    return sequences


def write_tracker(folder, table, shift: int = 0):
    """Boxes that are exact in the first frames and far away in the others."""
    for sequence in table:
        boxes = sequence.boxes_xywh.copy()
        boxes[max(1, SEQUENCES[sequence.name][0] - shift) :, 0] += 1000
        write_result(folder, sequence.name, Result(boxes), 'plain')
    return folder


@pytest.fixture
def report(table, tmp_path):
    return score_folder(write_tracker(tmp_path / 'x', table), table, FOLDER, 'x')


def expected(*right: int) -> dict:
    """Percent where so many of four frames are exact: of 21 thresholds only overlap > 1 fails."""
    share = 100 * sum(right) / len(right) / 4
    return dict(success=share * 20 / 21, norm_precision=share, precision=share)


def test_groups_are_means_over_their_sequences(report):
    assert report.complete
    assert report.overall.sequences == 3
    assert report.overall.metrics == pytest.approx(expected(4, 2, 1))
    assert [(group.name, group.sequences) for group in report.attributes] == [
        ('Blur', 2),
        ('Fast Motion', 1),
    ]
    assert report.attributes[0].metrics == pytest.approx(expected(4, 2))
    assert report.attributes[1].metrics == pytest.approx(expected(4))
    assert [score.metrics for score in report.sequences] == [
        pytest.approx(expected(right)) for right, _ in SEQUENCES.values()
    ]
    blur = report.attributes[0].curves
    assert blur['success'].thresholds == [k / 20 for k in range(21)]
    assert blur['success'].values == pytest.approx([0.75] * 20 + [0])
    assert blur['precision'].values == pytest.approx([0.75] * 51)


def test_json_gives_the_report_back(report, tmp_path):
    write_report(report, tmp_path / 'x.json')
    assert read_report(tmp_path / 'x.json') == report
    content = json.loads((tmp_path / 'x.json').read_text())
    assert content['complete'] is True
    assert content['overall']['metrics'] == report.overall.metrics


@pytest.mark.parametrize('text', ['', '[]', '{"tracker": "x"}', '{"protocol": "x"}', '\xff'])
def test_other_files_are_no_reports(tmp_path, text):
    (tmp_path / 'x.json').write_bytes(text.encode('latin-1'))
    with pytest.raises(ValueError, match=r'x.json is not a report'):
        read_report(tmp_path / 'x.json')


def test_csv(report, tmp_path):
    files = write_csv(report, tmp_path / 'x')
    assert [path.name for path in files] == ['x_sequences.csv', 'x_attributes.csv']
    with files[0].open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {
        'sequence': 'b',
        'frames': '4',
        'success': '47.6190',
        'norm_precision': '50.0000',
        'precision': '50.0000',
        'frames_per_second': '',
        'attributes': 'Blur',
        'not_scored': '',
    }
    assert files[1].read_text() == (
        'attribute,sequences,success,norm_precision,precision\n'
        'Blur,2,71.4286,75.0000,75.0000\n'
        'Fast Motion,1,95.2381,100.0000,100.0000\n'
    )


def test_what_cannot_be_scored_is_named_and_in_no_number(table, tmp_path):
    folder = write_tracker(tmp_path / 'x', table)
    (folder / 'a.txt').unlink()
    (folder / 'b.txt').write_text('11,20,30,40\n')
    (folder / 'other.txt').write_text('1,2,3,4\n')
    report = score_folder(folder, table, FOLDER, 'x')
    assert not report.complete
    assert report.overall.metrics == pytest.approx(expected(1))
    assert report.attributes == []
    assert report.foreign == ['other.txt']
    assert unscored_text(report) == (
        'a: there is no file a.txt\n'
        'b: b.txt has 1 lines, expected 4: one box for each frame of the sequence'
    )
    assert report.label == 'x (partial: 1 of 3 sequences)'
    assert report.label in summary_table([report])
    with write_csv(report, tmp_path / 'x')[0].open(newline='') as file:
        rows = {row['sequence']: row for row in csv.DictReader(file)}
    assert rows['a']['not_scored'] == 'there is no file a.txt'
    assert rows['a']['success'] == ''
    write_report(report, tmp_path / 'x.json')
    assert read_report(tmp_path / 'x.json') == report
    assert json.loads((tmp_path / 'x.json').read_text())['complete'] is False


def test_what_is_odd_is_noted_and_scored(table, tmp_path):
    folder = write_tracker(tmp_path / 'x', table)
    (folder / 'b.txt').write_text('11,20,30,40\n' * 3 + '11,20,-3,40\n')
    report = score_folder(folder, table, FOLDER, 'x')
    assert report.complete
    assert notes_text(report) == (
        'x has 1 results that are odd, e.g. b.txt has boxes without area: '
        'line 4 is [11.0, 20.0, -3.0, 40.0]'
    )
    write_report(report, tmp_path / 'x.json')
    assert read_report(tmp_path / 'x.json').notes == report.notes


def test_a_tracker_without_any_result_has_no_numbers(table, tmp_path):
    (tmp_path / 'a.txt').write_text('')
    report = score_folder(tmp_path, table, FOLDER, 'x')
    assert len(report.unscored) == 3 and report.overall.metrics == {}
    last = summary_table([report]).splitlines()[-1]
    assert last.split() == ['x', '(partial:', '0', 'of', '3', 'sequences)', '0']


def test_a_broken_annotation_is_no_reason_to_stop(table, tmp_path):
    folder = write_tracker(tmp_path / 'x', table)
    table[1] = dataclasses.replace(table[1], visible=np.ones(4, bool))

    class Broken(SequenceList):
        def __getitem__(self, index):
            if index == 0:
                raise ValueError('a has 4 frames but 9 annotated boxes')
            return super().__getitem__(index)

        def name(self, index):
            return 'abc'[index]

    report = score_folder(folder, Broken(table), FOLDER, 'x')
    assert report.unscored == {'a': 'a has 4 frames but 9 annotated boxes'}
    assert report.overall.sequences == 2


def test_sequences_without_annotation_have_files_but_no_numbers(tmp_path):
    table = make_table('a', 'b', first_only=True)
    table.append(make_sequence(still_boxes(4), 'c'))
    report = score_folder(write_results(tmp_path, table), table, FOLDER, 'x')
    assert report.complete
    assert report.overall.sequences == 1
    assert [bool(score.metrics) for score in report.sequences] == [False, False, True]
    report = score_folder(tmp_path, SequenceList(table[:2]), PROTOCOLS['trackingnet'], 'x')
    assert (report.complete, report.overall.metrics, report.overall.curves) == (True, {}, {})
    assert '2, not annotated' in summary_table([report])
    assert plot_curves([report], tmp_path / 'x') == []


def test_got10k_counts_frames_and_has_times(tmp_path):
    table = SequenceList()
    for name, frames, cover in (('a', 5, [1, 1, 1, 0, 1]), ('b', 3, [1, 0, 0])):
        boxes = write_frames(tmp_path / name, [f'{i + 1:08d}.jpg' for i in range(frames)], 1)
        sequence = make_sequence(boxes, name, cover=np.array(cover, float))
        paths = [str(tmp_path / name / frame) for frame in sequence.frames]
        table.append(dataclasses.replace(sequence, frames=paths, attributes=('move',)))
    write_results(tmp_path / 'x', table, 'got10k')
    boxes = table[0].boxes_xywh.copy()
    boxes[2, 0] += 50  # of the three frames that count in a, one is lost
    write_result(tmp_path / 'x', 'a', Result(boxes, np.full(5, 0.5)), 'got10k')
    report = score_folder(tmp_path / 'x', table, GOT10K, 'x')
    assert report.overall.metrics == pytest.approx(
        {'AO': 200 / 3, 'SR_0.5': 200 / 3, 'SR_0.75': 200 / 3}
    )
    assert report.attributes[0].metrics == report.overall.metrics
    assert report.sequences[1].metrics == {}  # no frame of b counts
    assert report.frames_per_second == pytest.approx(8 / (5 * 0.5 + 3 * 0.125))
    assert len(report.overall.curves['success'].values) == 101
    figure = draw_curves([report], 'success')
    assert figure.axes[0].get_legend().get_texts()[0].get_text() == 'x [66.7]'
    assert draw_curves([report], 'precision') is None


def test_tables_of_one_and_of_several_trackers(report, table, tmp_path):
    other = score_folder(write_tracker(tmp_path / 'y', table, shift=1), table, FOLDER, 'y')
    lines = [line.split() for line in sequence_table([report]).splitlines()]
    assert lines[2] == ['c', '4', '23.81', '25.00', '25.00']  # worst first
    assert [line[0] for line in lines[2:]] == ['c', 'b', 'a']
    assert len(sequence_table([report], most=2).splitlines()) == 4
    lines = [line.split() for line in attribute_table([report, other]).splitlines()]
    assert lines[2] == ['Blur', '2', '71.43', '47.62']
    assert [line.split()[0] for line in summary_table([report, other]).splitlines()[2:]] == [
        'x',
        'y',
    ]


def test_plots_show_every_tracker_with_its_number_best_first(report, table, tmp_path):
    other = score_folder(write_tracker(tmp_path / 'y', table, shift=1), table, FOLDER, 'y')
    files = plot_curves([other, report], tmp_path / 'plots' / 'all')
    assert [path.name for path in files] == [
        'all_success.png',
        'all_precision.png',
        'all_norm_precision.png',
    ]
    for path in files:
        picture = cv2.imread(str(path))
        assert picture.shape[0] > 400
        for color in ((180, 119, 31), (14, 127, 255)):  # BGR, of the first two trackers
            assert (picture == color).all(axis=2).sum() > 300
    (axes,) = draw_curves([other, report], 'success').axes
    assert axes.get_title() == 'Success on folder'
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ['x [55.6]', 'y [39.7]']  # 7/12 and 5/12 of 20/21
    best, worse = axes.get_lines()
    assert (worse.get_color(), best.get_color()) == (FIRST_COLOR, SECOND_COLOR)
    np.testing.assert_allclose(best.get_xdata(), np.arange(21) / 20)
    np.testing.assert_allclose(best.get_ydata(), [7 / 12] * 20 + [0])
    (axes,) = draw_curves([other, report], 'precision', 'Blur').axes
    assert axes.get_title() == 'Precision on folder: Blur (2)'
    assert axes.get_legend().get_texts()[0].get_text() == 'x [75.0]'
    assert draw_curves([report], 'success', 'Rotation') is None
