"""Packages whose versions matter, and combinations of them that are known not to work.

The rules are data. To add one, add an entry to :data:`RULES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .findings import Status

ANY = 'any'  # installed, in whatever version
ABSENT = 'absent'
SEVERAL = 'several'  # several distributions that bring the same module


@dataclass(frozen=True)
class Package:
    """A package as it is imported, and the distributions that bring it."""

    module: str
    distributions: tuple[str, ...]


PACKAGES = {
    'torch': Package('torch', ('torch',)),
    'torchvision': Package('torchvision', ('torchvision',)),
    'numpy': Package('numpy', ('numpy',)),
    'opencv': Package(
        'cv2',
        (
            'opencv-python',
            'opencv-python-headless',
            'opencv-contrib-python',
            'opencv-contrib-python-headless',
        ),
    ),
    'mmengine': Package('mmengine', ('mmengine', 'onedl-mmengine')),
    'mmcv': Package('mmcv', ('mmcv-lite', 'mmcv', 'onedl-mmcv')),
    'mmdet': Package('mmdet', ('mmdet', 'onedl-mmdetection')),
    'mmcls': Package('mmcls', ('mmcls',)),
    'mmtrack': Package('mmtrack', ('mmtrack',)),
    'setuptools': Package('setuptools', ('setuptools',)),
    'pkg_resources': Package('pkg_resources', ()),  # a part of setuptools
    'onnx': Package('onnx', ('onnx',)),
    'onnxscript': Package('onnxscript', ('onnxscript',)),
    'onnxruntime': Package(
        'onnxruntime', ('onnxruntime', 'onnxruntime-gpu', 'onnxruntime-openvino')
    ),
    'openvino': Package('openvino', ('openvino',)),
    'nncf': Package('nncf', ('nncf',)),
    'tensorrt': Package('tensorrt', ('tensorrt',)),
    'gradio': Package('gradio', ('gradio',)),
    'vot-toolkit': Package('vot', ('vot-toolkit',)),
    'attributee': Package('attributee', ('attributee',)),
}


@dataclass(frozen=True)
class Rule:
    """A combination that is known to be bad.

    Attributes:
        name: For scripts.
        when: Package -> condition: version specifiers as pip writes them, or ``ANY``, ``ABSENT``,
            ``SEVERAL``. All must hold. ``python`` is the interpreter.
        status: How bad it is.
        reason: What happens.
        remedy: The command that ends it.
    """

    name: str
    when: Mapping[str, str]
    status: Status
    reason: str
    remedy: str


_PIP = 'python -m pip install'
SECOND_STEP = f'{_PIP} --no-deps mmtrack==1.0.0rc1 mmcv-lite==2.1.0'
_FULL = f'{_PIP} "mmtrack-mixformerv2[full]"\n{SECOND_STEP}'

RULES = (
    Rule(
        'python-old',
        {'python': '<3.10'},
        Status.PROBLEM,
        'the package is written for Python 3.10 and later',
        'make an environment with Python 3.11: python3.11 -m venv .venv',
    ),
    Rule(
        'python-new',
        {'python': '>=3.14'},
        Status.WARNING,
        'OpenMMLab was never tried with this Python; 3.10 to 3.13 are known to work',
        'make an environment with Python 3.11: python3.11 -m venv .venv',
    ),
    Rule(
        'client-only',
        {'mmengine': ABSENT, 'mmtrack': ABSENT},
        Status.NOTE,
        'OpenMMLab is not installed: exported models can be run, checkpoints cannot',
        _FULL,
    ),
    Rule(
        'mmengine-missing',
        {'mmengine': ABSENT, 'mmtrack': ANY},
        Status.PROBLEM,
        'mmtrack stands on mmengine, which is missing',
        _FULL,
    ),
    Rule(
        'torch-missing',
        {'torch': ABSENT, 'mmengine': ANY},
        Status.PROBLEM,
        'torch is missing, and OpenMMLab stands on it',
        f'{_PIP} "torch>=2.6"',
    ),
    Rule(
        'torch-old',
        {'torch': '<2.6'},
        Status.PROBLEM,
        'safe reading of checkpoints needs torch 2.6',
        f'{_PIP} "torch>=2.6"',
    ),
    Rule(
        'mmtrack-missing',
        {'mmtrack': ABSENT, 'mmengine': ANY},
        Status.PROBLEM,
        'mmtrack is installed in a second step, without its dependencies: its metadata pins '
        'versions that no current Python can install',
        f'{_PIP} --no-deps mmtrack==1.0.0rc1',
    ),
    Rule(
        'mmtrack-other',
        {'mmtrack': '!=1.0.0rc1'},
        Status.PROBLEM,
        'this package is written for mmtrack 1.0.0rc1; 0.x has another programming interface',
        f'{_PIP} --no-deps mmtrack==1.0.0rc1',
    ),
    Rule(
        'mmcv-missing',
        {'mmcv': ABSENT, 'mmengine': ANY},
        Status.PROBLEM,
        'mmcv is missing; mmcv-lite will do, without a compiler',
        f'{_PIP} --no-deps mmcv-lite==2.1.0',
    ),
    Rule(
        'mmcv-other',
        {'mmcv': '<2.0.1'},
        Status.PROBLEM,
        'mmdet 3 needs mmcv 2; 2.0.1 to 2.2 are known to work',
        f'{_PIP} --no-deps mmcv-lite==2.1.0',
    ),
    Rule(
        'mmcv-twice',
        {'mmcv': SEVERAL},
        Status.WARNING,
        'several distributions of mmcv are installed into the same folder; what is imported is a '
        'mixture of their files',
        f'python -m pip uninstall -y mmcv-lite mmcv onedl-mmcv\n{_PIP} --no-deps mmcv-lite==2.1.0',
    ),
    Rule(
        'mmdet-missing',
        {'mmdet': ABSENT, 'mmengine': ANY},
        Status.PROBLEM,
        'mmtrack stands on mmdet, which is missing',
        f'{_PIP} mmdet==3.0.0rc4',
    ),
    Rule(
        'mmdet-rc6',
        {'mmdet': '>=3.0.0rc6'},
        Status.PROBLEM,
        'from 3.0.0rc6 on, mmdet has no Transformer any more, and mmtrack cannot be imported',
        f'{_PIP} mmdet==3.0.0rc4',
    ),
    Rule(
        'mmdet-rc5',
        {'mmdet': '>=3.0.0rc5,<3.0.0rc6'},
        Status.WARNING,
        'mmdet 3.0.0rc5 renames CLASSES, so parts of mmtrack (not those used here) fail',
        f'{_PIP} mmdet==3.0.0rc4',
    ),
    Rule(
        'mmdet-old',
        {'mmdet': '<3.0.0rc4'},
        Status.PROBLEM,
        'mmtrack 1.0.0rc1 is known to work with mmdet 3.0.0rc4 only',
        f'{_PIP} mmdet==3.0.0rc4',
    ),
    Rule(
        'mmcls-missing',
        {'mmcls': ABSENT, 'mmengine': ANY},
        Status.PROBLEM,
        'mmtrack imports mmcls, which is missing',
        f'{_PIP} mmcls==1.0.0rc6',
    ),
    Rule(
        'mmcls-other',
        {'mmcls': '!=1.0.0rc6'},
        Status.WARNING,
        'mmtrack was never tried with this mmcls; 1.0.0rc6 is known to work',
        f'{_PIP} mmcls==1.0.0rc6',
    ),
    Rule(
        'mmengine-old',
        {'mmengine': '<0.10.7'},
        Status.PROBLEM,
        'earlier versions of mmengine do not read their own checkpoints on torch 2.6',
        f'{_PIP} "mmengine>=0.10.7,<0.11"',
    ),
    Rule(
        'mmengine-new',
        {'mmengine': '>=0.11'},
        Status.WARNING,
        'this package replaces parts of mmengine 0.10 and was never tried with this version',
        f'{_PIP} "mmengine>=0.10.7,<0.11"',
    ),
    Rule(
        'mmengine-twice',
        {'mmengine': SEVERAL},
        Status.WARNING,
        'two distributions of mmengine are installed into the same folder',
        f'python -m pip uninstall -y onedl-mmengine mmengine\n{_PIP} "mmengine>=0.10.7,<0.11"',
    ),
    Rule(
        'pkg-resources',
        {'mmengine': ANY, 'pkg_resources': ABSENT},
        Status.PROBLEM,
        'mmengine 0.10 imports pkg_resources, which setuptools from 81 on may lack',
        f'{_PIP} "setuptools<81"',
    ),
    Rule(
        'setuptools-81',
        {'mmengine': ANY, 'setuptools': '>=81', 'pkg_resources': ANY},
        Status.WARNING,
        'mmengine 0.10 needs pkg_resources and distutils, which setuptools from 81 on removes',
        f'{_PIP} "setuptools<81"',
    ),
    Rule(
        'numpy-missing',
        {'numpy': ABSENT},
        Status.PROBLEM,
        'NumPy is missing; nothing works without it',
        f'{_PIP} "numpy>=2.0"',
    ),
    Rule(
        'numpy-1',
        {'numpy': '<2.0'},
        Status.PROBLEM,
        'mmtrack uses np.bool, which NumPy 1.24 to 1.26 lacks',
        f'{_PIP} "numpy>=2.0"',
    ),
    Rule(
        'opencv-missing',
        {'opencv': ABSENT},
        Status.PROBLEM,
        'OpenCV is missing; nothing works without it',
        f'{_PIP} opencv-python',
    ),
    Rule(
        'opencv-twice',
        {'opencv': SEVERAL},
        Status.WARNING,
        'several distributions of OpenCV are installed into the same folder; the last one that '
        'was installed decides whether there are windows',
        'python -m pip uninstall -y opencv-python opencv-python-headless opencv-contrib-python '
        f'opencv-contrib-python-headless\n{_PIP} opencv-python',
    ),
    Rule(
        'onnxruntime-twice',
        {'onnxruntime': SEVERAL},
        Status.WARNING,
        'several distributions of ONNX Runtime are installed into the same folder; the GPU is '
        'used only if onnxruntime-gpu was the last one',
        f'python -m pip uninstall -y onnxruntime onnxruntime-gpu\n{_PIP} onnxruntime',
    ),
    Rule(
        'onnxruntime-old',
        {'onnxruntime': '<1.20'},
        Status.WARNING,
        'exported models were never tried with this ONNX Runtime',
        f'{_PIP} "onnxruntime>=1.20"',
    ),
    Rule(
        'openvino-old',
        {'openvino': '<2024.6'},
        Status.WARNING,
        'exported models were never tried with this OpenVINO',
        f'{_PIP} "openvino>=2024.6"',
    ),
    Rule(
        'nncf-old',
        {'nncf': '<2.14'},
        Status.WARNING,
        'quantization was never tried with this NNCF',
        f'{_PIP} "nncf>=2.14"',
    ),
    Rule(
        'attributee',
        {'vot-toolkit': ANY, 'attributee': '>=0.1.10', 'python': '>=3.11'},
        Status.WARNING,
        'with attributee 0.1.10, importing vot-toolkit raises a TypeError on Python 3.11; it is '
        'hidden from mmtrack here, and the VOT tools will not run',
        f'{_PIP} attributee==0.1.9',
    ),
    Rule(
        'vot-anchors',
        {'vot-toolkit': '>=0.8,<=0.9.0'},
        Status.WARNING,
        'this vot-toolkit stops in anchor-based experiments (VOT2020 to VOT2022)',
        f'{_PIP} vot-toolkit==0.7.4',
    ),
)
