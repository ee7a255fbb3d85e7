"""From uint8 crops to what the network reads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmtrack.models import TrackDataPreprocessor
from mmtrack.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class CropDataPreprocessor(TrackDataPreprocessor):
    """Normalises crops, and leaves whole frames alone.

    mmtrack's preprocessor turns every frame into float before the tracker crops it. Here a frame
    stays uint8 on the host until the tracker has cut out the small part that it needs; only
    training crops are stacked, moved to the device and normalised.

    Args:
        mean: Mean of the R, G, B channels, 0 to 255.
        std: Standard deviation of the R, G, B channels.
        bgr_to_rgb: Whether frames and crops are BGR, as mmcv loads them.
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], bgr_to_rgb: bool = True
    ) -> None:
        super().__init__(mean=mean, std=std, bgr_to_rgb=bgr_to_rgb)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Training data: crops become one normalised, contiguous ``(N, T, 3, h, w)`` per input.

        They come as a list of uint8 ``(T, 3, h, w)``, or stacked already by ``stack_crops``. The
        annotations of training data stay on the host: losses move the few numbers that they need.
        Test data, one frame at a time, passes untouched.
        """
        if not training:
            return data
        inputs = {name: self._prepare(crops) for name, crops in data['inputs'].items()}
        return dict(inputs=inputs, data_samples=data['data_samples'])

    def _prepare(self, crops: Tensor | Sequence[Tensor]) -> Tensor:
        stacked = crops if isinstance(crops, Tensor) else torch.stack(list(crops))
        stacked = self.cast_data(stacked).contiguous()
        return self.scale(stacked.flip(-3) if self.channel_conversion else stacked)

    def scale(self, crops: Tensor) -> Tensor:
        """Normalise RGB uint8 crops ``(..., 3, h, w)``."""
        # Bytes are put in order before they become floats, and the floats are not copied again.
        scaled = crops.contiguous().to(self.mean.dtype, copy=True)
        return scaled.sub_(self.mean).div_(self.std)
