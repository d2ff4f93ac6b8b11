"""Element types: how ONNX and safetensors name them, and how many bits an element takes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DType:
    """An element type.

    Attributes:
        name: as NumPy or ml_dtypes name it.
        bits: size of one element in raw data; 0 for strings, which have none.
    """

    name: str
    bits: int

    def size(self, count: int) -> int:
        """Bytes of raw data that ``count`` elements take; types below 8 bits are packed."""
        return (count * self.bits + 7) // 8


_ALL = {
    name: DType(name, bits)
    for bits, names in {
        0: "string",
        2: "uint2 int2",
        4: "uint4 int4 float4_e2m1fn",
        6: "float6_e2m3fn float6_e3m2fn",
        8: "bool uint8 int8 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu",
        16: "uint16 int16 float16 bfloat16",
        32: "uint32 int32 float32",
        64: "uint64 int64 float64 complex64",
        128: "complex128",
    }.items()
    for name in names.split()
}

_ONNX_NAMES = """
float32 uint8 int8 uint16 int16 int32 int64 string bool float16 float64 uint32 uint64 complex64 complex128 bfloat16
float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz uint4 int4 float4_e2m1fn float8_e8m0fnu uint2 int2
float6_e2m3fn float6_e3m2fn
"""

ONNX = {number: _ALL[name] for number, name in enumerate(_ONNX_NAMES.split(), start=1)}
"""By ``TensorProto.DataType``; source: onnx.proto, IR version 14."""

SAFETENSORS = {
    code: _ALL[name]
    for code, name in {
        "BOOL": "bool",
        "F4": "float4_e2m1fn",
        "F6_E2M3": "float6_e2m3fn",
        "F6_E3M2": "float6_e3m2fn",
        "U8": "uint8",
        "I8": "int8",
        "F8_E5M2": "float8_e5m2",
        "F8_E4M3": "float8_e4m3fn",
        "F8_E5M2FNUZ": "float8_e5m2fnuz",
        "F8_E4M3FNUZ": "float8_e4m3fnuz",
        "F8_E8M0": "float8_e8m0fnu",
        "I16": "int16",
        "U16": "uint16",
        "F16": "float16",
        "BF16": "bfloat16",
        "I32": "int32",
        "U32": "uint32",
        "F32": "float32",
        "C64": "complex64",
        "F64": "float64",
        "I64": "int64",
        "U64": "uint64",
    }.items()
}
"""By safetensors' code, in the order in which its writer sorts (last first); source: safetensors' ``Dtype``."""
