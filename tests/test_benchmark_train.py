"""The benchmark runs through, counts what it should, and measures the pipelines as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmtrack.registry import DATASETS
from tools_loader import load_tool

from mmtrack_mixformerv2.benchmark import memory, pipeline, stark, step, timing
from mmtrack_mixformerv2.datasets import SampleKey

ROOT = Path(__file__).resolve().parents[1]
MICRO = ROOT / 'configs' / 'mixformerv2' / 'tiny'
# Boxes that stay well inside of the crops, and nothing at random that only one pipeline has.
PLAIN = [
    dict(type='LoadFrames'),
    dict(type='JointFlip', prob=0.5),
    dict(type='CropTemplatesAndSearch', template_size=32, search_size=64, patch_size=8),
    dict(type='CropBrightness'),
    dict(type='PackTrackInputs', ref_prefix='search', num_template_frames=1),
]


@pytest.fixture(scope='module')
def tool():
    return load_tool('analysis_tools/benchmark_train')


def write_stage(folder: Path, data: Path, name: str = 'mixformerv2-micro-b_st1', **changes) -> str:
    """A stage of the micro chain with a smaller student, that reads rendered data."""
    cfg = Config.fromfile(MICRO / f'{name}.py')
    cfg.merge_from_dict({'train_dataloader.batch_size': 2, **changes})
    pipeline.fill_data(cfg, data)
    path = folder / 'stage.py'
    cfg.dump(path)
    return str(path)


def source(data: Path) -> dict:
    """A dataset that reads rendered data."""
    return dict(
        type='GOT10kDataset',
        data_root=str(data),
        ann_file='annotations/got10k_train_infos.txt',
        data_prefix=dict(img_path=''),
    )


def fails(tool, capsys, *arguments) -> str:
    """Run the tool, which has to stop with an error; gives the message."""
    with pytest.raises(SystemExit) as stop:
        tool.main([str(argument) for argument in arguments])
    return capsys.readouterr().err if stop.value.code == 2 else str(stop.value)


def test_all_tables_are_printed_and_written(tool, capsys, tmp_path, rendered):
    """With the teacher and weights of the chain, none of which exists."""
    path, out = write_stage(tmp_path, rendered), tmp_path / 'numbers.json'
    tool.main(
        [path, '--seconds', '0.01', '--baseline-pipeline', '--workers', '1', '--json', str(out)]
    )
    printed = capsys.readouterr().out
    for text in ('decode', "mmtrack's STARK", 'data loader, 1 worker', 'without a teacher',
                 'step busy', 'step / (student + teacher)'):  # fmt: skip
        assert text in printed
    assert 'Loading GOT10k' not in printed
    numbers = json.loads(out.read_text())
    assert numbers['batch_size'] == 2
    for cost in numbers['pipeline']['single_process'].values():
        stages = cost['stages']
        assert list(stages) == list(pipeline.STAGES)
        assert min(stages[name] for name in ('draw', 'decode', 'crop, resize', 'pack')) > 0
        assert sum(cost['transforms'].values()) == pytest.approx(sum(stages.values()), rel=0.5)
    assert numbers['pipeline']['loader'].keys() == numbers['pipeline']['single_process'].keys()
    assert [speed['samples_per_second'] > 0 for speed in numbers['step'].values()] == [True] * 2
    peak = numbers['memory']
    assert peak['step'] > peak['student'] > peak['teacher'] > 0
    assert peak['ratio'] == pytest.approx(peak['step'] / (peak['student'] + peak['teacher']))


def test_without_a_teacher_or_a_baseline_there_is_nothing_to_compare(
    tool, capsys, tmp_path, rendered
):
    path = write_stage(tmp_path, rendered, 'mixformerv2-micro-b_st3-score')
    tool.main([path, '--seconds', '0.01', '--workers', '0', '--what', 'step,memory,pipeline'])
    printed = capsys.readouterr().out
    assert 'training step of the student alone' in printed
    for text in ('times', 'STARK', 'data loader', 'with the teacher'):
        assert text not in printed


def test_missing_data_can_be_rendered_or_named(tool, capsys, tmp_path, rendered):
    path = write_stage(tmp_path, tmp_path / 'nowhere')
    what = ['--what', 'pipeline', '--seconds', '0.01', '--workers', '0']
    assert 'use --render or --data' in fails(tool, capsys, path, *what)
    assert 'there is no annotation file' in fails(tool, capsys, path, *what, '--data', tmp_path)
    tool.main([path, *what, '--data', str(rendered)])
    tool.main([path, *what, '--render', '--render-size', '80', '64', '--render-sequences', '2'])
    printed = capsys.readouterr().out
    assert '2 rendered sequences of 80 x 64 pixels' in printed
    assert printed.count('all but decode') == 2


def test_bad_input_is_refused_before_anything_is_measured(tool, capsys, tmp_path, rendered):
    path = write_stage(tmp_path, rendered)
    toy = tmp_path / 'toy.py'
    toy.write_text("model = dict(type='ToyModel')\ntrain_dataloader = dict(dataset=dict())\n"
                   'optim_wrapper = dict()\n')  # fmt: skip
    pipes = 'train_dataloader.dataset.pipeline=None'
    cases = [
        ('nowhere.py does not exist', 'nowhere.py'),
        ("'speed' is not among pipeline, step, memory", path, '--what', 'step,speed'),
        ("'0' is not a whole number from 1 up", path, '--batch-size', '0'),
        ("'-1' is not a whole number from 0 up", path, '--workers=-1'),
        ("'nan' is not a number above 0", path, '--seconds', 'nan'),
        ('not allowed with', path, '--render', '--data', rendered),
        ("is a 'ToyModel', expected a tracker", toy),
        ('use a training config', ROOT / 'configs/mixformerv2/mixformerv2-b_test-lasot.py'),
        ('no folder', path, '--json', tmp_path / 'no' / 'numbers.json'),
        ('expected a SampledTripletDataset', path, '--render', '--cfg-options', pipes),
        ('nowhere.py, the config of the', path, '--cfg-options', 'model.teacher=nowhere.py'),
    ]
    if not torch.cuda.is_available():
        cases.append(('torch finds no GPU', path, '--device', 'cuda'))
    for message, *arguments in cases:
        assert message in fails(tool, capsys, *arguments)
        assert 'CPU ms' not in capsys.readouterr().out


def test_help_says_what_is_printed(tool, capsys):
    with pytest.raises(SystemExit) as stop:
        tool.main(['--help'])
    assert stop.value.code == 0
    assert 'the ratio of the step to' in capsys.readouterr().out


def test_a_watched_pipeline_makes_the_samples_of_the_training(rendered):
    settings = dict(type='SampledTripletDataset', num_templates=1, datasets=[source(rendered)])
    whole = DATASETS.build({**settings, 'pipeline': PLAIN})
    drawing = DATASETS.build({**settings, 'pipeline': []})
    batches = []
    line = pipeline._Line(
        whole.pipeline.transforms, pseudo_collate, lambda batch, _: batches.append(batch), dict
    )
    keys = [SampleKey(0, 0, index) for index in range(3)]
    cost = line.run([drawing[key] for key in keys])
    assert set(cost) == {step['type'] for step in PLAIN} | {'wrappers', 'collate', 'normalise'}
    for index, key in enumerate(keys):
        inputs = whole[key]['inputs']
        assert all(torch.equal(batches[0]['inputs'][name][index], inputs[name]) for name in inputs)


@pytest.mark.parametrize('templates', [1, 3])
def test_the_baseline_makes_the_same_crops(rendered, templates):
    """Of the same frames, where nothing is drawn at random: both crop as STARK was published."""
    crop = dict(
        type='CropTemplatesAndSearch',
        template_size=32,
        search_size=64,
        center_jitter=0.0,
        scale_jitter=0.0,
    )
    packing = dict(type='PackTrackInputs', ref_prefix='search', num_template_frames=templates)
    settings = dict(
        type='SampledTripletDataset',
        num_templates=templates,
        datasets=[source(rendered)],
        pipeline=[dict(type='LoadFrames'), crop, packing],
    )
    ours = DATASETS.build(settings)
    drawing = DATASETS.build({**settings, 'pipeline': []})
    theirs = stark.stark_transforms(stark.crop_settings(settings), templates)
    for transform in pipeline._leaves(theirs):
        for name in {'prob', 'jitter_range'} & set(vars(transform)):
            setattr(transform, name, 0.0)
    for index in range(6):
        results = stark.as_stark(drawing[SampleKey(0, 0, index)])
        for transform in theirs:
            results = transform(results)
        expected = ours[SampleKey(0, 0, index)]['inputs']
        assert expected['img'].shape == (templates, 3, 32, 32)
        assert expected['search_img'].shape == (1, 3, 64, 64)
        for name, crops in expected.items():
            assert torch.equal(results['inputs'][name].float(), crops.float())


@pytest.mark.parametrize('templates', [1, 2])
def test_the_baseline_draws_as_many_templates(rendered, templates):
    data = Config(dict(datasets=[source(rendered)]))
    results = stark.stark_dataset(data, [stark.stark_sampling(templates)])[0]
    assert {len(values) for values in results.values()} == {templates + 1}


def test_memory_counts_what_exists_at_a_time():
    mebibyte = 2**20

    def build():
        kept = torch.zeros(3 * mebibyte, dtype=torch.uint8)
        discarded = torch.zeros(50 * mebibyte, dtype=torch.uint8)
        del discarded  # building is not measured

        def run():
            one = torch.zeros(10 * mebibyte, dtype=torch.uint8)
            del one
            two = torch.zeros(4 * mebibyte, dtype=torch.uint8)
            two += kept[0]

        return run

    peak = memory._peak(build, torch.device('cpu'))
    assert 13 * mebibyte <= peak < 13.1 * mebibyte


def test_the_student_without_its_teacher_is_the_plain_tracker():
    cfg = Config.fromfile(MICRO / 'mixformerv2-micro-b_st2.py')
    plain = step.without_teacher(step.without_weights(cfg.model))
    assert plain.type == 'TemplateSearchTracker'
    assert plain.losses == cfg.model.losses and plain.backbone.depth == cfg.model.backbone.depth
    assert not {'teacher', 'teacher_checkpoint', 'layer_pairs', 'distill_losses'} & set(plain)
    assert cfg.model.type == 'DistillationSOT'  # as it was


def test_nothing_is_read_from_a_checkpoint():
    pretrained = dict(type='Pretrained', checkpoint='nowhere.pth')
    model = dict(init_cfg=pretrained, parts=[dict(init_cfg=pretrained, size=3)])
    assert step.without_weights(model) == dict(parts=[dict(size=3)])
    kept = dict(init_cfg=dict(type='Normal', std=0.1))
    assert step.without_weights(kept) == kept
    assert model['init_cfg'] is pretrained


def test_measurements_take_turns():
    calls = []

    def run(name: str) -> timing.Timing:
        calls.append(name)
        return timing.Timing(2, 1.0 + len(calls), 4.0)

    timings = timing.take_turns({'a': lambda: run('a'), 'b': lambda: run('b')}, 0, min_rounds=3)
    assert calls == ['a', 'b', 'b', 'a', 'a', 'b']
    assert [len(rounds) for rounds in timings.values()] == [3, 3]
    assert timing.wall_per_sample(timings['a']) == 2.5  # of 2, 5 and 6 seconds for two samples
    assert timing.cpu_per_sample(timings['b']) == 2.0
    assert timing.times(timings['b'], timings['a']) == pytest.approx(7 / 6)  # of 3/2, 4/5, 7/6
