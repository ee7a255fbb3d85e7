"""What is written about a track can be read again, and nothing is overwritten by accident."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmtrack_mixformerv2.evaluation.box_files import read_boxes
from mmtrack_mixformerv2.outputs.recorder import Recorder
from mmtrack_mixformerv2.outputs.track_files import (
    RowFiles,
    TrackRun,
    name_files,
    read_json,
    write_json,
)
from mmtrack_mixformerv2.tracking import TargetState, TrackResult
from mmtrack_mixformerv2.tracking.sequence_tracker import EdgeDistributions
from mmtrack_mixformerv2.tracking.track_log import TrackLog

RESULTS = [
    TrackResult(np.array([1.23456, -2, 30, 4e-5]), None, False, TargetState.TRACKED),
    TrackResult(np.array([1, 2, 30, 40.0]), 0.25, True, TargetState.LOST, 0.125),
]
ABOUT = dict(source='clip.mp4', model='toy', rate=25.0, frame_size=(64, 48), ended='interrupted')


def test_rows(tmp_path):
    files = name_files(tmp_path / 'new', 'clip.v2', 1)
    with RowFiles(files) as rows:
        for result in RESULTS:
            rows.write([result])
    assert files['txt'] == [tmp_path / 'new' / 'clip.v2.txt']
    boxes = read_boxes(files['txt'][0])
    np.testing.assert_array_equal(boxes, [[1.2346, -2, 30, 0], [1, 2, 30, 40]])
    assert files['csv'][0].read_text().splitlines()[1:] == [
        '0,1,1.2346,-2.0000,30.0000,0.0000,,,tracked,0',
        '1,1,1.0000,2.0000,30.0000,40.0000,0.250000,0.125000,lost,1',
    ]


def test_json_is_read_back(tmp_path):
    path = tmp_path / 'clip.json'
    run = TrackRun(tracks=[TrackLog('target 1', RESULTS)], versions={'numpy': '2'}, **ABOUT)
    write_json(path, run)
    found = read_json(path)
    assert found.to_dict() == run.to_dict()
    assert found.frame_size == (64, 48) and found.tracks[0].states == ['tracked', 'lost']
    assert found.tracks[0].template_updates == [1]


@pytest.mark.parametrize('text', ['', '[]', '{"kind": "other"}', 'ff', '{"tracks": []}'])
def test_other_json_is_refused(tmp_path, text):
    path = tmp_path / 'clip.json'
    path.write_text(text)
    with pytest.raises(ValueError, match='clip.json is not a JSON file of `mixformerv2 track`'):
        read_json(path)
    path.write_text(json.dumps({'kind': 'mmtrack_mixformerv2 tracks', 'source': 'x'}))
    with pytest.raises(ValueError, match='is not a JSON file'):
        read_json(path)


def test_rows_that_exist_are_kept(tmp_path):
    files = name_files(tmp_path, 'clip', 2)
    files['txt'][1].write_text('mine')
    with pytest.raises(FileExistsError):
        RowFiles(files)
    assert files['txt'][1].read_text() == 'mine'
    RowFiles(files, force=True).close()
    assert files['txt'][1].read_text() == ''


class TestRecorder:
    def test_edges_are_written_on_demand(self, tmp_path):
        edges = EdgeDistributions(np.full((4, 5), 0.2), np.tile(np.arange(5.0), (4, 1)))
        result = RESULTS[1]._replace(edges=edges)
        for name, wanted in (('with', True), ('without', False)):
            with Recorder(tmp_path, name, 1, video=False, edges=wanted) as recorder:
                recorder.add(np.zeros((48, 64, 3), np.uint8), [result])
                recorder.finish(**ABOUT)
        found = read_json(tmp_path / 'with.json').tracks[0].results[0].edges
        np.testing.assert_allclose(found.positions, edges.positions)
        assert read_json(tmp_path / 'without.json').tracks[0].results[0].edges is None

    def test_nothing_is_made_before_the_first_frame(self, tmp_path):
        with Recorder(tmp_path / 'new', 'clip', 1) as recorder:
            recorder.finish(**ABOUT)
        assert recorder.written == [] and not (tmp_path / 'new').exists()

    def test_what_is_not_finished_leaves_its_rows(self, tmp_path):
        with Recorder(tmp_path, 'clip', 1) as recorder:
            assert recorder.add(np.zeros((48, 64, 3), np.uint8), RESULTS[:1]).shape == (48, 64, 3)
        assert sorted(path.name for path in tmp_path.iterdir()) == ['clip.csv', 'clip.txt']
        assert len(read_boxes(tmp_path / 'clip.txt')) == 1

    def test_the_rest_is_completed_where_the_video_cannot_be(self, tmp_path):
        with Recorder(tmp_path, 'clip', 1) as recorder:
            recorder.add(np.zeros((48, 64, 3), np.uint8), RESULTS[:1])
            recorder.video.count += 1  # as if the disk had been full
            with pytest.raises(OSError, match='holds 1 frames after writing 2'):
                recorder.finish(**ABOUT)
        assert len(read_json(tmp_path / 'clip.json').tracks[0]) == 1

    def test_a_folder_that_cannot_be_written_to(self, tmp_path):
        (tmp_path / 'file').write_text('')
        with pytest.raises(NotADirectoryError, match=r'file is a file, expected a folder'):
            Recorder(tmp_path / 'file' / 'out', 'clip', 1)
