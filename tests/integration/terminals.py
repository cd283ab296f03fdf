"""A terminal for tests: a program runs in it, and what it draws is kept as people would see it."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence

_ORDER = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])")


class Screen:
    """What is to be seen after what was written, endlessly long upwards.

    It knows the orders that the display gives and raises for any other one.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines: list[str] = [""]
        self.row = self.column = 0
        self.cursor_is_shown = True
        self._rest = ""

    def write(self, text: str) -> None:
        """Take what a program writes."""
        text, self._rest = self._rest + text, ""
        position = 0
        while position < len(text):
            one = text[position]
            if one == "\x1b":
                found = _ORDER.match(text, position)
                if found is None:
                    assert len(text) - position < 12, f"unknown order {text[position:][:12]!r}"
                    self._rest = text[position:]
                    return
                self._obey(found[1], found[2], found[3])
                position = found.end()
                continue
            position += 1
            if one == "\n":
                self._go_to(self.row + 1, self.column)
            elif one == "\r":
                self.column = 0
            else:
                assert one.isprintable(), repr(one)
                self._put(one)

    def shown(self) -> list[str]:
        """Return the lines without blanks at their ends."""
        return [line.rstrip() for line in self.lines]

    def _put(self, one: str) -> None:
        if self.column == self.width:
            self._go_to(self.row + 1, 0)
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + one + line[self.column + 1 :]
        self.column += 1

    def _go_to(self, row: int, column: int) -> None:
        self.row, self.column = max(0, row), column
        while len(self.lines) <= self.row:
            self.lines.append("")

    def _obey(self, private: str, numbers: str, order: str) -> None:
        if private:
            assert numbers == "25", f"unknown mode {numbers}"
            self.cursor_is_shown = order == "h"
        elif order == "A":
            self._go_to(self.row - int(numbers or 1), self.column)
        elif order == "K":
            assert numbers == "2"
            self.lines[self.row] = ""
        else:
            assert order == "m", f"unknown order {order}"


class Terminal:
    """A program in a pseudo-terminal of its own.

    Parameters
    ----------
    command : sequence of str
    width : int
        Columns; there are 24 rows.
    environment : mapping of str to str
        Beside this process's own.
    """

    def __init__(
        self, command: Sequence[str], width: int = 80, environment: Mapping[str, str] | None = None
    ) -> None:
        self._own, theirs = pty.openpty()
        self.screen = Screen(width)
        self.frames: list[list[str]] = []
        self.raw = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.resize(width)
        known = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "TERM")}
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**known, "TERM": "xterm-256color", **(environment or {})},
            start_new_session=True,
        )
        self._theirs = theirs

    def resize(self, width: int) -> None:
        """Make it as wide as that, from now on."""
        fcntl.ioctl(self._own, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        self.screen.width = width

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._own, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C, as far as the program can tell."""
        self.process.send_signal(signal.SIGINT)

    def wait_for(self, fulfilled: Callable[[Screen], bool], limit_s: float = 60.0) -> None:
        """Go on until the screen shows something."""
        end_s = time.monotonic() + limit_s
        while not fulfilled(self.screen):
            assert time.monotonic() < end_s, "\n".join(self.screen.shown())
            if not self._read() and self.process.poll() is not None:
                assert fulfilled(self.screen), "\n".join(self.screen.shown())

    def end(self, limit_s: float = 60.0) -> int:
        """Go on until the program has ended; return its exit code."""
        end_s = time.monotonic() + limit_s
        while self.process.poll() is None or self._read():
            assert time.monotonic() < end_s, "\n".join(self.screen.shown())
            self._read()
        return self.process.returncode

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed, as it did before."""
        return bool(termios.tcgetattr(self._theirs)[3] & termios.ECHO)

    def close(self) -> None:
        """End what is left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._own)
        os.close(self._theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def _read(self) -> bool:
        if not select.select([self._own], [], [], 0.05)[0]:
            return False
        text = self._decoder.decode(os.read(self._own, 65536))
        self.raw += text
        self.screen.write(text)
        self.frames.append(self.screen.shown())
        return True
