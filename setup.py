from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def version() -> str:
    text = (ROOT / 'mmtrack_mixformerv2' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '(.+)'$", text, re.MULTILINE).group(1)


def requirements() -> list[str]:
    """Everything but mmtrack and mmcv, which a second step installs without dependencies."""
    lines = (ROOT / 'requirements.txt').read_text(encoding='utf-8').splitlines()
    return [line for line in lines if line and not line.startswith('#')]


# What a client needs that runs an exported model, and what each extra adds to it.
CLIENT = [line for line in requirements() if re.match('(numpy|opencv-python)', line)]
EXTRAS = {
    'full': requirements(),
    'onnx': ['onnxruntime>=1.20'],
    'openvino': ['openvino>=2024.6'],
    'export': [
        'onnx>=1.17',
        'onnxscript>=0.5',
        'onnxruntime>=1.20',
        'openvino>=2024.6',
        'nncf>=2.14',
    ],
}


def readme() -> str:
    path = ROOT / 'README.md'
    return path.read_text(encoding='utf-8') if path.exists() else ''


setup(
    name='mmtrack-mixformerv2',
    version=version(),
    description='MixFormerV2 single object tracking for MMTracking 1.x on current PyTorch',
    long_description=readme(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mmtrack_mixformerv2', 'mmtrack_mixformerv2.*']),
    package_data={'mmtrack_mixformerv2': ['datasets/data/*.csv']},
    install_requires=CLIENT,
    extras_require=EXTRAS,
    classifiers=[
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
)
