"""CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) of many strings at once."""

import numpy as np

_POLYNOMIAL = np.uint32(0x82F63B78)
_MASK_DELTA = np.uint32(0xA282EAD8)


def _make_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ _POLYNOMIAL, table >> 1)
    return table.astype(np.uint32)


_TABLE = _make_table()


def checksums(rows: np.ndarray) -> np.ndarray:
    """uint32 `[B]`: the checksum of each row of `rows`, uint8 `[B, L]`."""
    crc = np.full(rows.shape[0], 0xFFFFFFFF, np.uint32)
    for column in np.ascontiguousarray(rows.T):
        crc = _TABLE[(crc ^ column) & 0xFF] ^ crc >> 8
    return ~crc


def checksums_of(
    data: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """uint32 `[B]`: the checksums of pieces of any length of `data`, uint8 `[N]`.

    As many steps as the longest has bytes, whatever the number of lengths.

    Args:
      data: the bytes.
      starts: `[B]`, where the pieces begin.
      lengths: `[B]`, decreasing.
    """
    crc = np.full(len(starts), 0xFFFFFFFF, np.uint32)
    # How many pieces are longer than each place.
    counts = np.searchsorted(-lengths, -np.arange(lengths.max(initial=0)))
    for place, count in enumerate(counts):
        column = data[starts[:count] + place]
        crc[:count] = _TABLE[(crc[:count] ^ column) & 0xFF] ^ crc[:count] >> 8
    return ~crc


def masked(crc: np.ndarray) -> np.ndarray:
    """uint32 `[B]`: checksums as TFRecord files store them (rotated, shifted)."""
    return (crc >> 15 | crc << 17) + _MASK_DELTA
