"""Safetensors files, written whole with their checksum and read in place. numpy has no bfloat16, so its bits are uint16."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import float_of_bf16
from ..errors import FormatError

#: Name of each number type in the file, and the type of numpy.
TYPES: dict[str, Any] = {
    "F16": np.float16,
    "BF16": np.uint16,
    "F32": np.float32,
    "F64": np.float64,
    "I8": np.int8,
    "I64": np.int64,
    "I32": np.int32,
}
#: Name in the file of each `dtype` of a store.
CODES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64", "int8": "I8"}


def write(path: Path, tensors: Mapping[str, tuple[str, np.ndarray]]) -> str:
    """Writes tensors, given as type and array, beside `path` and renames the file; returns its SHA-256."""
    header: dict[str, Any] = {}
    end = 0
    for name, (code, array) in tensors.items():
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    beside = path.with_name(f".{path.name}.tmp")
    with open(beside, "wb") as file:
        parts: list[Any] = [len(text).to_bytes(8, "little"), text, *(_bytes(a) for _, a in tensors.values())]
        for part in parts:
            digest.update(part)
            file.write(part)
    os.replace(beside, path)
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Writes JSON beside `path` and renames the file."""
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    os.replace(beside, path)


def read(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a file as memory maps."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > os.path.getsize(path) - 8:
            raise FormatError(f"{path}: truncated, or no safetensors file: expected a header of {size} bytes at byte 8")
        header = json.loads(file.read(size))
    found = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        if 8 + size + last > os.path.getsize(path):
            raise FormatError(f"{path}: truncated: expected {last} bytes of data from byte {8 + size} on")
        dtype, shape = np.dtype(TYPES[entry["dtype"]]), tuple(entry["shape"])
        empty = first == last
        found[name] = np.zeros(shape, dtype) if empty else np.memmap(path, dtype, "r", 8 + size + first, shape)
    return found


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def as_float(values: np.ndarray, code: str) -> np.ndarray:
    """Values of a store in float32."""
    if code == "BF16":
        return float_of_bf16(values)
    return np.asarray(values, dtype=np.float32)


def _bytes(array: np.ndarray) -> Any:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
