"""Looks for what is wrong with an installation, a checkpoint or a data set, and how to mend it.

The light part imports nothing but the standard library: versions come from the metadata of the
packages, and whatever has to be imported to be tried is imported in processes of their own. So a
package that is missing, broken or crashes is a finding, not the end.

The JSON document of :meth:`Report.as_json` is an object with these keys; later versions may add
keys, and raise ``format`` if others change:

* ``format``: 1. ``version``: of this package.
* ``status``: the worst status, ``'ok'``, ``'warning'`` or ``'problem'``. ``exit_code``: 0, or 1 for
  a problem.
* ``findings``: a list of objects, in the order of the text. Each has ``section``
  (``'environment'``, ``'backends'``, ``'checkpoint'`` or ``'dataset'``), ``check`` (a stable name,
  e.g. ``'rule.numpy-1'``), ``status`` (as above, or ``'note'`` for what is neither good nor bad,
  e.g. that an optional package is not installed), ``message`` and ``remedy`` (text, ``''`` if there
  is nothing to do).
* ``environment``: ``versions`` (package -> version, null if not installed), ``distributions``
  (package -> distribution -> version), ``platform``.
* ``backends``: an object for each of ``opencv``, ``torch``, ``onnxruntime``, ``openvino``,
  ``nncf``, ``tensorrt``, ``gradio`` and ``openmmlab`` with ``works`` (bool) and more; ``codecs``
  (FourCC -> bool), ``gui`` (name or null), ``gpus`` (names, if torch is built for GPUs).
* ``checkpoint``: null if none was given; else what was found of ``path``, ``bytes``, ``sha256``,
  ``kind`` (``'toolbox'``, ``'published'``, ``'exported'``, ``'unreadable'``, ``'unknown'``,
  ``'folder'``), ``system``, ``sizes``, ``config``, ``known``, ``largest_difference`` (pixels),
  ``agreement`` and ``agreement.gpu`` (backend -> pixels), ``run.<backend>``.
* ``dataset``: null if none was given; else ``benchmark``, and for every split ``<split>`` and
  ``<split>_checked`` with counts and problems.
"""

from .examination import examine, examine_installation, findings_of
from .findings import Finding, Report, Status

__all__ = ['Finding', 'Report', 'Status', 'examine', 'examine_installation', 'findings_of']
