"""Walk an ONNX model on the wire, meet every tensor wherever it sits, and rebuild the model around them.

Source: onnx.proto (IR version 14); the numbers below are its field numbers.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from modelver.errors import InvalidInput
from modelver.formats import onnx_tensor
from modelver.formats.contained import Folder
from modelver.formats.onnx_tensor import WireTensor
from modelver.formats.wire import BYTES, VARINT, Field, Malformed, Reader, Rope

MAX_DEPTH = 30
"""Subgraphs inside subgraphs; protobuf itself stops at 100 messages, which is 33 subgraphs."""

SMALL_ATTRIBUTE = 1024
"""Bytes below which a tensor in a node's attribute counts as part of the graph, not as weights."""

_MAX_NODE_FIELDS = 1_000_000
_CHILDREN = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_ONCE = {"model": (1, 7), "attribute": (5, 6, 22), "sparse": (1, 2), "training": (1, 2)}
_RUN = re.compile(
    # floats (field 7), ints (8) and short strings (9) of an attribute: a forest has millions, one by one
    # they would take minutes
    rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f]|"
    + b"|".join(rb"\x4a" + re.escape(bytes([n])) + rb".{%d}" % n for n in range(33))
    + rb")+",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor sits.

    Attributes:
        path: names of the graphs, nodes and attributes around it, outermost first; no initializer's own name.
        initializer: it is an initializer (or part of a sparse one) of a graph, the main one or an inner one.
        depth: 0 in the main graph.
        movable: its data may be external: the checker and onnxruntime 1.31 load it for initializers and for
            the value of a Constant node, not for sparse tensors and attributes of other operators.
    """

    path: tuple[str, ...] = ()
    initializer: bool = False
    depth: int = 0
    movable: bool = False


Visit = Callable[[WireTensor, Place, str], Rope | None]
"""Called with each tensor, its place and its unique name; returns what it becomes, or None to leave it."""


@dataclass(slots=True)
class Model:
    """An ONNX model file that is open for reading, and its folder.

    Raises:
        InvalidInput: the file is no ONNX model.
    """

    path: Path
    reader: Reader = field(init=False)
    folder: Folder = field(init=False)

    def __post_init__(self) -> None:
        self.reader = Reader(self.path)
        self.folder = Folder(self.path.parent)

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.folder.close()

    def check_unchanged(self) -> None:
        """Raise InvalidInput if one of the files was written to since it was opened."""
        self.reader.check_unchanged()
        self.folder.check_unchanged()

    def rebuild(self, visit: Visit) -> Rope:
        """The model with each tensor as ``visit`` wants it; what is around them stays as it is, to the byte.

        Raises:
            InvalidInput: the file is malformed or no ONNX model.
        """
        top = {item.number for item in self.reader.fields(0, self.reader.size)}
        if not {1, 7} <= top:
            raise InvalidInput(f"{self.path} is not an ONNX model: it has no IR version or no graph")
        return _Walk(self, visit).message("model", 0, self.reader.size, Place())


class _Walk:
    def __init__(self, model: Model, visit: Visit) -> None:
        self.model = model
        self.reader = model.reader
        self.visit = visit
        self.names: dict[str, int] = {}
        self.initializers: list[set[str]] = []  # of the graphs that are being walked, outermost first
        self.sparse = ""

    def message(self, kind: str, start: int, end: int, place: Place) -> Rope:
        if place.depth > MAX_DEPTH:
            raise Malformed(f"{self.model.path}: subgraphs are nested more than {MAX_DEPTH} deep")
        if kind == "attribute":
            return self._attribute(start, end, place)
        if kind == "node":
            return self._node(start, end, place)
        rope, seen = Rope(), set[int]()
        if kind == "graph":
            self.initializers.append(set())
        for item in self.reader.fields(start, end):
            self._once(kind, item, seen)
            self._field(kind, item, rope, place)
        if kind == "graph":
            self.initializers.pop()
        return rope

    def _once(self, kind: str, item: Field, seen: set[int]) -> None:
        # protobuf merges a message that comes twice; nobody writes that, and tools disagree on it
        if item.number in seen and item.number in _ONCE.get(kind, ()):
            raise Malformed(f"{self.model.path}: field {item.number} of the {kind} at byte {item.tag} is there twice")
        seen.add(item.number)

    def _field(self, kind: str, item: Field, rope: Rope, place: Place) -> None:
        child = _CHILDREN[kind].get(item.number)
        if child is None:
            rope.add_span(self.reader, item.tag, item.end)
            return
        if item.kind != BYTES:
            raise Malformed(f"{self.model.path}: broken {child} at byte {item.tag}")
        if child == "tensor":
            new = self._tensor(kind, item, place)
        else:
            new = self.message(child, item.start, item.end, self._inside(kind, child, item, place))
        if new is None or new.is_span(item.start, item.end):
            rope.add_span(self.reader, item.tag, item.end)
        else:
            rope.add_field(item.number, new)

    def _inside(self, kind: str, child: str, item: Field, place: Place) -> Place:
        if kind == "attribute" and child == "graph":
            return Place(place.path, depth=place.depth + 1)
        if kind == "graph" or child == "sparse":
            return Place(place.path, child == "sparse" and kind == "graph", place.depth)
        if kind == "model" and child != "graph":
            return Place((*place.path, child), depth=place.depth)
        return place

    def _node(self, start: int, end: int, place: Place) -> Rope:
        items = []
        name = output = operator = ""
        for item in self.reader.fields(start, end):
            items.append(item)
            if item.number == 3:
                name = item.text()
            elif item.number == 2 and not output:
                output = item.text()
            elif item.number == 4:
                operator = item.text()
            if len(items) > _MAX_NODE_FIELDS:
                raise Malformed(f"{self.model.path}: the node at byte {start} has over {_MAX_NODE_FIELDS} fields")
        # a Constant is known by what it gives, exporters number its name
        label = (output or name) if operator == "Constant" else (name or output)
        inside = Place((*place.path, label or operator), depth=place.depth, movable=operator == "Constant")
        rope = Rope()
        for item in items:
            self._field("node", item, rope, inside)
        return rope

    def _attribute(self, start: int, end: int, place: Place) -> Rope:
        rope, seen, name = Rope(), set[int](), ""
        position = start
        while position < end:
            stop = self._run(position, end)
            if stop > position:
                rope.add_span(self.reader, position, stop)
                position = stop
                continue
            item = next(self.reader.fields(position, end))
            self._once("attribute", item, seen)
            if item.number == 1:
                name = item.text()
            self._field("attribute", item, rope, Place((*place.path, name), depth=place.depth, movable=place.movable))
            position = item.end
        return rope

    def _run(self, position: int, end: int) -> int:
        """Where the run of plain list elements at ``position`` ends, as far as the window shows it."""
        data, base = self.reader.window(position, 64)
        offset = position - base
        if offset >= len(data) or data[offset] not in b"\x3d\x40\x4a":
            return position
        found = _RUN.match(data, offset, min(len(data), end - base))
        return base + found.end() if found else position

    def _tensor(self, kind: str, item: Field, place: Place) -> Rope | None:
        around = "/".join(place.path)
        where = f"{self.model.path}, tensor in {around or 'the graph'} at byte {item.start}"
        tensor = onnx_tensor.parse(self.reader, item.start, item.end, where)
        if tensor.dtype is None:
            return None
        initializer = kind == "graph" or (kind == "sparse" and place.initializer)
        own = tensor.name if initializer else ""
        if own and (kind == "graph" or item.number == 1):
            if own in self.initializers[-1]:
                raise Malformed(f"{where}: the graph has two initializers that are called {own!r}")
            self.initializers[-1].add(own)
        if kind == "sparse" and item.number == 1:
            self.sparse = own
        elif kind == "sparse":
            own = "/".join(part for part in (self.sparse, "indices") if part)
        parts = [*_without_value(place.path, initializer), *([own] if own else [])]
        name = self._unique("/".join(parts) or "tensor")
        movable = kind == "graph" or (kind == "attribute" and place.movable)
        return self.visit(tensor, Place(place.path, initializer, place.depth, movable), name)

    def _unique(self, name: str) -> str:
        while True:
            times = self.names.get(name, 0) + 1
            self.names[name] = times
            if times == 1:
                return name
            name = f"{name}#{times}"


def _without_value(path: tuple[str, ...], initializer: bool) -> tuple[str, ...]:
    """A Constant's tensor is named by the node alone."""
    return path[:-1] if not initializer and path[-1:] in (("value",), ("sparse_value",)) else path


def ir_version(reader: Reader) -> int | None:
    """The model's IR version, or None where the field is missing or broken."""
    for item in reader.fields(0, reader.size):
        if item.number == 1 and item.kind == VARINT:
            return item.value
    return None
