"""Looking at the samples of a training without training."""

from __future__ import annotations

import numpy as np
from mmengine.config import Config
from mmtrack.registry import DATASETS

from .identity import sample_label
from .sampled_dataset import SampledTripletDataset


def build_training_set(cfg: Config) -> SampledTripletDataset:
    """The training data of a config; its samples tell where they are padded.

    Raises:
        FileNotFoundError: If files of the data are missing.
        ValueError: If the config has other or no training data.
    """
    settings = (cfg.get('train_dataloader') or {}).get('dataset')
    if settings is None:
        raise ValueError(f'{cfg.filename} has no train_dataloader; use a training config')
    crop_step(settings).keep_padding_mask = True
    dataset = DATASETS.build(settings)
    if not isinstance(dataset, SampledTripletDataset):
        raise ValueError(
            f'the training data of {cfg.filename} is a {type(dataset).__name__}, expected a '
            'SampledTripletDataset or a ScoreTripletDataset'
        )
    return dataset


def crop_step(settings: dict) -> dict:
    """The step in the pipeline of a training set that makes the crops.

    Raises:
        ValueError: If there is not exactly one ``CropTemplatesAndSearch``.
    """
    crops = [
        step
        for step in settings.get('pipeline', ())
        if str(step.get('type')).endswith('CropTemplatesAndSearch')
    ]
    if len(crops) != 1:
        raise ValueError(
            f'the pipeline of {settings.get("type")} has {len(crops)} steps '
            'CropTemplatesAndSearch, expected 1, whose crops are looked at'
        )
    return crops[0]


def find_seed(cfg: Config) -> int:
    """The seed of the samples in a training with this config; 0 if that draws one."""
    seed = (cfg.train_dataloader.get('sampler') or {}).get('seed')
    if seed is None:
        seed = (cfg.get('randomness') or {}).get('seed')
    return seed or 0


class SampleStatistics:
    """Means over packed samples, of everything in units of the side of the search region."""

    def __init__(self) -> None:
        self.boxes: list[np.ndarray] = []
        self.labels: list[int] = []
        self.search_padding: list[float] = []
        self.template_padding: list[float] = []

    def add(self, packed: dict) -> None:
        """Count a sample."""
        sample = packed['data_samples']
        size = packed['inputs']['search_img'].shape[-1]
        self.boxes.append(sample.search_gt_instances.bboxes[0].numpy() / size)
        self.search_padding.append(float(sample.search_padding_mask.float().mean()))
        self.template_padding.append(float(sample.padding_mask.float().mean()))
        label = sample_label(sample)
        if label is not None:
            self.labels.append(label)

    def __str__(self) -> str:
        boxes = np.stack(self.boxes)
        size = (boxes[:, 2:] - boxes[:, :2]).mean(axis=0)
        centre = (boxes[:, 2:] + boxes[:, :2]).mean(axis=0) / 2
        cut = ((boxes < 0) | (boxes > 1)).any(axis=1).mean()
        text = (
            f'{len(boxes)} samples: mean box {size[0]:.1%} x {size[1]:.1%} of the search region, '
            f'mean centre ({centre[0]:.1%}, {centre[1]:.1%}), {cut:.1%} of the boxes reach out of '
            f'it; padding is {np.mean(self.search_padding):.1%} of the search regions and '
            f'{np.mean(self.template_padding):.1%} of the templates'
        )
        if self.labels:
            text += f'; {np.mean(self.labels):.1%} of the samples are positive'
        return text
