"""Where the tests find real data and golden files, and how they skip without them."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def shared_file(*parts: str) -> pathlib.Path:
    """Path below the shared folder; skips the calling test when it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)} is not there")
    return path
