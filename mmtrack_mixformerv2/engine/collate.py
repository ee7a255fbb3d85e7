"""From samples to a batch that travels cheaply from a loading process to the training."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence

import torch
from mmengine.registry import FUNCTIONS
from torch import Tensor


@FUNCTIONS.register_module()
def stack_crops(samples: Sequence[dict]) -> dict:
    """Collate training samples into what :class:`CropDataPreprocessor` reads.

    mmengine's ``pseudo_collate`` leaves a batch as it was drawn: hundreds of small tensors, each of
    which becomes a shared file that the training process has to map. Here the crops of a batch are
    one tensor per input, stacked by the loading process, and annotations travel by value.

    Args:
        samples: As :class:`PackTrackInputs` packs them: ``inputs`` with crops ``(T, 3, h, w)``,
            and ``data_samples``.

    Returns:
        ``inputs`` with contiguous ``(N, T, 3, h, w)`` tensors, and the list ``data_samples``.

    Raises:
        ValueError: If the crops of the samples differ in size or number.
    """
    inputs = {}
    for name in samples[0]['inputs']:
        crops = [sample['inputs'][name] for sample in samples]
        if len(shapes := {tuple(crop.shape) for crop in crops}) > 1:
            raise ValueError(
                f'{name} has the shapes {sorted(shapes)} in one batch, expected one; every sample '
                'needs crops of the same size and number.'
            )
        inputs[name] = torch.stack(crops).contiguous()
    return dict(inputs=inputs, data_samples=SampleList(s['data_samples'] for s in samples))


class SampleList(list):
    """A list whose tensors are sent to another process by value, not as shared files."""

    def __reduce__(self) -> tuple[Callable, tuple]:
        buffer = io.BytesIO()
        _ValuePickler(buffer, protocol=5).dump(list(self))
        return _load_samples, (buffer.getvalue(),)


def _load_samples(content: bytes) -> SampleList:
    return SampleList(pickle.loads(content))


class _ValuePickler(pickle.Pickler):
    def reducer_override(self, value):
        if isinstance(value, Tensor) and value.device.type == 'cpu':
            return torch.from_numpy, (value.numpy(),)
        return NotImplemented
