"""Tensors and arrays as the bytes of a safetensors file, without a second copy in memory.

The layout is the one that the safetensors library documents: the header's length (8 bytes, little-endian), the
header as JSON, padded with spaces to a multiple of 8, then the data. The library's own writer neither gives a
checksum of what it writes nor forces it to the disk; reading is left to the library.
"""

import json
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

Array = Tensor | np.ndarray

_DTYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}


def dtype_code(array: Array) -> str | None:
    """The dtype's code in a safetensors file, or None where it, or the memory layout, has none there."""
    if isinstance(array, Tensor):
        plain = array.layout == torch.strided and not array.is_quantized and not array.is_meta
        return _DTYPES.get(str(array.dtype).removeprefix("torch.")) if plain else None
    return _DTYPES.get(array.dtype.name)


def raw_bytes(array: Array) -> memoryview:
    """The array's elements in row-major order as bytes: a view where it is contiguous and on the CPU."""
    if isinstance(array, Tensor):
        flat = array.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        if not flat.numel():  # torch views no empty tensor of stride 0 as bytes
            return memoryview(b"")
        return flat.view(torch.uint8).numpy().data
    native = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(native).reshape(-1).view(np.uint8).data


def tensor_chunks(tensors: Mapping[str, Array]) -> Iterator[bytes | memoryview]:
    """The bytes of one safetensors file: its header, then each tensor's data.

    Larger element types come first, so that every tensor is aligned when the file is mapped into memory.
    Every dtype must have a code (`dtype_code`).
    """
    names = sorted(tensors, key=lambda name: (-_itemsize(tensors[name]), name))
    header: dict[str, object] = {}
    offset = 0
    for name in names:
        end = offset + size_of(tensors[name])
        shape = list(tensors[name].shape)
        header[name] = {"dtype": dtype_code(tensors[name]), "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        yield raw_bytes(tensors[name])


def size_of(array: Array) -> int:
    """Bytes of the array's elements."""
    count = array.numel() if isinstance(array, Tensor) else array.size
    return count * _itemsize(array)


def _itemsize(array: Array) -> int:
    return array.element_size() if isinstance(array, Tensor) else array.itemsize


def first_nonfinite(tensors: Mapping[str, Array]) -> str | None:
    """The name of the first tensor that holds NaN or an infinity, or None."""
    for name, array in tensors.items():
        finite = torch.isfinite(array) if isinstance(array, Tensor) else np.isfinite(array)
        if not finite.all():
            return name
    return None
