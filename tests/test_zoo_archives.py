"""Archives that want to write elsewhere, or everywhere."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from mmtrack_mixformerv2.zoo import ArchiveError, extract_archive

FILES = {'template.onnx': b'a' * 1000, 'parts/search.onnx': b'b' * 2000}


def write_zip(path: Path, files: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def write_tar(path: Path, files: dict[str, bytes], **kinds: dict) -> Path:
    """Files, and entries of other kinds: name to attributes of the entry."""
    with tarfile.open(path, 'w:gz') as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, attributes in kinds.items():
            info = tarfile.TarInfo(name)
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.addfile(info)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob('*') if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refuse(archive: Path, match: str, max_bytes: int = 10**6) -> None:
    """Nothing may be left but the archive."""
    folder = archive.parent / 'inside' / 'model'
    folder.parent.mkdir()
    outside = set(archive.parent.rglob('*'))
    with pytest.raises(ArchiveError, match=match):
        extract_archive(archive, folder, max_bytes=max_bytes)
    assert set(archive.parent.rglob('*')) == outside


@pytest.mark.parametrize('write', [write_zip, write_tar])
def test_folders_and_files_come_out(tmp_path, write):
    archive = write(tmp_path / 'archive', FILES)
    assert extract_archive(archive, tmp_path / 'model', max_bytes=3000) == tmp_path / 'model'
    assert contents(tmp_path / 'model') == FILES
    assert {path.name for path in tmp_path.iterdir()} == {'archive', 'model'}
    plain = tmp_path / 'plain'
    plain.mkdir()
    assert (tmp_path / 'model').stat().st_mode == plain.stat().st_mode


def test_the_only_folder_of_an_archive_is_the_model(tmp_path):
    archive = write_zip(tmp_path / 'a.zip', {f'tiny/{name}': b for name, b in FILES.items()})
    inner = extract_archive(archive, tmp_path / 'model', max_bytes=3000)
    assert inner == tmp_path / 'model' / 'tiny' and contents(inner) == FILES


@pytest.mark.parametrize(
    'name', ['/evil', '../evil', 'a/../../evil', '..', 'C:\\evil', '..\\evil', 'C:evil']
)
@pytest.mark.parametrize('write', [write_zip, write_tar])
def test_paths_that_lead_out_are_refused(tmp_path, write, name):
    refuse(write(tmp_path / 'archive', {'good': b'1', name: b'2'}), 'leads out of its folder')


@pytest.mark.parametrize(
    'attributes',
    [
        {'type': tarfile.SYMTYPE, 'linkname': '/etc/passwd'},
        {'type': tarfile.SYMTYPE, 'linkname': 'good'},
        {'type': tarfile.LNKTYPE, 'linkname': 'good'},
        {'type': tarfile.LNKTYPE, 'linkname': '../../evil'},
        {'type': tarfile.CHRTYPE, 'devmajor': 1, 'devminor': 3},
        {'type': tarfile.BLKTYPE},
        {'type': tarfile.FIFOTYPE},
    ],
)
def test_links_and_devices_of_tar_files_are_refused(tmp_path, attributes):
    archive = write_tar(tmp_path / 'a.tar', {'good': b'1'}, odd=attributes)
    refuse(archive, r"'odd', a (link|special file); expected folders and plain files")


@pytest.mark.parametrize('kind', [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_of_zip_files_are_refused(tmp_path, kind):
    archive = write_zip(tmp_path / 'a.zip', {'odd': b'/etc'}, {'odd': kind | 0o777})
    refuse(archive, 'expected folders and plain files only')


def test_a_folder_that_is_a_link_at_first_is_no_way_out(tmp_path):
    with tarfile.open(tmp_path / 'a.tar', 'w') as archive:
        link = tarfile.TarInfo('sub')
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo('sub/evil'))
    refuse(tmp_path / 'a.tar', 'a link')


@pytest.mark.parametrize('write', [write_zip, write_tar])
def test_bombs_are_refused(tmp_path, write):
    archive = write(tmp_path / 'archive', {'a': bytes(600_000), 'b': bytes(600_000)})
    assert archive.stat().st_size < 10_000
    refuse(archive, r'unpacks to more than 1\.0 MiB')


def test_a_zip_that_lies_about_its_sizes_is_stopped(tmp_path):
    archive = write_zip(tmp_path / 'a.zip', {'a': bytes(600_000)})
    data = archive.read_bytes().replace((600_000).to_bytes(4, 'little'), (10).to_bytes(4, 'little'))
    archive.write_bytes(data)
    refuse(archive, 'cannot be unpacked|unpacks to more', max_bytes=1000)


def test_names_that_differ_in_capitals_are_refused(tmp_path):
    refuse(write_zip(tmp_path / 'a.zip', {'a/B': b'1', 'a/b': b'2'}), "has 'a/b' twice")


@pytest.mark.parametrize('write', [write_zip, write_tar])
def test_damage_is_explained(tmp_path, write):
    archive = write(tmp_path / 'archive', {'a': bytes(range(256)) * 400})
    data = bytearray(archive.read_bytes())
    data[60:90] = bytes(30)
    archive.write_bytes(data)
    refuse(archive, 'cannot be unpacked.*fetch it again')


@pytest.mark.parametrize('content', [b'', b'hello', b'\x1f\x8b', b'PK\x03\x04'])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / 'archive').write_bytes(content)
    refuse(tmp_path / 'archive', 'cannot be unpacked')


def test_a_folder_that_exists_is_left_alone(tmp_path):
    (tmp_path / 'model').mkdir()
    with pytest.raises(FileExistsError, match='exists'):
        extract_archive(write_zip(tmp_path / 'a.zip', FILES), tmp_path / 'model', max_bytes=9999)
    assert not contents(tmp_path / 'model')
