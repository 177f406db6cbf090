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

    def plain(self, text: str = "") -> None:
        """Text as it is.  When nobody reads any more, the demo goes on in silence to its end."""
        try:
            print(text, flush=True)
        except OSError:  # a closed pipe or terminal
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def chapter(self, title: str) -> None:
        """A heading, with a blank line above it."""
        self.plain(f"\n{self._bold(title)}")

    def line(self, text: str) -> None:
        """One thing that happened, with the seconds since the beginning."""
        stamp = f"{time.monotonic() - self._began:6.1f}  "
        self.plain(_filled(text, stamp))

    def note(self, text: str) -> None:
        """An explanation below a line."""
        self.plain(_filled(text, _MARGIN))

    def command(self, text: str) -> None:
        """A command as the reader could type it."""
        self.plain(f"\n{_MARGIN}{self._bold('$ ' + text)}")

    def verbatim(self, text: str) -> None:
        """Another program's output, its indentation kept, long lines folded below themselves."""
        for line in text.splitlines():
            own = " " * (len(line) - len(line.lstrip()))
            self.plain(_filled(line.lstrip(), _MARGIN + own, _MARGIN + own + "    "))

    def _bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._styled else text


def _filled(text: str, first: str, following: str = _MARGIN) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=following,
        break_on_hyphens=False,
        break_long_words=False,
    )
