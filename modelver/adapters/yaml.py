"""YAML: strict reading with limits, deterministic writing, and edits that keep people's comments and quoting.

Reading follows YAML 1.2's core schema, as DVC does: ``NO`` is text and a date stays text. Python's tags, duplicate
keys, and documents that explode through aliases are refused.
"""

import copy
import io
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import yaml

from modelver.errors import InvalidInput

MAX_BYTES = 32 << 20
"""Largest document accepted, in bytes: the lock file of some 100,000 stages."""
MAX_DEPTH = 100
MAX_NODES = 1_000_000
"""Nodes accepted, as they stand and with every alias written out: a few seconds and 400 MiB."""
MAX_EDITED_NODES = 100_000
"""Nodes accepted in a file that is edited: keeping comments costs some 20 times as much."""

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONFLICT = re.compile(rb"^(<{7} |>{7} )", re.MULTILINE)


class _Loader(_Base):  # type: ignore[misc]
    """The safe loader with YAML 1.2's scalars and no duplicate keys."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # none of YAML 1.1's

    def flatten_mapping(self, node: Any) -> None:
        """Merge ``<<`` in, each key once: PyYAML keeps all copies, so that merges of merges fill the memory."""
        own = [pair for pair in node.value if pair[0].tag != "tag:yaml.org,2002:merge"]
        if len(own) == len(node.value):
            return
        super().flatten_mapping(node)
        taken = {key.value for key, _ in own if isinstance(key, yaml.ScalarNode)}
        merged = {
            key.value if isinstance(key, yaml.ScalarNode) else id(key): (key, value)
            for key, value in node.value[: len(node.value) - len(own)]
        }
        node.value = [pair for name, pair in merged.items() if name not in taken] + own


for _tag, _pattern, _first in (
    ("tag:yaml.org,2002:bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", "tTfF"),
    ("tag:yaml.org,2002:null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
        "-+.0123456789",
    ),
    ("tag:yaml.org,2002:merge", r"<<\Z", "<"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))


def _construct_int(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node)
    if len(text) > 400:
        raise yaml.constructor.ConstructorError(None, None, "a number of over 400 digits", node.start_mark)
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _construct_map(loader: Any, node: Any) -> Any:
    seen = set()
    for key_node, _ in node.value:
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        if key is None:
            raise yaml.constructor.ConstructorError(None, None, "a key that is no scalar", key_node.start_mark)
        if key in seen and key != "<<":
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key[:80]!r}", key_node.start_mark)
        seen.add(key)
    # Two steps, as in PyYAML, so that a node may refer to itself; `_check_size` then refuses it.
    data: dict[Any, Any] = {}
    yield data
    data.update(loader.construct_mapping(node))


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def load(data: bytes, where: str, *, max_bytes: int = MAX_BYTES, max_nodes: int = MAX_NODES) -> Any:
    """Parse one YAML document.

    Args:
        data: UTF-8, with or without a byte order mark, LF or CRLF.
        where: the file's name, for messages.
        max_bytes, max_nodes: refuse more than that.

    Raises:
        InvalidInput: not UTF-8, no YAML, conflict markers, duplicate keys, a Python tag, too deep or too large; the
            message names file, line and reason.
    """
    if len(data) > max_bytes:
        raise InvalidInput(f"{where}: {len(data)} bytes, more than the {max_bytes} that are read")
    conflict = _CONFLICT.search(data)
    if conflict:
        line = data.count(b"\n", 0, conflict.start()) + 1
        raise InvalidInput(f"{where}, line {line}: conflict markers of a merge", hint=_mend_conflict(where))
    if b"\0" in data:
        raise InvalidInput(f"{where}: holds a NUL byte, so it is no text file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{where}: byte {error.start}: not UTF-8") from None
    _check_events(text, where, max_nodes)
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506  (a subclass of the safe loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise InvalidInput(f"{where}{place}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{where}: {str(error).splitlines()[0]}") from None
    _check_size(document, where)
    return document


def _mend_conflict(where: str) -> str:
    """What to do about conflict markers: nobody can merge hashes by hand, and of several files they must fit together,
    so one side is taken of all that is made for a model; `status` knows which files, and what is under way."""
    folder, _, name = where.rpartition("/")
    if name == "metadata.yaml" and folder.startswith("models/"):
        return f"modelver status {shlex.quote(folder.removeprefix('models/'))}   (says how to take one side)"
    if name in ("dvc.lock", "metadata.yaml") or name.endswith(".dvc"):
        return "modelver status   (says how to take one side of a whole model)"
    return f"mend it, then: git add {shlex.quote(where)}"


def load_mapping(data: bytes, where: str, *, max_nodes: int = MAX_NODES) -> dict[str, Any]:
    """As `load`, for a document that must be a mapping with text keys; an empty one is an empty mapping."""
    document = load(data, where, max_nodes=max_nodes)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise InvalidInput(f"{where}: expected a mapping, found {type(document).__name__}")
    return document


def dump(document: Any) -> bytes:
    """Write a document the same way everywhere: order of keys as given, LF, UTF-8, nothing folded.

    The pure Python emitter is used on purpose: libyaml's folds and quotes slightly differently, and whether it is
    there depends on the machine.
    """
    text: str = yaml.dump(
        document,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=1 << 20,
        line_break="\n",
    )
    return text.encode("utf-8")


def edit(path: Path, change: Callable[[Any], None]) -> bytes:
    """As `edit_bytes`, of a file; one that does not exist is an empty mapping."""
    return edit_bytes(path.read_bytes() if path.exists() else b"", path.name, change)


def edit_bytes(data: bytes, where: str, change: Callable[[Any], None]) -> bytes:
    """A YAML document after ``change`` worked on its parsed form; comments, order and quoting are kept.

    Args:
        data: the document.
        where: the file's name, for messages.
        change: alters the mapping in place.

    Raises:
        InvalidInput: as `load`, or the document is no mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    load_mapping(data, where, max_nodes=MAX_EDITED_NODES)
    roundtrip = YAML()
    roundtrip.preserve_quotes = True
    roundtrip.width = 1 << 20
    text = data.decode("utf-8-sig").replace("\r\n", "\n")
    mapping, offset = _step(text, _MAPPING_IN_MAPPING, 2), _step(text, _LIST_IN_MAPPING, 0)
    roundtrip.indent(mapping=mapping, sequence=offset + 2, offset=offset)
    if (null := re.search(r"[:-][ \t]+(null|Null|NULL|~)[ \t]*(?:#.*)?$", text, re.MULTILINE)) is not None:
        roundtrip.Representer = _representer(null[1])
    # ruamel.yaml drops what stands in front of the document: comments before ``---``, or comments alone
    start = re.match(r"((?:[ \t]*(?:#.*)?\n)*)---[ \t]*\n", text)
    roundtrip.explicit_start = start is not None
    head = start[1] if start else ""
    try:
        document = roundtrip.load(text[len(head) :])
        if document is None:
            document, head = {}, text if text.endswith("\n") or not text else text + "\n"
        if not isinstance(document, dict):  # `&a:` is an anchor here, and there one with an empty key
            raise InvalidInput(f"{where}: expected a mapping, and not all parsers find one")
        before = copy.deepcopy(document)
        change(document)
        if document == before:
            return data  # written again, it might be laid out otherwise
        stream = io.StringIO(newline="")
        roundtrip.dump(document, stream)
    except YAMLError as error:
        raise InvalidInput(f"{where}: {str(error).splitlines()[0]}") from None
    end = "\r\n" if b"\r\n" in data else "\n"
    return (head + stream.getvalue()).replace("\n", end).encode("utf-8")


_KEY_ALONE = r"^( *)(?![ #-])(?:[^\n#]*[^\s\n#])?:[ \t]*(?:#[^\n]*)?\n(?:[ \t]*(?:#[^\n]*)?\n)*"
_MAPPING_IN_MAPPING = re.compile(_KEY_ALONE + r"( +)[^\s#-][^\n]*:", re.MULTILINE)
_LIST_IN_MAPPING = re.compile(_KEY_ALONE + r"( *)- ", re.MULTILINE)


def _step(text: str, pattern: re.Pattern[str], default: int) -> int:
    """How far a document sets in what stands below a key, by the first place that shows it."""
    for match in pattern.finditer(text):
        step = len(match[2]) - len(match[1])
        if 0 <= step <= 8 and (step or pattern is _LIST_IN_MAPPING):
            return step
    return default


def _representer(null: str) -> Any:
    """Null as the document writes it; ruamel.yaml would leave it out."""
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):  # type: ignore[misc]
        pass

    Representer.add_representer(type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", null))
    return Representer


class _Dumper(yaml.SafeDumper):
    """The safe dumper without aliases: the same list twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> Any:
        """Text in quotes wherever `_Loader` would not read it as text: PyYAML leaves ``1e1`` and ``0o7`` bare."""
        patterns = (pattern for _, pattern in _Loader.yaml_implicit_resolvers.get(data[:1], ()))
        style = "'" if any(pattern.match(data) for pattern in patterns) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.text)


def _check_events(text: str, where: str, max_nodes: int) -> None:
    """Refuse deep nesting before the loader recurses into it, and more nodes than memory and patience are there for."""
    depth = nodes = 0
    try:
        for event in yaml.parse(text, Loader=_Base):
            nodes += isinstance(event, yaml.NodeEvent)
            if nodes > max_nodes:
                raise InvalidInput(f"{where}: more than the {max_nodes} nodes that are read")
            if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                depth += 1
                if depth > MAX_DEPTH:
                    line = event.start_mark.line + 1 if event.start_mark else 0
                    raise InvalidInput(f"{where}, line {line}: nested deeper than {MAX_DEPTH}")
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                depth -= 1
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise InvalidInput(f"{where}{place}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"{where}: {str(error).splitlines()[0]}") from None


def _check_size(document: Any, where: str) -> None:
    """Refuse what aliases blow up, counting each node as often as it would be written out."""
    sizes: dict[int, int] = {}
    active: set[int] = set()

    def size(node: Any) -> int:
        if not isinstance(node, (dict, list)):
            return 1
        key = id(node)
        if key in sizes:
            return sizes[key]
        if key in active:
            raise InvalidInput(f"{where}: an alias contains itself")
        active.add(key)
        total = 1 + sum(size(child) for child in (node.values() if isinstance(node, dict) else node))
        active.discard(key)
        if total > MAX_NODES:
            raise InvalidInput(f"{where}: aliases blow it up to more than {MAX_NODES} nodes")
        sizes[key] = total
        return total

    size(document)
