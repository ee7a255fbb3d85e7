"""Frames come from wherever they are, videos can be read back, and what is wrong is named."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mjpeg_server import serve_frames

from mmtrack_mixformerv2.video import (
    SourceError,
    VideoFile,
    count_frames,
    open_source,
    read_frames,
    write_video,
)


def grey(height: int = 40, width: int = 60, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def write_pictures(folder, names):
    """Pictures whose grey is ten times their place in ``names``."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        cv2.imwrite(str(folder / name), grey(value=10 * index))
    return folder


def greys(source) -> list[int]:
    with open_source(source) as opened:
        return [round(float(frame.mean())) for frame in opened]


class TestWriting:
    @pytest.mark.parametrize('size', [(48, 64), (33, 47)])
    def test_a_video_is_read_back_frame_by_frame(self, tmp_path, size):
        frames = [grey(*size, value=20 * index) for index in range(7)]
        path = write_video(tmp_path / 'new' / 'clip', iter(frames), 12.5)
        assert path.stem == 'clip' and [path] == list(path.parent.iterdir())
        assert count_frames(path) == 7
        for index, frame in enumerate(read_frames(path)):
            assert abs(frame.mean() - 20 * index) < 6
        assert index == 6

    def test_a_video_that_fails_keeps_the_earlier_one(self, tmp_path):
        path = write_video(tmp_path / 'clip', [grey()])
        before = path.read_bytes()

        def broken():
            yield grey(value=200)
            raise RuntimeError('no more')

        with pytest.raises(RuntimeError, match='no more'):
            write_video(tmp_path / 'clip', broken())
        assert [path] == list(tmp_path.iterdir()) and path.read_bytes() == before

    def test_a_video_without_frames_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match='no frames for .*clip'):
            write_video(tmp_path / 'clip', [])

    def test_frames_of_two_sizes_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match='frame 1 is 50 x 40 px, expected 60 x 40'):
            write_video(tmp_path / 'clip', [grey(), grey(40, 50)])
        assert not list(tmp_path.iterdir())

    def test_a_video_that_lost_frames_is_noticed(self, tmp_path):
        file = VideoFile(tmp_path / 'clip')
        for value in (0, 100, 200):
            file.write(grey(value=value))
        file.count += 1  # as if the disk had been full
        with pytest.raises(OSError, match='holds 3 frames after writing 4; the disk may be full'):
            file.finish()
        assert not list(tmp_path.iterdir())


class TestSources:
    def test_a_video_tells_what_it_is(self, tmp_path):
        path = write_video(tmp_path / 'my clip', [grey(value=20 * i) for i in range(9)], 12.5)
        with open_source(str(path)) as source:
            assert (source.name, source.kind, source.live) == ('my_clip', 'video', False)
            assert (source.rate, source.count) == (12.5, 9)
            assert len(list(source)) == source.read == 9 and not source.missing

    def test_a_video_that_was_cut_off_lacks_frames(self, tmp_path):
        path = tmp_path / 'clip.avi'
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (160, 120))
        noise = np.random.default_rng(0)
        for _ in range(40):
            writer.write(noise.integers(0, 256, (120, 160, 3), np.uint8))
        writer.release()
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with open_source(path) as source:
            assert 10 < len(list(source)) < 30
            assert source.missing == 40 - source.read
            source.exact = False  # as of mkv, which estimates from the duration
            assert source.missing == 0

    def test_pictures_come_in_the_order_of_the_numbers_in_their_names(self, tmp_path):
        names = ['f1.png', 'f2.PNG', 'f10.png', 'f011.bmp']
        folder = write_pictures(tmp_path / 'run.7', names)
        (folder / 'notes.txt').write_text('no picture')
        assert greys(folder) == [0, 10, 20, 30] and count_frames(folder) == 4
        assert greys(str(folder / 'f1*.png')) == [0, 20]
        assert greys(tmp_path / '**' / '*.png') == [0, 20]
        assert greys(folder / 'f2.PNG') == [10]
        with open_source(folder) as source:
            assert (source.name, source.kind, source.rate) == ('run.7', 'pictures', None)
        with open_source(f'{folder}/*.png') as source:
            assert source.name == 'run.7'

    def test_a_pattern_may_name_a_video(self, tmp_path):
        write_video(tmp_path / 'clip', [grey(), grey()])
        assert count_frames(tmp_path / 'cl*') == 2

    def test_a_folder_with_brackets_is_no_pattern(self, tmp_path):
        assert greys(write_pictures(tmp_path / 'clip [1]', ['0.png'])) == [0]

    @pytest.mark.parametrize('kind', [list, np.array, iter])
    def test_arrays_are_passed_on(self, kind):
        frames = [grey(value=value) for value in (1, 2)]
        with open_source(kind(frames)) as source:
            assert source.kind == 'arrays' and source.count == (None if kind is iter else 2)
            np.testing.assert_array_equal(list(source), frames)

    def test_a_stream_is_read_to_its_end(self):
        frames = [grey(value=20 * index) for index in range(5)]
        with serve_frames(frames) as address, open_source(address) as source:
            assert (source.name, source.kind, source.live) == ('live', 'stream', True)
            assert source.count is None
            values = [round(float(frame.mean())) for frame in source]
        np.testing.assert_allclose(values, [0, 20, 40, 60, 80], atol=2)

    def test_a_file_may_be_named_by_an_address(self, tmp_path):
        path = write_video(tmp_path / 'clip', [grey(), grey()])
        with open_source(f'file://{path}') as source:
            assert not source.live and len(list(source)) == 2

    def test_a_folder_named_by_a_number_is_no_camera(self, tmp_path, monkeypatch):
        write_pictures(tmp_path / '0', ['0.png'])
        monkeypatch.chdir(tmp_path)
        assert greys('0') == [0]

    def test_after_close_there_are_no_more_frames(self, tmp_path):
        source = open_source(write_pictures(tmp_path, ['0.png', '1.png']))
        next(source)
        source.close()
        assert next(source, None) is None


class TestMistakes:
    def test_nothing_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='nowhere.*does not exist; name a video'):
            next(read_frames(tmp_path / 'nowhere'))
        with pytest.raises(FileNotFoundError, match='holds no pictures'):
            next(read_frames(tmp_path))
        with pytest.raises(FileNotFoundError, match=r'\*.png matches no pictures'):
            open_source(tmp_path / '*.png')

    def test_a_broken_picture(self, tmp_path):
        write_pictures(tmp_path, ['0.png', '1.png'])
        (tmp_path / '1.png').write_bytes(b'no picture')
        frames = read_frames(tmp_path)
        assert not next(frames).any()
        with pytest.raises(SourceError, match='1.png cannot be decoded as a picture'):
            next(frames)

    def test_no_video(self, tmp_path):
        for name, content in (('text.mp4', b'no video'), ('empty.avi', b'')):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(SourceError, match=f'{name} cannot be decoded as a video'):
                next(read_frames(tmp_path / name))

    def test_no_camera(self):
        with pytest.raises(SourceError, match='camera 97 gives no pictures'):
            open_source(97)
        with pytest.raises(SourceError, match='camera 97'):
            open_source('97')

    def test_no_stream_and_no_password_in_the_message(self):
        with pytest.raises(SourceError, match='http://127.0.0.1:9/x cannot be opened') as raised:
            open_source('http://user:secret@127.0.0.1:9/x')
        assert 'secret' not in str(raised.value)

    def test_one_frame_is_no_list_of_frames(self):
        with pytest.raises(SourceError, match=r'shape \(40, 60, 3\), expected \(frames, height'):
            open_source(grey())
