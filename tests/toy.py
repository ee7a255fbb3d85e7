"""A model, data set and metric of a few numbers, for tests of what surrounds them.

``write_config`` makes a config that uses them with the runtime settings of the real configs, so
these tests run the same hooks, loaders and tools as a tracker does.
"""

from __future__ import annotations

import uuid
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmtrack.registry import DATASETS, METRICS, MODELS
from torch import Tensor, nn
from torch.utils.data import Dataset

ROOT = Path(__file__).resolve().parents[1]


@MODELS.register_module()
class ToyModel(BaseModel):
    """Two linear layers that regress one number from four."""

    def __init__(self, hidden: int = 8, depth: int = 1, drop: float = 0.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.blocks = nn.ModuleList(
            nn.Linear(4 if i == 0 else hidden, hidden) for i in range(depth)
        )
        self.drop = nn.Dropout(drop)
        self.head = nn.Linear(hidden, 1)

    def forward(self, inputs: Tensor, target: Tensor, mode: str = 'tensor') -> Tensor | dict | list:
        for block in self.blocks:
            inputs = block(inputs).tanh()
        output = self.head(self.drop(inputs))
        if mode == 'loss':
            self.dtype_in_loss = output.dtype
            return dict(loss=(output.float() - target).square().mean())
        return [dict(error=error) for error in (output - target).abs()]


@DATASETS.register_module()
class ToyDataset(Dataset):
    """Eight samples that depend on nothing but their index."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        inputs = torch.sin(torch.arange(4) + 10.0 * index)
        return dict(inputs=inputs, target=inputs.sum(dim=0, keepdim=True))


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Mean absolute error; may be told a folder for results, as SOTMetric."""

    def __init__(self, outfile_prefix: str | None = None) -> None:
        super().__init__()
        self.outfile_prefix = outfile_prefix

    def process(self, data_batch: dict, data_samples: list[dict]) -> None:
        self.results += [sample['error'].item() for sample in data_samples]

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return dict(count=len(results), error=sum(results) / len(results))


def write_config(folder: Path, batch_size: int = 2, epochs: int = 2, **settings) -> Path:
    """Write a config for training, validating and testing the toy model.

    Args:
        folder: Where to; ``work_dir`` is set to a folder in it.
        batch_size: Samples per process and step.
        epochs: Epochs of training.
        settings: Further settings, merged into the config.

    Returns:
        The path of the config file.
    """
    loader = dict(
        batch_size=batch_size,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='ToyDataset'),
        collate_fn=dict(type='default_collate'),
    )
    cfg = Config(
        dict(
            _base_=[str(ROOT / 'configs' / '_base_' / 'default_runtime.py')],
            custom_imports=dict(imports=['mmtrack_mixformerv2', 'toy'], allow_failed_imports=False),
            model=dict(type='ToyModel'),
            train_dataloader=loader,
            val_dataloader=loader,
            test_dataloader=loader,
            val_evaluator=dict(type='ToyMetric'),
            test_evaluator=dict(type='ToyMetric'),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            val_cfg=dict(),
            test_cfg=dict(),
            optim_wrapper=dict(
                type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.01)
            ),
            param_scheduler=dict(type='LinearLR', start_factor=0.1, end=3),
            work_dir=str(folder / 'work_dir'),
            # Two runs in one process must not share their logs.
            experiment_name=uuid.uuid4().hex,
        )
    )
    cfg.merge_from_dict(settings)
    path = folder / f'toy_{cfg.experiment_name}.py'
    cfg.dump(path)
    return path
