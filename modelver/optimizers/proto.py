"""What every variant has in common with its parent, whatever tool made it."""

import heapq
from pathlib import Path
from typing import Any

from modelver.errors import InvalidInput

LIMIT = (1 << 31) - 1
"""Bytes of a model that the tools take in one piece: protobuf's limit."""


def load(path: Path) -> Any:
    """The ``ModelProto`` at ``path``.

    Raises:
        InvalidInput: it has more than `LIMIT` bytes.
    """
    import onnx

    size = path.stat().st_size
    if size > LIMIT:
        raise InvalidInput(
            f"the model takes {size} bytes in one piece, the tools that make variants take {LIMIT} at most",
            hint="make the variant with the framework before the export, and add it as a model of its own",
        )
    return onnx.load(path)


def save(proto: Any, parent: Any, output: Path) -> None:
    """Write a variant: metadata, names and IR version are the parent's, opset imports are those that are used.

    Tools leave marks (``onnx.infer``), other producers, and imports of every domain that they know.
    """
    used = _domains(proto)
    imports = {item.domain: item.version for item in proto.opset_import if _plain(item.domain) in used}
    del proto.opset_import[:]
    for domain, version in sorted(imports.items()):
        proto.opset_import.add(domain=domain, version=version)
    proto.producer_name, proto.producer_version = parent.producer_name, parent.producer_version
    proto.ir_version = max(parent.ir_version, _least_ir(proto))
    proto.graph.name = parent.graph.name
    del proto.metadata_props[:]
    proto.metadata_props.extend(parent.metadata_props)
    del proto.graph.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    _sort(proto.graph)
    _keep_declarations(proto, parent)
    output.write_bytes(proto.SerializeToString(deterministic=True))


def _sort(graph: Any) -> None:
    """Put each node behind what it reads, otherwise in the order they had: the float16 converter appends its casts.

    A graph with a circle stays as it is, the checker refuses it.
    """
    made_by = {name: number for number, node in enumerate(graph.node) for name in node.output if name}
    needs = [{made_by[name] for name in _reads(node) if name in made_by} for node in graph.node]
    if all(source < number for number, sources in enumerate(needs) for source in sources):
        return
    readers: dict[int, list[int]] = {}
    for number, sources in enumerate(needs):
        for source in sources:
            readers.setdefault(source, []).append(number)
    ready = [number for number, sources in enumerate(needs) if not sources]
    order: list[int] = []
    while ready:
        number = heapq.heappop(ready)
        order.append(number)
        for reader in readers.get(number, ()):
            needs[reader].discard(number)
            if not needs[reader]:
                heapq.heappush(ready, reader)
    if len(order) == len(needs):
        nodes = [type(graph.node[0]).FromString(graph.node[number].SerializeToString()) for number in order]
        del graph.node[:]
        graph.node.extend(nodes)


def _reads(node: Any) -> set[str]:
    """Names that a node reads, those of its subgraphs included."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
            names |= {name for inner in graph.node for name in _reads(inner)} | {item.name for item in graph.output}
    return names


def _keep_declarations(proto: Any, parent: Any) -> None:
    """Inputs and outputs as the parent declares them, where name and type are the same: tools rename dimensions."""
    for ours, theirs in ((proto.graph.input, parent.graph.input), (proto.graph.output, parent.graph.output)):
        by_name = {item.name: item for item in theirs}
        for item in ours:
            old = by_name.get(item.name)
            if old is not None and old.type.tensor_type.elem_type == item.type.tensor_type.elem_type:
                item.CopyFrom(old)


def _plain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _domains(proto: Any) -> set[str]:
    found = {""}
    stack = [proto.graph, *proto.functions]
    while stack:
        for node in stack.pop().node:
            found.add(_plain(node.domain))
            for attribute in node.attribute:
                stack += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
    return found


def _least_ir(proto: Any) -> int:
    """The IR version that the variant calls for: functions came with 8, weights that are no inputs with 4."""
    if proto.functions:
        return 8
    inputs = {item.name for item in proto.graph.input}
    return 3 if all(tensor.name in inputs for tensor in proto.graph.initializer) else 4
