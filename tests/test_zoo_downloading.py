"""Downloads from a server that does what servers and networks do."""

from __future__ import annotations

import hashlib
import resource
import signal
import socket

import pytest
from file_server import Answer, FileServer, serve

from mmtrack_mixformerv2.zoo import DownloadError, Patience, RemoteFile, StorageError, download

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SIZE = len(CONTENT)
PATIENCE = Patience(attempts=3, timeout=10, pause=0)


@pytest.fixture
def server() -> FileServer:
    with serve() as server:
        server.files['weights.pth'] = CONTENT
        yield server


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')


def remote(*urls: str) -> RemoteFile:
    return RemoteFile('model', urls, hashlib.sha256(CONTENT).hexdigest(), SIZE)


def fetch(server, path, *urls, patience=PATIENCE) -> bytes:
    """What is at the destination after a download."""
    urls = urls or [server.url('weights.pth')]
    assert download(remote(*urls), path, progress=False, patience=patience) == path
    assert sorted(one.name for one in path.parent.iterdir()) == [path.name]
    return path.read_bytes()


def ranges(server) -> list[str | None]:
    return [headers.get('Range') for _, headers in server.requests]


def test_the_file_gets_its_name_when_it_is_whole(server, tmp_path):
    assert fetch(server, tmp_path / 'a.pth') == CONTENT
    assert ranges(server) == [None]


def test_a_cut_connection_goes_on_where_it_ended(server, tmp_path):
    server.answers += [Answer(cut=300_000), Answer(cut=200_000)]
    assert fetch(server, tmp_path / 'a.pth') == CONTENT
    assert ranges(server) == [None, 'bytes=300000-', 'bytes=500000-']
    etags = [headers.get('If-Range') for _, headers in server.requests]
    assert etags[0] is None and etags[1] == etags[2] == f'"{hashlib.md5(CONTENT).hexdigest()}"'
    assert server.sent == SIZE


def test_a_later_call_goes_on_where_the_first_one_gave_up(server, tmp_path):
    server.answers += [Answer(cut=400_000), Answer(status=503), Answer(status=500)]
    with pytest.raises(
        DownloadError, match=r'HTTP 500.*3 attempts[\s\S]*0\.4 of 1\.0 MiB are kept'
    ):
        fetch(server, tmp_path / 'a.pth')
    assert not (tmp_path / 'a.pth').exists()
    assert fetch(server, tmp_path / 'a.pth') == CONTENT
    assert ranges(server)[-1] == 'bytes=400000-'
    assert server.sent == SIZE


def test_a_server_without_ranges_sends_everything_again(server, tmp_path):
    server.answers += [Answer(cut=300_000), Answer(ranges=False)]
    assert fetch(server, tmp_path / 'a.pth') == CONTENT
    assert server.sent == SIZE + 300_000


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, tmp_path):
    server.answers += [Answer(body=b'x' * SIZE, cut=300_000)]
    assert fetch(server, tmp_path / 'a.pth') == CONTENT
    assert ranges(server) == [None, 'bytes=300000-']  # and If-Range made the server send it whole
    assert server.sent == SIZE + 300_000


def test_pieces_of_two_versions_are_noticed_without_validators(server, tmp_path):
    server.answers += [
        Answer(body=b'x' * SIZE, cut=300_000, validators=False),
        Answer(validators=False),
    ]
    assert fetch(server, tmp_path / 'a.pth') == CONTENT
    assert ranges(server) == [None, 'bytes=300000-', None]


@pytest.mark.parametrize('found', ['bytes 0-1048575/1048576', 'bytes 300000-400000/*', None])
def test_another_range_than_was_asked_for_is_not_appended(server, tmp_path, found):
    length = str(SIZE - 300_000)
    odd = Answer(headers={'Content-Range': found, 'Content-Length': length})
    server.answers += [Answer(cut=300_000), odd]
    assert fetch(server, tmp_path / 'a.pth') == CONTENT
    assert ranges(server) == [None, 'bytes=300000-', None]


def test_a_part_that_the_server_does_not_know_is_dropped(server, tmp_path):
    server.answers += [Answer(cut=300_000), Answer(status=416)]
    assert fetch(server, tmp_path / 'a.pth') == CONTENT
    (tmp_path / 'b.pth.part').write_bytes(CONTENT + b'more')
    (tmp_path / 'a.pth').unlink()
    assert fetch(server, tmp_path / 'b.pth') == CONTENT


def test_wrong_bytes_never_get_the_name(server, tmp_path):
    server.files['weights.pth'] = b'x' * SIZE
    with pytest.raises(DownloadError, match='SHA-256.*another file'):
        fetch(server, tmp_path / 'a.pth')
    assert not [path for path in tmp_path.iterdir() if path.suffix == '.pth']
    assert len(server.requests) == 1


@pytest.mark.parametrize('length', [0, SIZE - 1, SIZE + 1, 10**15])
def test_a_wrong_length_is_refused_and_keeps_the_part(server, tmp_path, length):
    wrong = Answer(ranges=False, headers={'Content-Length': str(length)})
    server.answers += [Answer(cut=300_000), wrong]
    with pytest.raises(DownloadError, match=f'announces {length} bytes, expected {SIZE}'):
        fetch(server, tmp_path / 'a.pth')
    assert (tmp_path / 'a.pth.part').stat().st_size == 300_000


@pytest.mark.parametrize('more', [1, 5 * SIZE])
def test_more_than_announced_is_not_written(server, tmp_path, more):
    server.answers += [Answer(body=CONTENT + b'x' * more, headers={'Content-Length': None})]
    with pytest.raises(DownloadError, match=f'sends more than the {SIZE} bytes'):
        fetch(server, tmp_path / 'a.pth')
    assert all(path.stat().st_size < 1000 for path in tmp_path.iterdir())


def test_a_length_need_not_be_announced(server, tmp_path):
    server.answers += [
        Answer(cut=300_000, headers={'Content-Length': None}),
        Answer(headers={'Content-Length': None}),
    ]
    assert fetch(server, tmp_path / 'a.pth') == CONTENT
    assert server.sent == SIZE


def test_a_web_page_in_its_place_keeps_the_part(server, tmp_path):
    page = Answer(body=b'<html>log in', headers={'Content-Type': 'text/html; charset=utf-8'})
    server.answers += [Answer(cut=300_000), page]
    with pytest.raises(DownloadError, match='web page'):
        fetch(server, tmp_path / 'a.pth')
    assert fetch(server, tmp_path / 'a.pth') == CONTENT
    assert server.sent == SIZE + len(page.body)


def test_compressed_answers_are_refused(server, tmp_path):
    server.answers += [Answer(headers={'Content-Encoding': 'gzip'})]
    with pytest.raises(DownloadError, match='Content-Encoding gzip'):
        fetch(server, tmp_path / 'a.pth')


def test_a_mirror_that_has_it_not_is_asked_once(server, tmp_path):
    urls = [server.url('not-here.pth'), server.url('weights.pth')]
    assert fetch(server, tmp_path / 'a.pth', *urls) == CONTENT
    assert [path for path, _ in server.requests] == ['/not-here.pth', '/weights.pth']


def test_another_mirror_goes_on_with_the_part_of_the_first(server, tmp_path):
    server.files['copy.pth'] = CONTENT
    server.answers += [Answer(cut=300_000), *[Answer(status=502)] * 2]
    urls = [server.url('weights.pth'), server.url('copy.pth')]
    assert fetch(server, tmp_path / 'a.pth', *urls) == CONTENT
    path, headers = server.requests[-1]
    assert (path, headers['Range']) == ('/copy.pth', 'bytes=300000-')
    assert 'If-Range' not in headers  # the validator is the other server's


def test_a_mirror_with_another_file_leaves_the_work_to_the_next(server, tmp_path):
    server.files['old.pth'] = b'x' * SIZE
    urls = [server.url('old.pth'), server.url('weights.pth')]
    assert fetch(server, tmp_path / 'a.pth', *urls) == CONTENT


def test_a_silent_server_is_left_after_the_timeout(server, tmp_path):
    server.answers += [Answer(cut=300_000, hang=True)]
    patience = Patience(attempts=2, timeout=0.3, pause=0)
    assert fetch(server, tmp_path / 'a.pth', patience=patience) == CONTENT
    assert ranges(server) == [None, 'bytes=300000-']


def test_no_server_says_what_to_do(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        url = f'http://127.0.0.1:{taken.getsockname()[1]}/weights.pth'
    with pytest.raises(DownloadError) as failed:
        download(remote(url), tmp_path / 'a.pth', progress=False, patience=PATIENCE)
    text = str(failed.value)
    assert url in text and 'refused' in text and 'MIXFORMERV2_MIRRORS' in text
    assert 'mixformerv2 download model --from FILE' in text


def test_a_full_disk_keeps_what_was_written(server, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        with pytest.raises(StorageError, match=r'no room for a\.pth\.part.*0\.5 MiB are kept'):
            fetch(server, tmp_path / 'a.pth')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (tmp_path / 'a.pth.part').stat().st_size == 500_000
    assert fetch(server, tmp_path / 'a.pth') == CONTENT
    assert ranges(server)[-1] == 'bytes=500000-'


def test_what_can_never_fit_is_not_begun(server, tmp_path):
    huge = RemoteFile('model', [server.url('weights.pth')], '0' * 64, 10**18)
    with pytest.raises(StorageError, match=r'MiB left.*make room, or choose another folder'):
        download(huge, tmp_path / 'a.pth', progress=False, patience=PATIENCE)
    assert not server.requests


def test_damaged_notes_do_not_matter(server, tmp_path):
    (tmp_path / 'a.pth.part').write_bytes(CONTENT[:1000])
    (tmp_path / 'a.pth.part.json').write_bytes(b'\xff{')
    assert fetch(server, tmp_path / 'a.pth') == CONTENT
    assert ranges(server) == ['bytes=1000-']
