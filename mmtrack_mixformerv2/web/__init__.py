"""The web page of ``mixformerv2 demo``: choose a clip, mark an object, track it, see the result.

:mod:`.clips` and :mod:`.run` do the work and know nothing of the page. Only :mod:`.page` and
:mod:`.server` import Gradio, which is an optional package.
"""
