"""What MMEngine's runner needs to train and test on current packages, with and without a GPU."""

from .checkpoint_loader import load_from_http, load_from_local
from .cpu_distributed import CPUDistributedDataParallel, init_cpu_process_group
from .launching import (
    add_run_arguments,
    build_runner,
    check_test,
    check_training,
    read_config,
    use_launcher,
    use_learning_rate_scaling,
    use_mixed_precision,
    use_resume,
)
from .optim_wrapper import BFloat16OptimWrapper
from .result_folder_hook import ResultFolderHook
from .strict_load_hook import StrictLoadHook
from .train_seed_hook import TrainSeedHook

__all__ = [
    'BFloat16OptimWrapper',
    'CPUDistributedDataParallel',
    'ResultFolderHook',
    'StrictLoadHook',
    'TrainSeedHook',
    'add_run_arguments',
    'build_runner',
    'check_test',
    'check_training',
    'init_cpu_process_group',
    'load_from_http',
    'load_from_local',
    'read_config',
    'use_launcher',
    'use_learning_rate_scaling',
    'use_mixed_precision',
    'use_resume',
]
