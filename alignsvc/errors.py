"""Every error that alignsvc raises on purpose, named by what the operator does next.

::

    AlignError
      ConfigError            fix the file; nothing has run
        NotYet               this key or command is reserved for a later version
      DataError              this exposure, every time; do not retry (carries a FailureKind)
      NothingToMeasure       this exposure cannot take part; not an error of the data
                             (carries a SkipReason)
      ResourceError          give it more, then resume
        MemoryShortage       a task needed more memory than it had: it is tried again, alone
      TransientError         try again (worker lost, store timeout)
      RunStoreError          stop: the run directory cannot be trusted or used
        DamagedProduct       what a task made is missing or damaged: it is made again
      HeaderError            this header cannot be written as asked; nothing was written
        FileNotWritten       not the header's fault: the disk does not take the file
        NotAllWritten        of several files some; it holds the names of those that were written
      RunCancelled           nothing: somebody asked for it; what is done is kept
    RunInterrupted           the same for Ctrl-C, as which it counts

The form of a message: who, what was found, what was wanted, what to do next.
"""

from __future__ import annotations

from alignsvc.reasons import FailureKind, SkipReason


class AlignError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(AlignError):
    """The configuration is wrong: fix it, nothing has run."""


class NotYet(ConfigError):
    """A key or command of the public contract that this version does not yet offer."""


class DataError(AlignError):
    """An exposure cannot be used, and will not be usable on a second try."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type[DataError], tuple[FailureKind, str]]:
        """Pickle with both arguments, so that the kind survives a trip from a worker."""
        return (type(self), (self.kind, str(self)))


class NothingToMeasure(AlignError):
    """An exposure is sound but cannot be aligned: it is skipped with a reason."""

    def __init__(self, reason: SkipReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[NothingToMeasure], tuple[SkipReason, str]]:
        """Pickle with both arguments, so that the reason survives a trip from a worker."""
        return (type(self), (self.reason, str(self)))


class ResourceError(AlignError):
    """Memory or disk ran out: give more, then resume."""


class MemoryShortage(ResourceError):
    """A task needed more memory than it had."""


class TransientError(AlignError):
    """Something that may work on a second try."""


class RunStoreError(AlignError):
    """The run directory cannot be used or trusted."""


class DamagedProduct(RunStoreError):
    """Something that a task made is missing from the run store, or is not what was written.

    It can be made again of what it was made of; a run that goes on does so.
    """


class HeaderError(AlignError):
    """A corrected header cannot be written as asked; the file is as it was."""


class FileNotWritten(HeaderError):
    """The disk is full, or nobody may write there: mend that, and write it again."""


class NotAllWritten(HeaderError):
    """Some of several files are as they were; `written` names the others, as text."""

    def __init__(self, written: tuple[str, ...], failures: tuple[str, ...]) -> None:
        more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
        super().__init__("; ".join(failures[:3]) + more)
        self.written = written
        self.failures = failures

    def __reduce__(self) -> tuple[type[NotAllWritten], tuple[tuple[str, ...], tuple[str, ...]]]:
        """Pickle with both arguments."""
        return (type(self), (self.written, self.failures))


class RunCancelled(AlignError):
    """A run was stopped because somebody asked: the id of the request, and who asked."""

    def __init__(self, request: str, by: str, run: str) -> None:
        super().__init__(
            f"{run}: cancelled, as {by} asked; what is done is kept, `alignsvc resume {run}` goes "
            "on with it"
        )
        self.request = request
        self.by = by


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C, or a signal to stop, while a run was driven; its argument is the run."""
