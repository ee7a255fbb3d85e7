"""Rendered sequences: labels that follow from the pixels, the same bytes everywhere, the layout."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmtrack.datasets import GOT10kDataset
from tools_loader import load_tool

from mmtrack_mixformerv2.datasets.annotated_got10k import AnnotatedGOT10kDataset
from mmtrack_mixformerv2.synthetic.difficulty import PRESETS, make_difficulty
from mmtrack_mixformerv2.synthetic.hiding import MAX_HIDDEN, MIN_HIDDEN, plan_hidings
from mmtrack_mixformerv2.synthetic.objects import make_object
from mmtrack_mixformerv2.synthetic.scene import Scene
from mmtrack_mixformerv2.synthetic.sequence import RenderedSequence, cover_class, render_sequence
from mmtrack_mixformerv2.synthetic.sprites import draw_object
from mmtrack_mixformerv2.synthetic.textures import (
    find_photographs,
    load_photographs,
    photograph_texture,
    random_texture,
)
from mmtrack_mixformerv2.synthetic.writer import (
    SPLIT_STARTS,
    RenderSettings,
    write_dataset,
)

SIZE = (128, 96)
FRAMES = 20


@pytest.fixture(autouse=True, scope='module')
def one_thread():
    """As the writer does: pictures this small only lose by being shared between threads."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


@pytest.fixture(scope='module')
def hard(one_thread) -> list[RenderedSequence]:
    return [render_sequence(7, i, 'hard', 30, SIZE) for i in range(12)]


def files_of(folder: Path) -> dict[str, str]:
    """Relative path -> digest of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def small_settings(seed: int = 3, quality: int = 85) -> RenderSettings:
    return RenderSettings(
        seed, PRESETS['medium'], dict(train=FRAMES, val=FRAMES + 4), SIZE, quality=quality
    )


# Pictures and labels


def test_a_sequence_depends_on_its_name_only():
    first = render_sequence(1, 5, 'medium', FRAMES, SIZE)
    render_sequence(1, 6, 'hard', 3, SIZE)
    again = render_sequence(1, 5, 'medium', FRAMES, SIZE)
    for before, after in zip(first, again):
        np.testing.assert_array_equal(before, after)
    for seed, index in ((1, 6), (2, 5), (1, 5 + SPLIT_STARTS['val'])):
        other = render_sequence(seed, index, 'medium', FRAMES, SIZE)
        assert not np.array_equal(first.boxes_xywh, other.boxes_xywh)


def test_frames_can_be_rendered_in_any_order():
    scene = Scene(1, 5, make_difficulty('hard'), FRAMES, SIZE)
    backwards = [scene.frame(t) for t in reversed(range(FRAMES))][::-1]
    forwards = render_sequence(1, 5, 'hard', FRAMES, SIZE)
    np.testing.assert_array_equal(np.stack([image for image, *_ in backwards]), forwards.frames)


def test_labels_agree_with_each_other(hard):
    cover = np.concatenate([sequence.cover for sequence in hard])
    absence = np.concatenate([sequence.absence for sequence in hard])
    boxes = np.concatenate([sequence.boxes_xywh for sequence in hard])
    cut = np.concatenate([sequence.cut_by_image for sequence in hard])
    assert set(cover) >= {0, 8} and cover.min() >= 0 and cover.max() <= 8
    assert 0.02 < absence.mean() < 0.5 and 0 < cut.mean() < 1
    np.testing.assert_array_equal(absence, cover == 0)
    assert (boxes[:, :2] >= 0).all() and (
        boxes[:, :2] + boxes[:, 2:] <= np.array(SIZE) + 1e-9
    ).all()
    is_empty = (boxes[:, 2:] <= 0).any(axis=1)
    assert is_empty.any() and (boxes[is_empty] == 0).all() and absence[is_empty].all()


def test_the_first_frame_shows_the_target(hard):
    assert min(sequence.cover[0] for sequence in hard) >= 7


def test_box_is_tight_round_the_silhouette():
    """Against the pixels with at least half coverage, which end within a pixel of the outline."""
    errors = []
    for index in range(25):
        scene = Scene(11, index, make_difficulty('hard', blur=0), FRAMES, (320, 240))
        for t in (0, 9, 19):
            patch = scene.target.draw(t)
            rows, columns = np.nonzero(patch.image[..., 3] >= 128)
            pixels = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            errors.append(np.array(pixels) + [patch.left, patch.top] * 2 - patch.box)
    errors = np.array(errors)
    assert np.percentile(np.abs(errors), 98) < 0.9 and np.abs(errors).max() < 2
    assert (np.abs(errors.mean(axis=0)) < 0.1).all()  # neither too large nor too small


def test_cover_counts_visible_pixels():
    """Seen pixels found by painting the target in two colours into otherwise equal frames."""
    checked = 0
    for index in range(12):
        options = make_difficulty('hard', blur=0, noise=0, illumination=0, leaving=0)
        scene = Scene(4, index, options, 24, SIZE)
        scene.shadow = (scene.shadow[0], 0.0)
        for t in (6, 12, 18):
            _, _, share, _ = scene.frame(t)
            bright, dark = (paint_target(scene, t, value) for value in (255, 0))
            seen = (bright.astype(float) - dark).sum() / 3 / 255
            whole = scene.target.draw(t).image[..., 3].sum() / 255
            assert share == pytest.approx(seen / whole, abs=0.03)
            checked += 0.05 < share < 0.95
    assert checked >= 4  # partly hidden ones were among them


def paint_target(scene: Scene, t: int, value: int) -> np.ndarray:
    """Frame ``t`` with every part of the target in one gray level."""
    for part in scene.target.thing.parts:
        for sprite in part.sprites:
            sprite[..., :3] = (sprite[..., 3:].astype(int) * value // 255).astype(np.uint8)
    return scene.frame(t)[0]


@pytest.mark.parametrize(
    'seen, expected',
    [(0, 0), (0.01, 0), (0.1, 1), (0.15, 1), (0.16, 2), (0.5, 4), (0.9, 6), (0.91, 7), (1, 8)],
)
def test_cover_class(seen, expected):
    assert cover_class(seen) == expected


# Difficulty


def spread(name: str, value: float, measure) -> float:
    """A measure of ten sequences that differ from a still, plain one in a single option."""
    still = dict(motion=0, scale=0, aspect=0, rotation=0, deformation=0, occlusion=0, leaving=0)
    still |= dict(distractors=0, blur=0, illumination=0, clutter=0, camera=0, noise=0)
    options = make_difficulty('medium', **{**still, name: value})
    return float(
        np.mean([measure(render_sequence(9, i, options, FRAMES, SIZE)) for i in range(10)])
    )


def path_length(sequence):
    centres = sequence.boxes_xywh[:, :2] + sequence.boxes_xywh[:, 2:] / 2
    return np.linalg.norm(np.diff(centres, axis=0), axis=1).sum()


def size_change(sequence):
    sizes = np.sqrt(sequence.boxes_xywh[:, 2] * sequence.boxes_xywh[:, 3])
    return np.log(sizes.max() / sizes.min())


def shape_change(sequence):
    ratios = sequence.boxes_xywh[:, 2] / sequence.boxes_xywh[:, 3]
    return np.log(ratios.max() / ratios.min())


def hidden(sequence):
    return 1 - sequence.cover.mean() / 8


def sharpness(sequence):
    return np.mean([cv2.Laplacian(frame, cv2.CV_32F).var() for frame in sequence.frames])


def corner_change(sequence):
    """Largest change over time of the mean gray level of one corner."""
    means = sequence.frames[:, :20, :20].mean(axis=(1, 2, 3))
    return np.ptp(means)


@pytest.mark.parametrize(
    'name, low, high, measure, factor',
    [
        ('motion', 0.02, 0.2, path_length, 3),
        ('scale', 0.05, 0.8, size_change, 3),
        ('aspect', 0.05, 0.8, shape_change, 1.5),
        ('rotation', 2, 90, shape_change, 2),
        ('occlusion', 0, 1, hidden, 2),
        ('leaving', 0, 1, hidden, 2),
        ('illumination', 0.01, 1, corner_change, 3),
        ('camera', 0, 1, corner_change, 2),
        ('clutter', 0, 1, sharpness, 1.1),
        ('noise', 0, 20, sharpness, 1.5),
        ('distractors', 0, 8, sharpness, 1.05),
    ],
)
def test_option_makes_it_harder(name, low, high, measure, factor):
    assert spread(name, high, measure) > factor * spread(name, low, measure) + 1e-6


def test_blur_takes_detail_away():
    moving = dict(motion=0.3, camera=1, noise=0, occlusion=0, distractors=0)
    sharp, blurred = (
        np.mean(
            [
                sharpness(render_sequence(9, i, make_difficulty(blur=blur, **moving), FRAMES, SIZE))
                for i in range(10)
            ]
        )
        for blur in (0, 1)
    )
    assert blurred < 0.9 * sharp


def test_deformation_bends_a_soft_object_and_its_box():
    stiff = next(
        make_object([s], [s], 30) for s in range(20) if make_object([s], [s], 30, wobble=1).wobble
    )
    soft = next(thing for s in range(20) if (thing := make_object([s], [s], 30, wobble=0.3)).wobble)
    matrix = np.array([[30.0, 0, 50], [0, 30, 50]])
    for thing, moves in ((stiff, False), (soft, True)):
        boxes = np.stack([draw_object(thing, matrix, clock).box for clock in (0.0, 1.5, 3.0)])
        assert (np.ptp(boxes, axis=0).max() > 0.5) == moves


def test_objects_share_shape_or_texture():
    matrix = np.array([[30.0, 0, 50], [0, 30, 50]])
    first, repainted, reshaped = (
        draw_object(make_object([shape], [paint], 30), matrix)
        for shape, paint in ((1, 2), (1, 3), (4, 2))
    )
    np.testing.assert_allclose(first.box, repainted.box)
    assert not np.array_equal(first.image[..., :3], repainted.image[..., :3])
    assert first.image.shape != reshaped.image.shape or not np.array_equal(
        first.image[..., 3], reshaped.image[..., 3]
    )


@pytest.mark.parametrize(
    'preset, overrides, message',
    [
        ('brutal', {}, "'brutal' is unknown; choose from easy, medium, hard"),
        ('easy', dict(speed=1), 'no option speed; choose from motion'),
        ('easy', dict(motion=-1), 'motion=-1 but a difficulty option is a number >= 0'),
        ('easy', dict(noise=float('nan')), 'noise=nan'),
        ('easy', dict(occlusion=1.5), 'occlusion=1.5 but it lies between 0 and 1'),
        ('easy', dict(distractors=1.5), 'whole number'),
        ('easy', dict(size_min=0.5, size_max=0.2), 'size_min <= size_max'),
    ],
)
def test_wrong_difficulty(preset, overrides, message):
    with pytest.raises(ValueError, match=message):
        make_difficulty(preset, **overrides)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(seed=-1), 'seed=-1'),
        (dict(index=-1), 'index=-1'),
        (dict(num_frames=0), 'num_frames=0'),
        (dict(size=(320, 10)), '64 x 64'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        render_sequence(**{**dict(seed=0, index=0), **arguments})


# Targets that disappear

# Frame 9 of `render_sequence(3, 4, PRESET, 24, (128, 96))`: box, cover and mean colour, as they
# were before there was `hiding`.
PRESET_FRAMES = {
    'easy': ([77.094, 9.027, 20.098, 10.897], 8, [100.58, 75.7, 65.79]),
    'medium': ([77.515, 6.574, 14.905, 8.521], 8, [101.03, 73.02, 60.63]),
    'hard': ([74.314, 1.838, 11.336, 7.371], 8, [90.61, 65.23, 60.62]),
}


@pytest.mark.parametrize('preset', PRESET_FRAMES)
def test_older_presets_are_as_they_were(preset):
    """Rendered sets can be made again, and resumed, whatever options are added."""
    sequence, (box, cover, colour) = render_sequence(3, 4, preset, 24, SIZE), PRESET_FRAMES[preset]
    np.testing.assert_allclose(sequence.boxes_xywh[9], box, atol=1e-3)
    assert sequence.cover[9] == cover
    # Of all pixels; another release of OpenCV may round a few of them in another way.
    np.testing.assert_allclose(sequence.frames[9].mean(axis=(0, 1)), colour, atol=0.05)
    settings = RenderSettings(3, PRESETS[preset], dict(train=24, val=24), SIZE)
    assert 'hiding' not in settings.as_record([])['difficulty']


@pytest.mark.parametrize('frames, size', [(80, (320, 240)), (24, (256, 192))])
def test_targets_disappear_when_planned_and_come_back(frames, size):
    kinds = set()
    for index in range(4):
        sequence = render_sequence(5, index, 'occlusion', frames, size)
        (plan,) = plan_hidings(np.random.default_rng([5, index, 150]), frames, 1)
        kinds.add(plan.leaves)
        assert MIN_HIDDEN <= plan.stop - plan.start <= MAX_HIDDEN
        assert sequence.absence[plan.start : plan.stop].all()
        assert sequence.cover[0] >= 7
        assert sequence.cover[plan.stop :].max() >= (7 if frames == 80 else 1)
        assert sequence.cover[: plan.start].max() == 8
    assert kinds == {False, True}


def test_hiding_changes_nothing_before_it():
    shown = render_sequence(5, 1, make_difficulty('occlusion', hiding=0), 60, SIZE)
    hidden = render_sequence(5, 1, 'occlusion', 60, SIZE)
    (plan,) = plan_hidings(np.random.default_rng([5, 1, 150]), 60, 1)
    assert plan.leaves and plan.start > 15
    np.testing.assert_array_equal(shown.frames[:5], hidden.frames[:5])
    np.testing.assert_array_equal(shown.boxes_xywh[-1], hidden.boxes_xywh[-1])


def test_short_sequences_hide_nothing():
    assert plan_hidings(np.random.default_rng(0), 19, 1.0) == []
    assert plan_hidings(np.random.default_rng(0), 60, 0.0) == []
    plans = plan_hidings(np.random.default_rng(0), 240, 1.0)
    assert len(plans) == 4
    assert all(a.stop + 10 < b.start for a, b in zip(plans, plans[1:]))


# Textures


def test_photographs_change_the_textures(tmp_path):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'b.png'), picture)
    cv2.imwrite(str(tmp_path / 'a.png'), picture[::-1])
    (tmp_path / 'notes.txt').write_text('not a picture')
    paths = find_photographs(tmp_path)
    assert [path.name for path in paths] == ['a.png', 'b.png']
    photographs = load_photographs(paths)
    np.testing.assert_array_equal(photographs[1], picture)
    piece = photograph_texture(np.random.default_rng(1), 40, 60, photographs[0])
    assert piece.shape == (40, 60, 3) and piece.dtype == np.uint8
    plain, photographic = (
        render_sequence(0, 0, 'easy', 2, SIZE, given) for given in ((), photographs)
    )
    assert not np.array_equal(plain.frames, photographic.frames)


def test_large_photographs_are_reduced(tmp_path):
    cv2.imwrite(str(tmp_path / 'large.png'), np.zeros((300, 1280, 3), np.uint8))
    assert load_photographs([tmp_path / 'large.png'])[0].shape == (150, 640, 3)


def test_textures_are_diverse():
    textures = [random_texture(np.random.default_rng(i), 40, 60) for i in range(30)]
    assert all(t.shape == (40, 60, 3) and t.dtype == np.uint8 for t in textures)
    means = np.stack([t.mean(axis=(0, 1)) for t in textures])
    assert means.std(axis=0).min() > 15
    assert np.median([t.std() for t in textures]) > 10


def test_missing_and_broken_photographs(tmp_path):
    with pytest.raises(FileNotFoundError, match='no photographs in .*expected a folder'):
        find_photographs(tmp_path)
    (tmp_path / 'broken.jpg').write_bytes(b'no picture')
    with pytest.raises(ValueError, match='broken.jpg is not an image'):
        load_photographs(find_photographs(tmp_path))


# Files


@pytest.fixture(scope='module')
def dataset(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('rendered') / 'data'
    report = write_dataset(out, small_settings(), dict(train=4, val=2), progress=False)
    assert (report.rendered, report.kept) == (6, 0)
    assert report.frames == 4 * FRAMES + 2 * (FRAMES + 4)
    return out


def test_files_and_lists(dataset):
    folder = dataset / 'train' / 'synthetic_train_000003'
    rendered = render_sequence(3, 2, 'medium', FRAMES, SIZE)
    boxes = np.loadtxt(folder / 'groundtruth.txt', delimiter=',')
    np.testing.assert_allclose(boxes, rendered.boxes_xywh, atol=1e-4)
    for name in ('absence', 'cover', 'cut_by_image'):
        labels = np.loadtxt(folder / f'{name}.label', dtype=int)
        np.testing.assert_array_equal(labels, np.asarray(getattr(rendered, name), int))
    assert len(list(folder.glob('*.jpg'))) == FRAMES
    frame = cv2.imread(str(folder / '00000001.jpg'))
    assert np.abs(frame.astype(int) - rendered.frames[0]).mean() < 6  # JPEG
    assert 'resolution: (128, 96)' in (folder / 'meta_info.ini').read_text()
    names = [f'synthetic_val_{i:06d}' for i in (1, 2)]
    assert (dataset / 'val' / 'list.txt').read_text().split() == names
    info = (dataset / 'annotations' / 'got10k_val_infos.txt').read_text().split('\n')
    assert info[1:] == [f'val/{name},val/{name}/groundtruth.txt,1,{FRAMES + 4}' for name in names]
    assert not list(dataset.rglob('.*'))  # nothing temporary is left


def test_loads_in_mmtrack(dataset):
    train = GOT10kDataset(
        ann_file=str(dataset / 'annotations' / 'got10k_train_infos.txt'),
        data_prefix=dict(img_path=str(dataset)),
        pipeline=[],
        test_mode=False,
    )
    assert len(train) == 4
    for i in range(4):
        rendered = render_sequence(3, i, 'medium', FRAMES, SIZE)
        annotations = train.get_ann_infos_from_video(i)
        boxes = rendered.boxes_xywh
        expected = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        np.testing.assert_allclose(annotations['bboxes'], expected, atol=3e-4)
        np.testing.assert_array_equal(annotations['visible'], rendered.cover > 0)
        np.testing.assert_allclose(annotations['visible_ratio'], rendered.cover / 8)
        images = train.get_img_infos_from_video(i)
        assert images['video_length'] == FRAMES
        assert all(Path(path).is_file() for path in images['img_paths'])


def test_truth_of_every_frame_reaches_a_test(dataset):
    val = AnnotatedGOT10kDataset(
        ann_file=str(dataset / 'annotations' / 'got10k_val_infos.txt'),
        data_prefix=dict(img_path=str(dataset)),
        pipeline=[],
        test_mode=True,
    )
    rendered = render_sequence(3, SPLIT_STARTS['val'] + 1, 'medium', FRAMES + 4, SIZE)
    x, y, w, h = rendered.boxes_xywh[-1]
    sample = val[1, FRAMES + 3]
    np.testing.assert_allclose(sample['instances'][0]['bbox'], [x, y, x + w, y + h], atol=3e-4)


def test_workers_do_not_change_a_byte(dataset, tmp_path):
    report = write_dataset(
        tmp_path / 'data', small_settings(), dict(train=4, val=2), workers=2, progress=False
    )
    assert report.rendered == 6
    assert files_of(tmp_path / 'data') == files_of(dataset)


def test_resuming_keeps_what_is_complete(tmp_path):
    out = tmp_path / 'data'
    write_dataset(out, small_settings(), dict(train=2, val=0), progress=False)
    whole = files_of(out / 'train')
    kept = out / 'train' / 'synthetic_train_000002' / '00000001.jpg'
    stamp = kept.stat().st_mtime_ns
    first = out / 'train' / 'synthetic_train_000001'
    first.rename(out / 'train' / '.synthetic_train_000001-interrupted')
    report = write_dataset(out, small_settings(), dict(train=3, val=0), progress=False)
    assert (report.rendered, report.kept) == (2, 1)
    assert kept.stat().st_mtime_ns == stamp
    now = files_of(out / 'train')
    names = [name for name in whole if name != 'list.txt']
    assert {name: now[name] for name in names} == {name: whole[name] for name in names}
    assert len((out / 'train' / 'list.txt').read_text().split()) == 3
    assert not list((out / 'train').glob('.*'))


def test_other_settings_are_refused(dataset):
    before = files_of(dataset)
    with pytest.raises(ValueError, match='other settings .quality: 85 on disk, 70 asked for'):
        write_dataset(dataset, small_settings(quality=70), dict(train=9), progress=False)
    with pytest.raises(ValueError, match='seed: 3 on disk, 4 asked for'):
        write_dataset(dataset, small_settings(seed=4), dict(train=9), progress=False)
    assert files_of(dataset) == before


def test_strange_folders_are_refused(tmp_path):
    (tmp_path / 'thesis.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='not empty and was not made by this renderer'):
        write_dataset(tmp_path, small_settings(), dict(train=1), progress=False)
    with pytest.raises(FileExistsError, match='thesis.txt is a file'):
        write_dataset(tmp_path / 'thesis.txt', small_settings(), dict(train=1), progress=False)
    assert files_of(tmp_path).keys() == {'thesis.txt'}


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(frames=dict(train=10, val=60)), '10 frames per sequence of train; expected at least'),
        (dict(frames=dict(train=24)), 'one number for each of train, val'),
        (dict(quality=0), 'quality=0'),
        (dict(seed=-2), 'seed=-2'),
        (dict(size=(32, 240)), 'at least 64 x 64'),
    ],
)
def test_wrong_settings(changes, message):
    good = dict(seed=0, difficulty=PRESETS['easy'], frames=dict(train=24, val=60))
    with pytest.raises(ValueError, match=message):
        RenderSettings(**{**good, **changes})


def test_tool(tmp_path, capsys):
    main = load_tool('render_sequences').main
    out = tmp_path / 'data'
    command = ['--out', str(out), '--train', '1', '--size', '64', '64', '--train-frames', '20']
    assert main([*command, '--difficulty', 'easy', '--rotation', '45']) == 0
    assert 'frames/s' in capsys.readouterr().out
    settings = json.loads((out / 'settings.json').read_text())
    assert settings['difficulty']['rotation'] == 45
    assert settings['difficulty']['motion'] == PRESETS['easy'].motion
    assert set(settings['photographs']) == {path.name for path in find_photographs()}
    assert main([*command, '--difficulty', 'hard']) == 2
    assert 'other settings' in capsys.readouterr().err
    assert main([*command, '--photos', str(tmp_path / 'nowhere')]) == 2
    assert 'no photographs in' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(['--out', str(out)])
    assert 'nothing to render' in capsys.readouterr().err
