"""What the demo prints: short lines with the time since its beginning.

Belongs here: how things look.  Must not: know anything about clusters.
"""

from __future__ import annotations

import os
import sys
import textwrap
import time

WIDTH = 78
_MARGIN = " " * 8


class Telling:
    """Prints to standard output; bold only on a terminal that may have it."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._styled = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def chapter(self, title: str) -> None:
        """A heading, with a blank line above it."""
        print(f"\n{self._bold(title)}", flush=True)

    def line(self, text: str) -> None:
        """One thing that happened, with the seconds since the beginning."""
        stamp = f"{time.monotonic() - self._began:6.1f}  "
        wrapped = textwrap.wrap(text, WIDTH - len(stamp), break_on_hyphens=False)
        print(
            "\n".join(stamp + part if i == 0 else _MARGIN + part for i, part in enumerate(wrapped))
        )
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """An explanation below a line."""
        for part in textwrap.wrap(text, WIDTH - len(_MARGIN), break_on_hyphens=False):
            print(_MARGIN + part)
        sys.stdout.flush()

    def command(self, text: str) -> None:
        """A command as the reader could type it."""
        print(f"\n{_MARGIN}{self._bold('$ ' + text)}", flush=True)

    def verbatim(self, text: str, indent: str = _MARGIN) -> None:
        """Another program's output, long lines folded below themselves."""
        for line in text.splitlines():
            hang = indent + " " * (len(line) - len(line.lstrip()) + 4)
            print(
                textwrap.fill(
                    line,
                    WIDTH,
                    initial_indent=indent,
                    subsequent_indent=hang,
                    break_on_hyphens=False,
                    break_long_words=False,
                    drop_whitespace=True,
                )
                if line.strip()
                else ""
            )
        sys.stdout.flush()

    def plain(self, text: str = "") -> None:
        """Text as it is."""
        print(text, flush=True)

    def _bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._styled else text
