"""Follows a page of the guide to the letter, by the same rules as the tests in Rust.

Blocks marked `sh` are typed, in order, into one shell; each must succeed. A block marked `text` is what the reader is
told to see: its lines must come in that order in what the commands before it printed, each as a part of a line, where
`…` stands for anything and any run of spaces for one. A block marked `dotenv` is what the reader sets beforehand.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Block:
    """Commands, and what they are told to print."""

    line: int
    commands: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)


def follow(page: Path, folder: Path, environment: Mapping[str, str]) -> None:
    """Types the page's commands and compares what is printed with what the page says."""
    blocks, names = read(page.read_text())
    assert blocks, f"{page.name} has no commands"
    missing = [name for name in names if name not in environment]
    assert not missing, f"{page.name} tells its readers to set {missing}, which the test does not"
    script = ["set -euo pipefail"]
    for number, block in enumerate(blocks):
        script += [f"exec > {folder}/.printed-{number} 2>&1", *block.commands, f"echo {number} > {folder}/.succeeded"]
    (folder / ".script").write_text("\n".join(script) + "\n")
    command = ["bash", str(folder / ".script")]
    subprocess.run(command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, check=False, timeout=1200)
    told = folder / ".succeeded"
    succeeded = int(told.read_text()) + 1 if told.exists() else 0
    for number, block in enumerate(blocks):
        file = folder / f".printed-{number}"
        printed = file.read_text() if file.exists() else ""
        where = f"{page.name}, line {block.line}"
        commands = "\n".join(block.commands)
        assert number < succeeded, f"{where}: a command failed; it was\n{commands}\nand printed\n{printed}"
        wanted = first_missing(block.expected, printed)
        assert wanted is None, f"{where}: readers are told to see {wanted!r}, but what is printed is\n{printed}"


def read(text: str) -> tuple[list[Block], list[str]]:
    """The page's blocks of commands, and the names that it tells its readers to set."""
    blocks: list[Block] = []
    names: list[str] = []
    fence: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fence = line.removeprefix("```").strip() if fence is None else None
            if fence == "sh":
                blocks.append(Block(number))
        elif fence == "sh":
            blocks[-1].commands.append(line)
        elif fence == "text" and line.strip() and blocks:
            blocks[-1].expected.append(" ".join(line.split()))
        elif fence == "dotenv" and "=" in line:
            names.append(line.partition("=")[0])
    return blocks, names


def first_missing(expected: list[str], printed: str) -> str | None:
    """The first line that readers are told to see and do not."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    return next((wanted for wanted in expected if not any(holds(line, wanted) for line in lines)), None)


def holds(line: str, wanted: str) -> bool:
    """Whether the line has the parts between `…` in their order."""
    at = 0
    for part in wanted.split("…"):
        found = line.find(part.strip(), at)
        if found < 0:
            return False
        at = found + len(part.strip())
    return True
