"""Pages in a real browser: Chromium of this machine, without a window, driven by Playwright.

``conftest.py`` hands the fixtures to all tests. Playwright's own browsers are never fetched; where
no Chromium is installed, tests that ask for ``visit`` are skipped and say so.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

NAMES = ('chromium', 'google-chrome', 'chromium-browser', 'google-chrome-stable')
FLAGS = (
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
)
WAIT_MS = 15_000  # how long Playwright waits for what a test asks for, before it fails


@dataclass
class Visit:
    """An empty page, and what happens while a test uses it.

    Attributes:
        page: A ``playwright.sync_api.Page``.
        problems: Errors and warnings of the console, and exceptions of the page's scripts. The
            test fails if any is left at its end.
        requests: Addresses that the page asked the network for; ``data:``, ``blob:`` and
            ``file:`` are none.
    """

    page: Any
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note what goes wrong from now on."""
        self.page.on('console', self._on_console)
        self.page.on('pageerror', lambda error: self.problems.append(f'exception: {error}'))
        self.page.on('request', self._on_request)

    def _on_console(self, message: Any) -> None:
        if message.type in ('error', 'warning'):
            self.problems.append(f'{message.type}: {message.text}')

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith(('data:', 'blob:', 'file:', 'about:')):
            self.requests.append(request.url)


def find_browser() -> str | None:
    """Path of a Chromium or Chrome."""
    return next(filter(None, map(shutil.which, NAMES)), None)


# Of a module, not of the session: while Playwright runs, so does an event loop in this thread, and
# asyncio.run() of a later test would fail.
@pytest.fixture(scope='module')
def chromium() -> Iterator[Any]:
    """A running ``playwright.sync_api.Browser``."""
    sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    path = find_browser()
    if path is None:
        pytest.skip(f'no browser: none of {", ".join(NAMES)} is installed')
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Visit]:
    """A page with nothing kept from other tests; the test fails if its console has errors."""
    context = chromium.new_context(viewport={'width': 1280, 'height': 900})
    context.set_default_timeout(WAIT_MS)
    visit = Visit(context.new_page())
    visit.watch()
    yield visit
    context.close()
    assert not visit.problems, visit.problems
