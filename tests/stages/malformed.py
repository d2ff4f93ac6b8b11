"""Model files that are broken or mean harm, as bytes on the wire where no library would write them."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def field(number: int, data: bytes) -> bytes:
    """A length-delimited field of protobuf."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def model(nodes=None, initializers=(), inputs=None) -> onnx.ModelProto:
    """``y = x`` for rows of four numbers, with whatever else."""
    graph = helper.make_graph(
        nodes or [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None if inputs else ["N", 4])],
        list(initializers),
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])


def good() -> bytes:
    """A sound model with a weight."""
    weight = numpy_helper.from_array(np.arange(16, dtype=np.float32).reshape(4, 4), "w")
    return model([helper.make_node("MatMul", ["x", "w"], ["y"])], [weight]).SerializeToString()


def deep(levels: int) -> bytes:
    """Ifs inside of Ifs; protobuf itself would not write it."""
    graph = b""
    for _ in range(levels):
        attribute = field(1, b"then_branch") + b"\xa0\x01\x05" + field(6, graph)
        graph = field(1, field(1, b"c") + field(2, b"y") + field(4, b"If") + field(5, attribute))
    return b"\x08\x0a" + field(7, graph) + field(8, b"\x10\x11")


def external(**entries: str) -> bytes:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, text in entries.items():
        weight.external_data.add(key=key, value=text)
    return model(initializers=[weight]).SerializeToString()


def twice(*names: str) -> bytes:
    """Weights of these names, in the same graph."""
    weights = [numpy_helper.from_array(np.float32([n]), name) for n, name in enumerate(names)]
    return model(initializers=weights).SerializeToString()


def zipped(name: str = "model.onnx") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, good())
    return out.getvalue()


def tensor_fields(data: bytes) -> bytes:
    """A model whose only weight holds these fields, after its name and type."""
    graph = field(5, b"\x10\x01" + field(8, b"w") + data)
    return b"\x08\x0a" + field(7, graph) + field(8, b"\x10\x11")


ONNX: dict[str, tuple[bytes, str]] = {
    "truncated": (good()[:-20], "m.onnx"),
    "empty": (b"", "it is empty"),
    "a zip": (zipped(), "a zip archive"),
    "a pickle": (pickle.dumps({"a": 1}, protocol=4), "a Python pickle"),
    "1,000 subgraphs deep": (deep(1000), "subgraphs are nested more than 30 deep"),
    "no graph": (b"\x08\x0a", "no IR version or no graph"),
    "graph twice": (b"\x08\x0a" + field(7, b"") * 2, "field 7"),
    "outside": (external(location="../secret"), "external_data.location"),
    "absolute": (external(location="/etc/hostname"), "external_data.location"),
    "link": (external(location="link.bin"), "symbolic link"),
    "through a link": (external(location="linked/data.bin"), "symbolic link"),
    "hard link": (external(location="hard.bin"), "hard link"),
    "fifo": (external(location="fifo"), "not a regular file"),
    "device": (external(location="/dev/zero"), "external_data.location"),
    "negative offset": (external(location="data.bin", offset="-4"), "external_data.offset"),
    "huge offset": (external(location="data.bin", offset=str(1 << 62)), "external_data.offset"),
    "offset of 10,000 digits": (external(location="data.bin", offset="9" * 10_000), "external_data.offset"),
    "offset that is no number": (external(location="data.bin", offset="0x10"), "external_data.offset"),
    "negative length": (external(location="data.bin", length="-16"), "external_data.length"),
    "huge length": (external(location="data.bin", offset="0", length=str(1 << 62)), "external_data.length"),
    "beyond the end": (external(location="data.bin", offset="56"), "external_data.offset"),
    "name twice": (twice("w", "w"), "'w'"),
    "names that number each other": (twice("w", *("w" + "#2" * n for n in range(1, 1200)), "w"), "'w'"),
    "negative dimension": (tensor_fields(b"\x08" + b"\xff" * 9 + b"\x01"), "tensor in the graph"),
    "2^62 elements": (tensor_fields(b"\x08" + varint(1 << 62)), "dims are"),
    "dimensions whose product overflows": (tensor_fields((b"\x08" + varint(1 << 40)) * 4), "'w'"),
    "less data than elements": (tensor_fields(b"\x08\x04" + field(9, b"abcd")), "'w'"),
    "unknown type": (b"\x08\x0a" + field(7, field(5, b"\x10\x63" + field(8, b"w"))), "unknown data type 99"),
    "name that is not UTF-8": (tensor_fields(b"\x08\x00" + field(8, b"\xff")), "m.onnx"),
}
"""What `add` refuses: the bytes of ``m.onnx``, and words that the error holds beside the file's name."""


def _chain_of_functions(count: int) -> onnx.ModelProto:
    """Each function calls the next one twice: 2^count nodes come of it; the last calls ``Identity``, or the first."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    functions = []
    for number in range(count):
        call = ("Identity", "") if number + 1 == count else (f"F{number + 1}", "local")
        nodes = [helper.make_node(call[0], [a], [b], domain=call[1]) for a, b in (("a", "c"), ("c", "b"))]
        functions.append(helper.make_function("local", f"F{number}", ["a"], ["b"], nodes, opsets))
    built = model([helper.make_node("F0", ["x"], ["y"], domain="local")])
    built.functions.extend(functions)
    built.opset_import.append(opsets[1])
    return built


def functions(count: int, circle: bool = False) -> bytes:
    built = _chain_of_functions(count)
    if circle:
        for node in built.functions[-1].node:
            node.op_type, node.domain = "F0", "local"
    return built.SerializeToString()


def doubling(times: int) -> bytes:
    """A list of two numbers that is put behind itself, again and again."""
    nodes = [helper.make_node("Concat", [f"s{n}", f"s{n}"], [f"s{n + 1}"], axis=0) for n in range(times)]
    first = numpy_helper.from_array(np.ones(2, np.int64), "s0")
    return model([*nodes, helper.make_node("Identity", ["x"], ["y"])], [first]).SerializeToString()


def wide(rank: int) -> bytes:
    """An input of so many dimensions of 2^62."""
    return model(inputs=[helper.make_tensor_value_info("x", TensorProto.FLOAT, [1 << 62] * rank)]).SerializeToString()


def circle() -> bytes:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Add", ["a", "x"], ["b"])]
    return model([*nodes, helper.make_node("Identity", ["b"], ["y"])]).SerializeToString()


def constant(size: int) -> bytes:
    """A constant of so many numbers, written in a few bytes."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["c"]),
        helper.make_node("ReduceSum", ["c"], ["r"], keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    return model(nodes, [numpy_helper.from_array(np.array([size]), "size")]).SerializeToString()


ONNX |= {
    "functions that call each other 2^40 times": (functions(40), "its functions call each other"),
    "a function that calls itself": (functions(1, circle=True), "its functions call each other"),
}

BOMBS: dict[str, bytes] = {
    "a list that doubles 40 times": doubling(40),
    "2,000 dimensions of 2^62": wide(2000),
    "nodes in a circle": circle(),
    "a constant of 2^40 numbers": constant(1 << 40),
}
"""Files that are well-formed, and would make a tool compute or allocate without end."""


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(start: int, end: int, shape: list[int] | None = None, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": [(end - start) // 4] if shape is None else shape, "data_offsets": [start, end]}


SAFETENSORS: dict[str, tuple[bytes, str]] = {
    "a header of 2^63 bytes": (safetensors({}, length=1 << 63), "the limit is 100000000"),
    "a header of 2^64 - 1 bytes": (safetensors({}, length=(1 << 64) - 1), "the limit is 100000000"),
    "a header longer than the file": (safetensors({}, length=1 << 20), "truncated"),
    "truncated": (safetensors({"w": entry(0, 16)}, bytes(8)), "'w'"),
    "too short": (b"\x02\0\0", "only 3 bytes"),
    "overlapping offsets": (safetensors({"a": entry(0, 16), "b": entry(8, 24)}, bytes(24)), "overlaps the one before"),
    "the same offsets twice": (safetensors({"a": entry(0, 16), "b": entry(0, 16)}, bytes(16)), "overlaps"),
    "a hole": (safetensors({"a": entry(0, 8), "b": entry(16, 24)}, bytes(24)), "leaves a hole"),
    "data behind the last": (safetensors({"a": entry(0, 8)}, bytes(16)), "its tensors end at byte"),
    "offsets that run back": (safetensors({"a": entry(16, 0, [4])}, bytes(16)), "data_offsets"),
    "negative offsets": (safetensors({"a": entry(-16, 0)}, bytes(16)), "data_offsets"),
    "huge offsets": (safetensors({"a": entry(0, 1 << 62, [1 << 60])}, bytes(16)), "'a'"),
    "a name twice": (safetensors(b'{"a":%s,"a":%s}' % ((json.dumps(entry(0, 4)).encode(),) * 2), bytes(4)), "twice"),
    "a header that is no JSON": (safetensors(b"{oops}"), "not valid JSON"),
    "a header of brackets": (safetensors(b'{"a":' + b"[" * 1_000_000), "not valid JSON"),
    "an unknown type": (safetensors({"a": entry(0, 4, dtype="F7")}, bytes(4)), "unknown dtype 'F7'"),
    "a shape that does not fit": (safetensors({"a": entry(0, 16, [5])}, bytes(16)), "16 bytes"),
    "a shape whose product overflows": (safetensors({"a": entry(0, 16, [1 << 40] * 4)}, bytes(16)), "shape"),
    "a zip": (zipped("model.safetensors"), "a zip archive"),
}


def links(folder: Path) -> None:
    """What external data might name, beside a model in ``folder``."""
    secret = folder.parent / "secret"
    secret.write_bytes(bytes(64))
    (folder / "data.bin").write_bytes(bytes(64))
    (folder / "link.bin").symlink_to(secret)
    (folder / "linked").symlink_to(folder.parent)
    os.link(secret, folder / "hard.bin")
    os.mkfifo(folder / "fifo")


def many_onnx(count: int) -> bytes:
    weights = [TensorProto(name=f"w{n}", data_type=1, dims=[2], raw_data=bytes(8)) for n in range(count)]
    return model(initializers=weights).SerializeToString()


def many_safetensors(count: int) -> bytes:
    return safetensors({f"w{n}": entry(8 * n, 8 * n + 8) for n in range(count)}, bytes(8 * count))


BIG: dict[str, Callable[[int], bytes]] = {"m.onnx": many_onnx, "m.safetensors": many_safetensors}
"""Sound models of a number of tensors."""
