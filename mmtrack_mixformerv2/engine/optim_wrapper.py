"""Mixed precision that also works on a CPU: MMEngine's ``AmpOptimWrapper`` insists on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmtrack.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Computes losses under bfloat16 autocast, on whatever device the model is.

    bfloat16 has the range of float32, so the loss needs no scaling and there is no state beside
    the optimizer's: a run may be resumed with or without mixed precision. The weights stay float32.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enable autocast beside what :class:`OptimWrapper` does for gradient accumulation."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield
