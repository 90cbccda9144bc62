"""Exceptions of rarefy, one class for each kind of error.

Errors of the operating system are the usual ones: `FileNotFoundError`, `PermissionError` and other kinds of `OSError`.
Ctrl-C raises `KeyboardInterrupt` after the step that is being taken.
"""

__all__ = [
    "ConfigError",
    "DivergedError",
    "FormatError",
    "NotFiniteError",
    "RarefyError",
    "ShapeError",
]


class RarefyError(Exception):
    """Base class of the exceptions of rarefy."""


class ConfigError(RarefyError, ValueError):
    """A parameter is outside its range, unknown, or contradicts another one or the data."""


class ShapeError(RarefyError, ValueError):
    """Two sizes that must be equal are different, such as the widths of rows and model."""


class NotFiniteError(RarefyError, ValueError):
    """A value is NaN or infinite; the message has its row and column."""


class FormatError(RarefyError):
    """A file violates its format; the message has its path and the place."""


class DivergedError(RarefyError):
    """Training diverged: the objective or its gradient became NaN or infinite."""
