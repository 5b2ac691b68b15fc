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


def masked(rows: np.ndarray) -> np.ndarray:
    """uint32 `[B]`: the checksums as TFRecord files store them (rotated, shifted)."""
    crc = checksums(rows)
    return (crc >> 15 | crc << 17) + _MASK_DELTA
