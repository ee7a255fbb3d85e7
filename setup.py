from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PACKAGE = 'mmtrack_mixformerv2'
# Where mim looks for them in an installed package, and mmtrack_mixformerv2.zoo too.
RESOURCES = '.mim'


class BuildWithResources(build_py):
    """Copies configs, tools, weights and the model index into the wheel, beside the modules.

    An editable installation needs no copies: there the package lies in the repository.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / PACKAGE / RESOURCES
        shutil.rmtree(target, ignore_errors=True)  # of an earlier build
        ignored = shutil.ignore_patterns('__pycache__', '*.py[cod]', '*.log')
        for name in ('configs', 'tools', 'weights'):
            shutil.copytree(ROOT / name, target / name, ignore=ignored)
        shutil.copy(ROOT / 'model-index.yml', target)


def version() -> str:
    text = (ROOT / 'mmtrack_mixformerv2' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '(.+)'$", text, re.MULTILINE).group(1)


def requirements(name: str = 'requirements.txt') -> list[str]:
    """Everything but mmtrack and mmcv, which a second step installs without dependencies."""
    lines = (ROOT / name).read_text(encoding='utf-8').splitlines()
    return [line for line in lines if line and not line.startswith('#')]


# What a client needs that runs an exported model and downloads it, and what each extra adds to it.
CLIENT = [
    line for line in requirements() if re.match('numpy|opencv-python|PyYAML|tqdm|filelock', line)
]
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
    'demo': ['gradio>=6.31', 'matplotlib'],
    'docs': requirements('requirements-docs.txt'),
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
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    py_modules=['mixformerv2_cli'],
    # Below any folder: tables, and the parts of pages.
    package_data={
        PACKAGE: ['py.typed', '**/*.csv', '**/*.json', '**/*.html', '**/*.css', '**/*.js']
    },
    cmdclass={'build_py': BuildWithResources},
    entry_points={'console_scripts': ['mixformerv2 = mixformerv2_cli:main']},
    install_requires=CLIENT,
    extras_require=EXTRAS,
    classifiers=[
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
)
