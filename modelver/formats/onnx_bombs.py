"""Small graphs that make tools compute without end: functions that call functions, lists that double.

ONNX's checker, its shape inference and onnxruntime expand functions and follow the contents of shapes, in this process
and without a limit. So it is worked out beforehand how much would come of a graph.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelver.errors import InvalidInput

MAX_NODES = 1_000_000
"""Nodes that a graph may have once its functions are expanded; the largest networks have some hundred thousand."""

MAX_LIST = 1 << 20
"""Numbers that shape inference may hold for one value."""

_CYCLE = MAX_NODES + 1
_FOLLOWED = {"Add", "Cast", "Concat", "Div", "Gather", "Identity", "Mul", "Slice", "Squeeze", "Sub", "Unsqueeze"}
"""Operators through which shape inference follows the contents of a list; source: onnx/defs, data propagation."""

_LISTS = (6, 7)  # TensorProto.INT32, INT64
_RANK = 64
_MAX_CALLS = 20  # functions inside of functions; with `onnx_walk.MAX_DEPTH` subgraphs in each, Python's stack holds it


def expanded_nodes(proto: Any) -> int:
    """How many nodes a ``ModelProto`` has once its functions are expanded; above `MAX_NODES` where one calls itself."""
    functions = {(item.domain, item.name): item for item in proto.functions}
    known: dict[tuple[str, str], int] = {}

    def count(nodes: Any, calling: frozenset[tuple[str, str]]) -> int:
        total = 0
        for node in nodes:
            total += 1
            for attribute in node.attribute:
                for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                    total += count(graph.node, calling)
            key = (node.domain, node.op_type)
            if key in functions:
                total += _CYCLE if key in calling else called(key, calling)
            if total > MAX_NODES:
                return total
        return total

    def called(key: tuple[str, str], calling: frozenset[tuple[str, str]]) -> int:
        if key not in known:
            known[key] = _CYCLE if len(calling) >= _MAX_CALLS else count(functions[key].node, calling | {key})
        return known[key]

    return count(proto.graph.node, frozenset())


def refuse(proto: Any, path: Path) -> None:
    """Raise InvalidInput where a model's functions expand to more than `MAX_NODES` nodes."""
    if expanded_nodes(proto) > MAX_NODES:
        raise InvalidInput(
            f"{path}: its functions call each other, so that more than {MAX_NODES} nodes come of its graph",
            hint="export it with its functions inlined (onnx.inliner)",
        )


def lists_stay_small(proto: Any) -> bool:
    """Whether shape inference may follow the contents of lists: none can grow beyond `MAX_LIST` numbers."""
    if any(node.op_type == "Concat" for item in proto.functions for node in item.node):
        return False
    return _largest(proto.graph, {}) <= MAX_LIST


def _largest(graph: Any, outer: Mapping[str, int]) -> int:
    sizes = {**outer, **{item.name: math.prod(item.dims) for item in graph.initializer if item.data_type in _LISTS}}
    largest = 0
    for node in graph.node:
        size = 0
        for attribute in node.attribute:
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                largest = max(largest, _largest(inner, sizes))
            if node.op_type == "Constant":
                size = max(size, len(attribute.ints), math.prod(attribute.t.dims) if attribute.HasField("t") else 0)
        given = [sizes.get(name, 0) for name in node.input]
        if node.op_type == "Shape":
            size = _RANK
        elif node.op_type in _FOLLOWED:
            size = sum(given) if node.op_type == "Concat" else max(given, default=0)
        largest = max(largest, size if node.op_type == "Concat" else 0)
        if largest > MAX_LIST:
            return largest
        sizes.update(dict.fromkeys(node.output, size))
    return largest
