"""Statistics of a tensor, gathered piece by piece in float64.

The order of additions depends only on the values, never on the processor or on how the file was cut,
so that a manifest recorded on another machine has the same bytes: NumPy's pairwise sums over blocks of
a fixed size, and no BLAS.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from modelver.formats.dtypes import DType

_BLOCK = 1 << 16
"""Elements per block: as float64 they fit a processor's second-level cache."""

DIGITS = 6
"""Significant digits that are kept."""


class Stats:
    """Statistics of one tensor; feed `update` with pieces whose size is a multiple of 16 bytes (the last: any)."""

    def __init__(self, dtype: "DType", count: int) -> None:
        self.dtype = dtype
        self.count = count
        self.squares = 0.0
        self.sum = 0.0
        self.min = math.inf
        self.max = -math.inf
        self.zeros = 0
        self.nonfinite = 0
        self._histogram: np.ndarray[Any, Any] | None = None
        self._rest = b""

    def update(self, piece: memoryview) -> None:
        """Add a piece of raw little-endian data."""
        import numpy as np

        if self.dtype.bits <= 8:
            self._count(self._whole_groups(piece) if self.dtype.bits == 6 else piece)
            return
        with np.errstate(all="ignore"):
            for block in _blocks(piece, self.dtype.name):
                self._add(block)

    def result(self) -> dict[str, Any]:
        """The fields ``l2, min, max, mean, zeros, nonfinite`` of a TensorEntry."""
        if self.dtype.bits == 0 or self.count == 0:
            return {}
        if self._rest:
            self._count(self._rest)
        if self._histogram is not None:
            self._from_histogram()
        finite = self.count - self.nonfinite
        plain = finite > 0 and not self.dtype.name.startswith("complex")
        return {
            "l2": _short(math.sqrt(self.squares)) if finite else None,
            "min": _short(self.min) if plain else None,
            "max": _short(self.max) if plain else None,
            "mean": _short(self.sum / finite) if plain else None,
            "zeros": _short(self.zeros / self.count),
            "nonfinite": self.nonfinite,
        }

    def _add(self, block: Any) -> None:
        import numpy as np

        if block.dtype.kind == "c":
            finite = np.isfinite(block)
            self.zeros += block.size - int(np.count_nonzero(block))
            self.nonfinite += block.size - int(np.count_nonzero(finite))
            parts = block[finite].view(np.float32 if block.dtype.itemsize == 8 else np.float64)
            wide = parts.astype(np.float64)
            self.squares += float(np.add.reduce(wide * wide))
            return
        low, high = float(block.min()), float(block.max())
        # NaN wins in min and max, an infinity is one of them: two cheap passes tell whether all is finite
        if not (math.isfinite(low) and math.isfinite(high)):
            kept = block[np.isfinite(block)]
            self.nonfinite += block.size - kept.size
            if kept.size == 0:
                return
            block = kept
            low, high = float(block.min()), float(block.max())
        self.zeros += block.size - int(np.count_nonzero(block))
        self.min = min(self.min, low)
        self.max = max(self.max, high)
        wide = block.astype(np.float64)
        self.sum += float(np.add.reduce(wide))
        np.multiply(wide, wide, out=wide)
        self.squares += float(np.add.reduce(wide))

    def _whole_groups(self, piece: memoryview) -> bytes:
        """Pieces cut where four 6-bit elements end, which is every three bytes."""
        data = self._rest + bytes(piece)
        cut = len(data) - len(data) % 3
        self._rest = data[cut:]
        return data[:cut]

    def _count(self, piece: "memoryview | bytes") -> None:
        import numpy as np

        if self._histogram is None:
            self._histogram = np.zeros(64 if self.dtype.bits == 6 else 256, dtype=np.int64)
        data = np.frombuffer(piece, dtype=np.uint8)
        if self.dtype.bits == 6:
            data = _six_bits(data)
        for start in range(0, data.size, _BLOCK):
            self._histogram += np.bincount(data[start : start + _BLOCK], minlength=self._histogram.size)

    def _from_histogram(self) -> None:
        import numpy as np

        assert self._histogram is not None
        counts = _codes(self._histogram, self.dtype.bits)
        padding = int(counts.sum()) - self.count
        counts[0] -= padding  # the last byte is filled up with zeros
        values = _values(self.dtype, counts.size)
        finite = np.isfinite(values)
        seen = values[finite & (counts > 0)]
        weights = counts[finite & (counts > 0)].astype(np.float64)
        self.nonfinite = int(counts[~finite].sum())
        self.zeros = int(counts[values == 0].sum())
        self.sum = float(np.add.reduce(seen * weights))
        self.squares = float(np.add.reduce(seen * seen * weights))
        if seen.size:
            self.min, self.max = float(seen.min()), float(seen.max())
        self._histogram = None


def _blocks(piece: memoryview, name: str) -> Iterator[Any]:
    import numpy as np

    if name == "bfloat16":
        half = np.frombuffer(piece, dtype="<u2")
        for start in range(0, half.size, _BLOCK):
            wide = half[start : start + _BLOCK].astype(np.uint32)
            yield (wide << np.uint32(16)).view(np.float32)
        return
    data = np.frombuffer(piece, dtype=np.dtype(name).newbyteorder("<"))
    for start in range(0, data.size, _BLOCK):
        block = data[start : start + _BLOCK]
        yield block.astype(np.float32) if name == "float16" else block


def _six_bits(data: Any) -> Any:
    import numpy as np

    filled = np.zeros(-(-data.size // 3) * 3, dtype=np.uint32)
    filled[: data.size] = data
    groups = filled.reshape(-1, 3)
    word = groups[:, 0] | groups[:, 1] << 8 | groups[:, 2] << 16
    return np.stack([word >> shift & 63 for shift in (0, 6, 12, 18)], axis=1).ravel()


def _codes(histogram: Any, bits: int) -> Any:
    """Counts of codes of ``bits`` bits, from counts of bytes that hold several."""
    import numpy as np

    if bits >= 6:
        return histogram.copy()
    byte = np.arange(256)
    counts = np.zeros(1 << bits, dtype=np.int64)
    for shift in range(0, 8, bits):
        np.add.at(counts, byte >> shift & ((1 << bits) - 1), histogram)
    return counts


def _values(dtype: "DType", size: int) -> Any:
    """The value of each code, as float64."""
    import ml_dtypes
    import numpy as np

    codes = np.arange(size, dtype=np.uint8)
    if dtype.name.startswith("uint"):
        return codes.astype(np.float64)
    if dtype.name == "bool":
        return (codes != 0).astype(np.float64)
    if dtype.name.startswith("int"):
        return np.where(codes < size // 2, codes, codes.astype(np.float64) - size)
    return codes.view(getattr(ml_dtypes, dtype.name)).astype(np.float64)


def _short(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") + 0.0 if math.isfinite(value) else None
