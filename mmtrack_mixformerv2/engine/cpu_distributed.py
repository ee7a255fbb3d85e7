"""Several processes without a GPU: MMEngine sets CUDA devices whatever the backend is."""

from __future__ import annotations

from datetime import timedelta

import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmtrack.registry import MODEL_WRAPPERS
from torch import nn


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """``MMDistributedDataParallel`` for models on the CPU.

    Args:
        module: The model.
        device_ids: Ignored; MMEngine passes the number of a GPU to every wrapper of this kind.
        **kwargs: As for ``MMDistributedDataParallel``.
    """

    def __init__(self, module: nn.Module, device_ids: object = None, **kwargs) -> None:
        super().__init__(module=module, device_ids=None, **kwargs)


def init_cpu_process_group(cfg: Config, launcher: str, timeout: float | None = None) -> None:
    """Join the processes that ``torchrun`` started, over gloo; has to precede ``Runner.from_cfg``.

    Args:
        cfg: Gets the model wrapper for CPUs, unless it names one itself.
        launcher: Only ``pytorch`` works without a GPU.
        timeout: Seconds that a process waits for the others; by default as torch does.

    Raises:
        ValueError: If the launcher is another one, or the process was not started by ``torchrun``.
    """
    if launcher != 'pytorch':
        raise ValueError(
            f"--launcher {launcher} needs GPUs, and torch sees none; on CPUs use 'pytorch', which "
            'tools/dist_train.sh and tools/dist_test.sh do'
        )
    if not torch.distributed.is_torchelastic_launched():
        raise ValueError(
            "--launcher pytorch is for processes that 'torchrun' starts; use tools/dist_train.sh "
            'or tools/dist_test.sh, or leave the option out'
        )
    wrapper = dict(
        type='mmtrack.CPUDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    cfg.model_wrapper_cfg = {**wrapper, **(cfg.get('model_wrapper_cfg') or {})}
    limit = None if timeout is None else timedelta(seconds=timeout)
    torch.distributed.init_process_group('gloo', timeout=limit)
