"""What the samples of a training cost, from files to the input of the network."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from mmtrack.registry import DATASETS, MODELS
from torch.utils.data import DataLoader

from ..datasets import SampleKey
from .stark import as_stark, crop_settings, stark_dataset, stark_sampling, stark_transforms
from .timing import Stopwatch, Timing, cpu_per_sample, take_turns, wall_per_sample

STAGES = ('draw', 'decode', 'crop, resize', 'augment', 'pack', 'collate', 'normalise')
OURS, STARK = 'this config', "mmtrack's STARK"
_STAGE_OF = {  # transforms; the others augment
    'LoadFrames': 'decode',
    'LoadImageFromFile': 'decode',
    'LoadTrackAnnotations': 'draw',
    'SeqBboxJitter': 'crop, resize',
    'CropTemplatesAndSearch': 'crop, resize',
    '_CropLikeStark': 'crop, resize',
    'CheckPadMaskValidity': 'crop, resize',
    'PackTrackInputs': 'pack',
}


@dataclass(frozen=True)
class PipelineCost:
    """CPU time of one sample in one process and one thread.

    Attributes:
        stages: Milliseconds of each of :data:`STAGES`, medians over the rounds.
        transforms: The same for the single transforms.
        total: Milliseconds of all, its own median.
    """

    stages: dict[str, float]
    transforms: dict[str, float]
    total: float


@dataclass(frozen=True)
class LoaderSpeed:
    """What a data loader with processes of its own delivers.

    Attributes:
        samples_per_second: By the clock.
        main_process: CPU milliseconds per sample that the training process itself spends on
            receiving and normalising.
    """

    samples_per_second: float
    main_process: float


def fill_data(cfg: Config, root: str | Path) -> None:
    """Let a training config read sequences in GOT-10k's layout in place of its own datasets.

    Args:
        cfg: Is changed.
        root: Folder with ``annotations/got10k_train_infos.txt``, as ``render_sequences.py`` writes.
    """
    dataset = training_data(cfg)
    source = dict(
        type='GOT10kDataset',
        data_root=f'{root}/',
        ann_file='annotations/got10k_train_infos.txt',
        data_prefix=dict(img_path=''),
    )
    dataset.datasets, dataset.weights = [source], [1]


def measure_pipelines(
    cfg: Config, batch_size: int, seconds: float, baseline: bool
) -> dict[str, PipelineCost]:
    """Cost of the data pipeline by stage, in this process and one thread.

    Frames are read from the files every time; they are in the cache of the operating system after
    their first use. CPU time is counted, so other processes on the machine matter little.

    Args:
        cfg: A training config.
        batch_size: Samples per batch.
        seconds: How long to measure.
        baseline: Whether to run mmtrack's pipeline of STARK side by side, on the frames that the
            config's dataset draws.

    Raises:
        ValueError: If the config has another kind of dataset.
        FileNotFoundError: If the data is not there.
    """
    settings, preprocessor = training_data(cfg), cfg.model.data_preprocessor
    dataset = DATASETS.build(settings)
    transforms = list(dataset.pipeline.transforms)
    dataset.pipeline = Compose([])  # what is left draws frames
    lines = {OURS: _Line(transforms, _collate(cfg), MODELS.build(preprocessor), dict)}
    if baseline:
        theirs = stark_transforms(crop_settings(settings), dataset.num_templates)
        normalise = MODELS.build({**preprocessor, 'type': 'TrackDataPreprocessor'})
        lines[STARK] = _Line(theirs, pseudo_collate, normalise, as_stark)
        sampling = stark_dataset(settings, [stark_sampling(dataset.num_templates)])
    index = 0

    def draw() -> list[dict]:
        nonlocal index
        drawn = []
        while len(drawn) < batch_size:
            with lines[OURS].watch('draw'):
                results = dataset[SampleKey(0, 0, index)]
            index += 1
            if baseline and any(box is None for box in results['gt_bboxes']):
                continue  # a box that is to be made up, which STARK does not do
            drawn.append(results)
            if baseline:
                with lines[STARK].watch('draw'):
                    sampling[0]  # other frames, so only its time is of use
        return drawn

    costs = {name: [] for name in lines}
    with _one_thread():
        start = None
        while start is None or len(costs[OURS]) < 3 or time.perf_counter() - start < seconds:
            batch = draw()
            for name in list(lines)[:: -1 if len(costs[OURS]) % 2 else 1]:
                cost = lines[name].run(batch)
                if start is not None:  # the first round warms up
                    costs[name].append(cost)
            start = start or time.perf_counter()
    return {name: _summarize(rounds) for name, rounds in costs.items()}


def measure_loaders(
    cfg: Config, batch_size: int, workers: int, seconds: float, baseline: bool
) -> dict[str, LoaderSpeed]:
    """Speed of the data loader with worker processes, and what it costs the training process.

    Args:
        cfg: A training config.
        batch_size: Samples per batch.
        workers: At least 1.
        seconds: How long to measure.
        baseline: Whether to measure mmtrack's pipeline of STARK as well; each draws its own
            frames.
    """
    preprocessor = cfg.model.data_preprocessor
    common = dict(batch_size=batch_size, num_workers=workers, persistent_workers=True)
    ours = deepcopy(cfg.train_dataloader)
    ours.pop('batch_sampler', None)
    ours.update(common, drop_last=True)
    loaders = {OURS: (ours, preprocessor)}
    if baseline:
        settings = training_data(cfg)
        count = settings.get('num_templates', 2)
        steps = [stark_sampling(count), *stark_transforms(crop_settings(settings), count)]
        theirs = dict(
            common,
            drop_last=True,
            dataset=stark_dataset(settings, steps),
            sampler=dict(type='QuotaSampler', samples_per_epoch=60000),
        )
        loaders[STARK] = (theirs, {**preprocessor, 'type': 'TrackDataPreprocessor'})
    with _one_thread():
        runs = {
            name: _LoaderRun(Runner.build_dataloader(loader, seed=0), MODELS.build(normalise))
            for name, (loader, normalise) in loaders.items()
        }
        timings = take_turns(runs, seconds)
    return {
        name: LoaderSpeed(1 / wall_per_sample(rounds), 1000 * cpu_per_sample(rounds))
        for name, rounds in timings.items()
    }


class _Line:
    """A pipeline that notes what its parts take."""

    def __init__(
        self,
        transforms: Iterable[Callable],
        collate: Callable,
        preprocessor: Callable,
        prepare: Callable[[dict], dict],
    ) -> None:
        self.transforms = list(transforms)
        self.collate = collate
        self.preprocessor = preprocessor
        self.prepare = prepare
        self.spent = Counter()
        for transform in _leaves(self.transforms):
            # The instance's own attribute, so that wrappers still see what they wrap.
            transform.transform = self._watched(transform.transform, type(transform).__name__)

    @contextmanager
    def watch(self, name: str) -> Iterator[None]:
        """Note the CPU time of a block."""
        start = time.process_time()
        try:
            yield
        finally:
            self.spent[name] += time.process_time() - start

    def run(self, drawn: Iterable[Mapping]) -> dict[str, float]:
        """Make a batch of frames that were drawn; gives milliseconds per sample, by part."""
        samples = []
        for results in map(self.prepare, drawn):
            before, start = self.spent.total(), time.process_time()
            for transform in self.transforms:
                results = transform(results)
                if results is None:
                    break
            else:
                samples.append(results)
            within = self.spent.total() - before
            self.spent['wrappers'] += time.process_time() - start - within
        with self.watch('collate'):
            batch = self.collate(samples)
        with self.watch('normalise'):
            self.preprocessor(batch, True)
        cost = {name: 1000 * seconds / len(samples) for name, seconds in self.spent.items()}
        self.spent.clear()
        return cost

    def _watched(self, function: Callable, name: str) -> Callable:
        def call(results: dict) -> dict | None:
            with self.watch(name):
                return function(results)

        return call


class _LoaderRun:
    """Takes batches from a loader with workers, which go on loading meanwhile."""

    def __init__(self, loader: DataLoader, preprocessor: Callable) -> None:
        self.loader, self.preprocessor = loader, preprocessor
        self.ahead = loader.num_workers * loader.prefetch_factor
        self.iterator = iter(loader)

    def __call__(self) -> Timing:
        # What was loaded while the other loader was measured comes for nothing.
        for _ in range(self.ahead):
            self._next()
        watch, samples = Stopwatch(), 0
        for _ in range(2 * self.loader.num_workers):
            batch = self.preprocessor(self._next(), True)
            samples += len(batch['data_samples'])
        return watch.stop(samples)

    def _next(self) -> dict:
        try:
            return next(self.iterator)
        except StopIteration:
            self.iterator = iter(self.loader)
            return next(self.iterator)


def _summarize(rounds: list[dict[str, float]]) -> PipelineCost:
    """Medians over the rounds of milliseconds by part."""

    def of(part: Callable[[str], bool]) -> float:
        return median(sum(t for name, t in cost.items() if part(name)) for cost in rounds)

    names = dict.fromkeys(name for cost in rounds for name in cost)
    return PipelineCost(
        {stage: of(lambda name, stage=stage: _stage(name) == stage) for stage in STAGES},
        {name: of(lambda other, name=name: other == name) for name in names},
        of(lambda name: True),
    )


def _stage(name: str) -> str:
    return name if name in STAGES else _STAGE_OF.get(name, 'augment')


def _leaves(transforms: Iterable) -> Iterator[BaseTransform]:
    """Transforms that wrap no others."""
    for transform in transforms:
        if isinstance(transform, Iterable):
            yield from _leaves(transform)
        elif isinstance(transform, BaseTransform):
            yield transform


def _collate(cfg: Config) -> Callable:
    settings = cfg.train_dataloader.get('collate_fn', dict(type='pseudo_collate'))
    return FUNCTIONS.get(settings['type']) if isinstance(settings, dict) else settings


def training_data(cfg: Config) -> ConfigDict:
    """The settings of the training data.

    Raises:
        ValueError: If it is for another dataset class, whose samples cannot be taken apart.
    """
    dataset = cfg.train_dataloader.dataset
    if not (dataset.get('datasets') and dataset.get('pipeline')):
        raise ValueError(
            f'the training data of the config is a {dataset.get("type")}, expected a '
            'SampledTripletDataset or one of its kind, with `datasets` and a `pipeline`.'
        )
    return dataset


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV and torch in one thread each, also in processes that are forked meanwhile."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
