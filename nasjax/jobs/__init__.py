"""A folder a launch script: plain arguments in, `result.json` out."""

from nasjax.core import errors, progress

__all__ = ["errors", "progress"]
