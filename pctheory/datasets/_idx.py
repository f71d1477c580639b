"""The idx format of MNIST: read from bytes, written to bytes."""

from __future__ import annotations

import math

import numpy as np

_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def decode_idx(content: bytes, origin: str = "content") -> np.ndarray:
    r"""The array in an idx file: two zero bytes, a type code, the number of axes, their lengths, the values.

    Parameters
    ----------
    content : bytes
        The decompressed file; numbers are big endian.
    origin : str
        Name used in errors.

    Returns
    -------
    ndarray
        A writable copy in the machine's byte order.

    Raises
    ------
    ValueError
        If the header is not that of an idx file, or the length does not fit it.

    Examples
    --------
    >>> decode_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([7, 8, 9], dtype=uint8)
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise ValueError(
            f"{origin} must be an idx file: two zero bytes, then a type code of "
            f"{', '.join(f'{code:#04x}' for code in _IDX_TYPES)}. "
            f"Got {content[:4].hex(' ') or 'no bytes'}: decompress it first or fetch it again."
        )
    dtype = np.dtype(_IDX_TYPES[content[2]])
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError(
            f"{origin} must have a header of {start} bytes for {content[3]} axes. Got {len(content)} bytes: "
            "the file is cut off, fetch it again."
        )
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise ValueError(
            f"{origin} must have {expected} bytes for an array of shape {shape}. Got {len(content)}: "
            "the file is cut off or has extra bytes at its end, fetch it again."
        )
    values = np.frombuffer(content, dtype, offset=start)
    return values.reshape(shape).astype(dtype.newbyteorder("="))


def encode_idx(array: np.ndarray) -> bytes:
    r"""The idx file of an array; `decode_idx` is its inverse.

    Returns
    -------
    bytes
        The file, not compressed; numbers are big endian.

    Raises
    ------
    TypeError
        If the format has no code for the type of the array.

    Examples
    --------
    >>> encode_idx(np.array([7, 8, 9], dtype=np.uint8)).hex(" ")
    '00 00 08 01 00 00 00 03 07 08 09'
    """
    big = array.dtype.newbyteorder(">")
    code = next((code for code, name in _IDX_TYPES.items() if np.dtype(name) == big), None)
    if code is None:
        raise TypeError(
            f"`array` must hold uint8, int8, int16, int32, float32 or float64, the types of the idx format. "
            f"Got {array.dtype}: convert it first."
        )
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, code, array.ndim]) + lengths + np.asarray(array, dtype=big).tobytes()
