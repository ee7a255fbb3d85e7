"""What the documents of this repository say: their prose, blocks of code, and commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ('python', 'bash', 'make', 'mixformerv2', 'pip', 'ruff', 'opt_in_out')


class Document:
    """A text in Markdown, in parts.

    Attributes:
        name: Its path from the root of the repository.
        blocks: Language and text of each block of code.
        prose: The text without these.
        code: What is in the prose between back quotes, and every command in a block.
        commands: The commands in blocks and, after them, those in the prose.
    """

    def __init__(self, path: Path) -> None:
        text = path.read_text(encoding='utf-8')
        self.name = path.relative_to(ROOT).as_posix()
        self.blocks = re.findall(r'^```(\w+)\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
        self.prose = re.sub(r'^```.*?^```$', '', text, flags=re.MULTILINE | re.DOTALL)
        inline = [' '.join(code.split()) for code in re.findall(r'`([^`]+)`', self.prose)]
        scripts = [text.replace('\\\n', ' ') for kind, text in self.blocks if kind == 'bash']
        lines = [line for script in scripts for line in unrolled(script)]
        in_blocks = [' '.join(line.split('  #')[0].split()) for line in lines]
        self.code = [*inline, *in_blocks]
        self.commands = list(
            dict.fromkeys(
                [*filter(None, in_blocks), *(code for code in inline if is_command(code))]
            )
        )

    def python_blocks(self) -> list[str]:
        """Blocks of Python that are no files."""
        return [text for kind, text in self.blocks if kind == 'python' and not named_file(text)]

    def files(self) -> dict[str, str]:
        """Blocks that begin with their name, which the reader is to save, by that name."""
        return {name: text for _, text in self.blocks if (name := named_file(text))}


class Source(NamedTuple):
    """A command, and the document that it is in."""

    document: str
    command: str


def unrolled(script: str) -> list[str]:
    """The lines of a script, with all values of its loops in the place of their variables."""
    loops = re.findall(r'for (\w+) in ([^;]+); do', script)
    lines = [line for line in script.splitlines() if not re.match(r'\s*(for .* do|done)\s*$', line)]
    for name, values in loops:
        lines = [line.replace(f'${{{name}}}', v) for line in lines for v in values.split()]
    return list(dict.fromkeys(lines))


def is_command(code: str) -> bool:
    """Whether a piece of code in the prose is a command with arguments."""
    words = re.sub(r'^(?:[A-Z_]+=\S+ )+', '', code).split(' ')
    if len(words) < 2 or words[0].rpartition('/')[2] not in PROGRAMS:
        return False
    if words[0] == 'mixformerv2' and len(words) == 2:  # its name
        return False
    return '...' not in words[1] and (words[0] != 'python' or '/' in words[1] or words[1] == '-m')


def named_file(block: str) -> str | None:
    """The name in the first line of a block, as in ``# my_tracker.py``."""
    found = re.match(r'# ([\w-]+\.py)\n', block)
    return found[1] if found else None


def documents() -> list[Document]:
    """All of them, the README first."""
    return [
        Document(path)
        for path in (
            ROOT / 'README.md',
            ROOT / 'CONTRIBUTING.md',
            *sorted((ROOT / 'docs').glob('*.md')),
            ROOT / 'examples/cpp/README.md',
        )
    ]
