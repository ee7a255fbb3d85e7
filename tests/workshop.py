"""A folder like the one that the documents' commands are typed in, with everything small.

Commands run as they are written, in this process. What is smaller: the models of the configs, the
data sets, the trainings, and the numbers in ``SMALLER`` and ``ADDED``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import benchmark_layouts as made
import cv2
import numpy as np
import torch
from documents import ROOT, Document
from mmengine.config import Config
from mmtrack.registry import MODELS
from published import save_published, small_published
from small_tracker import lively_tracker, write_small_tracker
from tools_loader import load_tool

from mmtrack_mixformerv2.deployment.graphs import GRAPHS

TINY_TEST = 'configs/mixformerv2/mixformerv2-tiny_test-synthetic.py'
TINY_TRAIN = 'configs/mixformerv2/mixformerv2-tiny_1xb32-36e_synthetic.py'
TINY = 'weights/mixformerv2-tiny_synthetic.pth'

# Added to the end of config files: B and S get the sizes of the small published model.
_SIZES_OF_B = """
model['backbone'].update(
    search_size=64, template_size=32, embed_dims=48, depth=3, num_heads=4, mlp_ratio=2.0
)
model.setdefault('box_head', {}).update(in_channels=48, num_bins=16)
model.setdefault('score_head', {}).update(in_channels=48)
"""
SMALL_CONFIGS = {
    'models/mixformerv2-b.py': _SIZES_OF_B,
    'models/mixformerv2-s.py': _SIZES_OF_B,
    'schedules/adamw_micro_4e.py': 'train_cfg.update(max_epochs=2)\n',
    'models/mixformerv2-tiny.py': "model['backbone'].update(depth=2)\n",
    'datasets/synthetic_micro_train.py': 'train_dataloader.update(batch_size=2)\n'
    "train_dataloader['sampler'].update(samples_per_epoch=2)\n",
}
# What is replaced in the configs of trainings: fewer epochs, and one checkpoint.
SMALLER_TRAININGS = [
    (r'interval=1, max_keep_ckpts', 'interval=100, max_keep_ckpts'),  # only the last one
    (r"'horizon': 375", "'horizon': 1"),
    (r'max_epochs=(20|12)\b', 'max_epochs=2'),
    (r'epoch_(20|12|4)\.pth', 'epoch_2.pth'),
]
# Numbers in commands that are replaced, by a part of the command that they are in.
SMALLER = {
    'render_sequences.py': [
        (r'--train \d+', '--train 2'),
        (r'--val \d+', '--val 1'),
        (r'--(train|val)-frames \d+', r'--\1-frames 20'),
        (r'--size \d+ \d+', '--size 96 72'),
        (r'--workers \d+', '--workers 1'),
    ],
    # Three of seven stages: the others are like the third.
    'train_chain.py': [(r' configs/\S+-micro-(s_|b_st3)\S+', '')],
    'benchmark.py': [(r'--targets [\d ]+', '--targets 1 2 '), (r'--templates .+', '')],
    'publish_model.py': [(r'epoch_4\.pth', 'epoch_2.pth')],
    'my_tracker.py': [(r'samples_per_epoch=\d+', 'samples_per_epoch=2')],
}
# Options that are added.
ADDED = {
    'render_sequences.py': '--difficulty easy',
    'benchmark.py': '--size 96 72 --seconds 0 --rounds 1 --frames 1 --no-memory --backend torch',
    'benchmark_train.py': '--seconds 0.01 --workers 0 --what pipeline',
    'browse_dataset.py': '--num 2',
    'tools/demo.py': '--sequences 1 --frames 20 --workers 1',
    'export.py': '--frames 3',
    'workspace.py': '--frames 20',
}
PLACEHOLDERS = {
    'CONFIG...': 'configs/mixformerv2/tiny/mixvit-micro_synthetic.py '
    'configs/mixformerv2/tiny/mixformerv2-micro-b_st1.py',
    'CONFIG': TINY_TEST,
    'CHECKPOINT': TINY,
    'FOLDER': 'work_dirs/exported/tiny',
    'DIR': 'work_dirs/folder',
}
TRAINING_TOOLS = ('train.py', 'dist_train.sh', 'browse_dataset.py', 'benchmark_train.py')


def without_variables(command: str) -> str:
    """The command without the variables of the environment that it begins with."""
    return re.sub(r'^(?:[A-Z_]+=\S+ )+', '', command)


def in_small(command: str) -> str:
    """The command with placeholders filled in and smaller numbers."""
    for name, value in PLACEHOLDERS.items():
        if name == 'CONFIG' and any(tool in command for tool in TRAINING_TOOLS):
            value = TINY_TRAIN
        command = re.sub(rf'(?<![\w=]){re.escape(name)}(?![\w.])', value, command)
    for part, pairs in SMALLER.items():
        for pattern, smaller in pairs if part in command else ():
            command = re.sub(pattern, smaller, command)
    if 'export.py' in command:  # building graphs takes long; these are built already
        command = command.replace(TINY_TEST, 'lively_test.py').replace(TINY, 'lively.pth')
    added = [options for part, options in ADDED.items() if part in command]
    if 'workspace.py' in command and '--rendered' not in command:
        added = []
    return ' '.join([command, *added])


class Workshop:
    """The folder, and what was done in it.

    Args:
        folder: An empty one.
        exported: A folder with an exported model.
    """

    def __init__(self, folder: Path, exported: Path) -> None:
        self.folder = folder
        self.done: set[str] = set()
        self.seconds: dict[str, float] = {}
        for name in ('tools', 'docs', 'tests', 'examples', 'mmtrack_mixformerv2'):
            (folder / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / 'configs', folder / 'configs')
        for path in (folder / 'configs/mixformerv2').rglob('*.py'):
            text = path.read_text()
            for pattern, smaller in SMALLER_TRAININGS:
                text = re.sub(pattern, smaller, text)
            path.write_text(text)
        self._write_lively()
        for name, text in SMALL_CONFIGS.items():
            with (folder / 'configs/_base_' / name).open('a') as file:
                file.write(text)
        for name in ('weights', 'checkpoints', 'data', 'work_dirs/exported', 'pictures'):
            (folder / name).mkdir(parents=True)
        (folder / 'work_dirs/exported/tiny').symlink_to(exported)
        self._write_weights()
        self._write_data()
        self._write_video()

    def _write_lively(self) -> None:
        """The tracker that was exported."""
        config, _ = write_small_tracker(self.folder)
        config = config.rename(self.folder / 'lively_test.py')
        config.write_text(config.read_text() + 'model["backbone"]["depth"] = 2\n')
        state = lively_tracker(depth=2).state_dict()
        torch.save({'state_dict': state}, self.folder / 'lively.pth')

    def _write_weights(self) -> None:
        torch.manual_seed(0)
        model = MODELS.build(Config.fromfile(self.folder / TINY_TEST).model)
        torch.save({'state_dict': model.state_dict()}, self.folder / TINY)
        save_published(self.folder / 'mixformerv2_base.pth.tar', small_published())
        b = self.folder / 'configs/mixformerv2/mixformerv2-b_test-lasot.py'
        model = MODELS.build(Config.fromfile(b).model)
        torch.save(
            {'state_dict': model.state_dict()}, self.folder / 'checkpoints/mixformerv2-s.pth'
        )

    def _write_data(self) -> None:
        """Every benchmark in its official layout, with info files where no document makes them."""
        data = self.folder / 'data'
        made.make_lasot(data / 'LaSOT_full')
        made.make_lasot_ext(data / 'LaSOT_ext')
        made.make_trackingnet(data / 'TrackingNet')
        made.make_uav123(data / 'UAV123', ['uav6'])
        made.make_got10k(data / 'GOT10k', split='val')
        lines = {
            'OTB100': ('otb100', made.make_otb100(data / 'OTB100', ['Deer'])),
            'TNL2K': ('tnl2k_test', made.make_tnl2k(data / 'TNL2K')),
            'NfS': ('nfs30', made.make_nfs(data / 'NfS', fps=30)),
            'GOT10k': ('got10k_test', made.make_got10k(data / 'GOT10k', split='test')),
        }
        for name, (infos, of_them) in lines.items():
            made.write_infos(data / name, infos, of_them)
        made.make_folder(data / 'my-sequences')

    def _write_video(self) -> None:
        """Four frames of a bright square, where the documents' first box is; also as pictures."""
        writer = cv2.VideoWriter(
            str(self.folder / 'video.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 25, (640, 480)
        )
        for index in range(4):
            frame = np.full((480, 640, 3), 60, np.uint8)
            frame[139 : 139 + 116, 316 + 4 * index : 428 + 4 * index] = (30, 200, 250)
            writer.write(frame)
            cv2.imwrite(str(self.folder / f'pictures/{index}.jpg'), frame)
        writer.release()
        (self.folder / 'groundtruth.txt').write_text('316,139,112,116\n')

    def save_files(self, document: Document) -> None:
        """What the reader is to save."""
        for name, text in document.files().items():
            for pattern, smaller in SMALLER.get(name, ()):
                text = re.sub(pattern, smaller, text)
            (self.folder / name).write_text(text)

    def prepare(self, command: str) -> None:
        """Run a command for others; where it fails, its own test will say so."""
        with contextlib.suppress(AssertionError):
            self.run(command)

    def run(self, command: str) -> None:
        """Run a command as it is in a document, if it was not run yet.

        Raises:
            AssertionError: If it fails; with its output.
        """
        small = in_small(without_variables(command)).replace('.venv/bin/', '')
        if small in self.done:
            return
        self.done.add(small)
        started = time.process_time()
        output = io.StringIO()
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                status = self._call(small)
        finally:
            os.chdir(before)
        self.seconds[command] = time.process_time() - started
        if not status:
            self.done.add(small)
        assert not status, f'{command}\nran as\n{small}\nand gave {status}:\n{output.getvalue()}'

    def _call(self, command: str) -> object:
        """Run it, and give its exit status."""
        program, *words = shlex.split(command)
        if program in ('mkdir', 'cp'):
            done = subprocess.run(command, shell=True, capture_output=True, text=True)
            return done.returncode and done.stderr
        try:
            if program == 'mixformerv2':
                from mmtrack_mixformerv2.cli import main

                return main(words)
            if program == 'python' and words[0] == '-m' and words[1].startswith('mmtrack_'):
                return run_here(words[1:], lambda: runpy.run_module(words[1], {}, '__main__') and 0)
            if program == 'python' and re.fullmatch(r'tools/.+\.py', words[0]):
                return run_tool_here(words[0], words[1:])
        except SystemExit as stop:
            return stop.code
        raise AssertionError(
            f'nobody knows how to run {command!r}: add its program to tests/workshop.py, or the '
            'command to NOT_RUN in tests/test_documented_commands.py, with the reason'
        )


def run_tool_here(script: str, arguments: Sequence[str]) -> object:
    """Run a script of ``tools`` in this process; gives what its ``main`` gives."""
    tool = load_tool(script.removeprefix('tools/').removesuffix('.py'))
    if script.endswith('train_chain.py'):
        # Stages are processes, which would each import everything.
        tool.run_to_end = lambda command, log: run_tool_here('tools/train.py', command[2:])
    if script.endswith('export.py'):
        import onnx

        from mmtrack_mixformerv2.deployment.onnx_export import OnnxGraphs

        folder = Path('work_dirs/exported/tiny')
        graphs = OnnxGraphs(*(onnx.load(folder / f'{graph}.onnx') for graph in GRAPHS), 0.0)
        tool.build_onnx = lambda model: graphs
    return run_here([script, *arguments], tool.main)


def run_here(argv: Sequence[str], main: Callable[[], object]) -> object:
    """Call a function of a program with a command line."""
    before, sys.argv = sys.argv, list(argv)
    try:
        return main()
    finally:
        sys.argv = before
