"""Small trials of single packages; each runs in a process of its own, see :mod:`.processes`.

This file is handed to that process as text and imports nothing of this package, so that it runs
however broken the installation is. A probe is a function that yields findings as dicts; what it
raises becomes a finding too.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

# y = relu(x @ w) of a 1 x 4 row, as an ONNX file.
TINY_ONNX = (
    'CAg6fwoTCgF4CgF3EgFwIgZNYXRNdWw6AAoOCgFwEgF5IgRSZWx1OgASAXQqKwgECAIQASIgAACAPwAAgL8AAABAAACA'
    'PwAAAD8AAIA/AACAvwAAAEBCAXdaEwoBeBIOCgwIARIICgIIAQoCCARiEwoBeRIOCgwIARIICgIIAQoCCAJCBAoAEBE='
)
TINY_INPUT = [[1.0, 2.0, 3.0, 4.0]]
TINY_OUTPUT = [[2.5, 12.0]]

CODECS = {  # FourCC and suffix: what the video tools write
    'mp4v': '.mp4',
    'MJPG': '.avi',
    'avc1': '.mp4',
}
GUIS_OF_LINUX = ('QT', 'GTK', 'WAYLAND')


def finding(check: str, status: str, message: str, remedy: str = '', **facts) -> dict:
    """A finding of what works, as :meth:`Finding.from_dict` reads it."""
    return {
        'section': 'backends',
        'check': check,
        'status': status,
        'message': message,
        'remedy': remedy,
        'facts': {check: {'works': status == 'ok', **facts}} if '.' not in check else facts,
    }


def opencv() -> Iterator[dict]:
    """Pictures, windows, and which video codecs write what can be read again."""
    import cv2
    import numpy as np

    picture = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    same = cv2.imdecode(cv2.imencode('.png', picture)[1], cv2.IMREAD_COLOR)
    if not np.array_equal(picture, same):
        yield finding('opencv', 'problem', 'OpenCV gives back another PNG than it was given')
        return
    gui = _gui(cv2)
    codecs = {name: _writes_video(cv2, np, name, end) for name, end in CODECS.items()}
    written = [name for name, works in codecs.items() if works]
    yield finding('opencv', 'ok', f'OpenCV {cv2.__version__} reads and writes pictures')
    if written:
        others = [name for name in codecs if name not in written]
        text = f'videos are written as {", ".join(written)}'
        text += f'; without {", ".join(others)}' if others else ''
        yield finding('opencv.video', 'ok', text, codecs=codecs)
    else:
        yield finding(
            'opencv.video',
            'problem',
            f'OpenCV writes none of {", ".join(codecs)}: results cannot be saved as videos',
            'python -m pip install --force-reinstall opencv-python',
            codecs=codecs,
        )
    yield _windows(gui)


def _gui(cv2) -> str:
    """The toolkit that OpenCV opens windows with, '' without one."""
    with contextlib.suppress(Exception):  # not in every version
        return cv2.currentUIFramework()
    for line in cv2.getBuildInformation().splitlines():
        name, _, value = line.partition(':')
        if name.strip() == 'GUI':
            return '' if value.strip() in ('', 'NONE') else value.strip()
    return ''


def _windows(gui: str) -> dict:
    needs_display = sys.platform.startswith('linux') and gui.upper().startswith(GUIS_OF_LINUX)
    if not gui:
        return finding(
            'opencv.windows',
            'warning',
            'this OpenCV opens no windows (a headless build): nothing can be shown, nor a target '
            'be selected with the mouse; everything else works',
            'give the box on the command line, or, for windows:\npython -m pip uninstall -y '
            'opencv-python-headless && python -m pip install --force-reinstall opencv-python',
            gui=None,
        )
    if needs_display and not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        return finding(
            'opencv.windows',
            'note',
            f'OpenCV can open windows ({gui}), but there is no display here (DISPLAY is not set): '
            'give the box on the command line',
            gui=gui,
        )
    return finding('opencv.windows', 'ok', f'OpenCV can open windows ({gui})', gui=gui)


def _writes_video(cv2, np, codec: str, suffix: str) -> bool:
    """Whether five frames come back from a file of that codec."""
    folder = tempfile.mkdtemp()
    try:
        path = os.path.join(folder, 'probe' + suffix)
        writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*codec), 10, (64, 48))
        if not writer.isOpened():
            return False
        for value in range(5):
            writer.write(np.full((48, 64, 3), 40 * value, np.uint8))
        writer.release()
        capture, count = cv2.VideoCapture(path), 0
        while capture.read()[0]:
            count += 1
        capture.release()
        return count == 5
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def torch() -> Iterator[dict]:
    """A product and attention on the CPU, and on a GPU if there is one."""
    import torch

    weights = torch.tensor([[1.0, -1.0], [2.0, 1.0], [0.5, 1.0], [-1.0, 2.0]])
    tokens = torch.linspace(-1, 1, 2 * 5 * 8).reshape(1, 2, 5, 8)

    def run(device: str) -> tuple:
        product = (torch.tensor(TINY_INPUT, device=device) @ weights.to(device)).relu()
        moved = tokens.to(device)
        attended = torch.nn.functional.scaled_dot_product_attention(moved, moved, moved)
        return product.cpu(), attended.cpu()

    product, attended = run('cpu')
    if product.tolist() != TINY_OUTPUT or not attended.isfinite().all():
        yield finding('torch', 'problem', f'torch computes {product.tolist()}, not {TINY_OUTPUT}')
        return
    cuda = torch.version.cuda or torch.version.hip
    built = f'built for {"CUDA" if torch.version.cuda else "ROCm"} {cuda}' if cuda else 'CPU only'
    text = f'torch {torch.__version__} ({built}) computes, {torch.get_num_threads()} threads'
    yield finding('torch', 'ok', text, cuda=cuda, threads=torch.get_num_threads())
    if not cuda:
        return
    if not torch.cuda.is_available():
        yield finding(
            'torch.gpu',
            'warning',
            'torch is built for GPUs but sees none',
            'nvidia-smi (is there a GPU, and is its driver new enough for this CUDA?)',
            gpus=[],
        )
        return
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    there = run('cuda')[1]
    far = float((there - attended).abs().max())
    yield finding(
        'torch.gpu',
        'ok' if far < 1e-2 else 'problem',
        f'{", ".join(names)}: attention differs from the CPU by {far:.1g}',
        gpus=names,
    )


def onnxruntime() -> Iterator[dict]:
    """A tiny graph by every provider that the installed runtime claims to have."""
    import numpy as np
    import onnxruntime as runtime

    graph, row = base64.b64decode(TINY_ONNX), np.array(TINY_INPUT, np.float32)
    wanted = {
        'CPUExecutionProvider': 'onnxruntime',
        'CUDAExecutionProvider': 'onnxruntime.cuda',
        'TensorrtExecutionProvider': 'onnxruntime.tensorrt',
    }
    available = runtime.get_available_providers()
    for provider, check in wanted.items():
        if provider not in available:
            continue
        reason = ''
        try:
            options = runtime.SessionOptions()
            options.log_severity_level = 4
            if provider != 'CPUExecutionProvider' and hasattr(runtime, 'preload_dlls'):
                runtime.preload_dlls()
            session = runtime.InferenceSession(graph, options, providers=[provider])
            found = session.run(None, {'x': row})[0].tolist()
            if session.get_providers()[0] != provider:
                reason = 'its libraries or its device are missing'
            elif found != TINY_OUTPUT:
                reason = f'it computes {found}, not {TINY_OUTPUT}'
        except Exception as error:  # its error types have no base class but this one
            reason = str(error)
        if not reason:
            text = f'ONNX Runtime {runtime.__version__} runs a graph ({provider})'
            yield finding(check, 'ok', text, **{'providers': available} if '.' not in check else {})
        elif check == 'onnxruntime':
            yield finding(check, 'problem', f'ONNX Runtime does not run a graph: {reason}')
        else:
            yield finding(
                check,
                'warning',
                f'ONNX Runtime has {provider}, but it cannot be used: {reason}',
                'nvidia-smi\npython -m pip install "onnxruntime-gpu[cuda,cudnn]"',
            )


def openvino() -> Iterator[dict]:
    """A tiny graph on the CPU, and what the CPU computes in."""
    import numpy as np
    import openvino as runtime

    core = runtime.Core()
    model = core.read_model(base64.b64decode(TINY_ONNX), b'')
    settings = {'INFERENCE_PRECISION_HINT': 'f32'}
    compiled = core.compile_model(model, 'CPU', settings)
    found = np.asarray(compiled(np.array(TINY_INPUT, np.float32))[0]).tolist()
    if found != TINY_OUTPUT:
        yield finding('openvino', 'problem', f'OpenVINO computes {found}, not {TINY_OUTPUT}')
        return
    fast = sorted(core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES'))
    types = [name for name in ('FP32', 'BF16', 'FP16', 'INT8') if name in fast]
    version = runtime.__version__.split('-')[0]
    text = f'OpenVINO {version} runs a graph; this CPU computes {", ".join(types)}'
    yield finding('openvino', 'ok', text, capabilities=fast)


def nncf() -> Iterator[dict]:
    """Quantize a tiny graph and run it."""
    import logging

    logging.getLogger('nncf').setLevel(logging.ERROR)
    import nncf as package
    import numpy as np

    try:
        import openvino as runtime
    except ImportError as error:
        text = f'NNCF {package.__version__} quantizes OpenVINO models, and that is missing: {error}'
        yield finding('nncf', 'warning', text, 'python -m pip install openvino')
        return

    model = runtime.Core().read_model(base64.b64decode(TINY_ONNX), b'')
    row = np.array(TINY_INPUT, np.float32)
    quantized = package.quantize(model, package.Dataset([row, row]), subset_size=2)
    operations = {node.get_type_name() for node in quantized.get_ops()}
    found = np.asarray(runtime.Core().compile_model(quantized, 'CPU')(row)[0])
    # So few numbers lose much; what counts is that there is something that runs.
    if 'FakeQuantize' not in operations or not np.isfinite(found).all():
        yield finding('nncf', 'problem', f'NNCF makes {found.tolist()} of {TINY_OUTPUT}')
    else:
        yield finding('nncf', 'ok', f'NNCF {package.__version__} quantizes a graph')


def tensorrt() -> Iterator[dict]:
    """Build and deserialize a tiny engine, which needs a GPU."""
    import tensorrt as package

    version, logger = package.__version__, package.Logger(package.Logger.ERROR)
    engine = None
    with contextlib.suppress(Exception):  # whatever it raises without a GPU
        builder = package.Builder(logger)
        network = builder.create_network(0)
        parser = package.OnnxParser(network, logger)
        parser.parse(base64.b64decode(TINY_ONNX))
        plan = builder.build_serialized_network(network, builder.create_builder_config())
        engine = plan and package.Runtime(logger).deserialize_cuda_engine(plan)
    if engine:
        yield finding('tensorrt', 'ok', f'TensorRT {version} builds an engine')
    else:
        yield finding(
            'tensorrt',
            'warning',
            f'TensorRT {version} is installed but builds no engine here',
            'nvidia-smi (is there a GPU, and is its driver new enough?)',
        )


def gradio() -> Iterator[dict]:
    """Describe a page; it is not served."""
    import gradio as package

    package.Interface(lambda text: text, 'text', 'text').get_config_file()
    yield finding('gradio', 'ok', f'Gradio {package.__version__} makes a page')


PROBES = {probe.__name__: probe for probe in (opencv, torch, onnxruntime, openvino, nncf, tensorrt)}
PROBES['gradio'] = gradio


def explain(name: str, error: BaseException) -> dict:
    """The finding for what a probe raised."""
    text = ' '.join(str(error).split()) or type(error).__name__
    if name == 'opencv' and isinstance(error, ImportError) and '.so' in text:
        return finding(
            name,
            'problem',
            f'OpenCV cannot be loaded: {text}',
            'apt-get install libgl1 libglib2.0-0 (Debian, Ubuntu), or do without windows:\n'
            'python -m pip uninstall -y opencv-python && '
            'python -m pip install opencv-python-headless',
        )
    doing = 'be imported' if isinstance(error, ImportError) else 'run a small trial'
    return finding(
        name,
        'problem',
        f'{name} is installed but cannot {doing}: {type(error).__name__}: {text[:400]}',
        'install it again: python -m pip install --force-reinstall --no-deps '
        + {'opencv': 'opencv-python'}.get(name, name),
    )


def main(name: str, mark: str) -> None:
    """Run a probe; findings are printed as lines of JSON behind ``mark``."""
    try:
        importlib.invalidate_caches()
        for one in PROBES[name]():
            print(mark + json.dumps(one), flush=True)
    except Exception as error:  # whatever a broken package raises is what is to be found out
        print(mark + json.dumps(explain(name, error)), flush=True)
