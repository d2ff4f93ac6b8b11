"""An assessment as text that a person can act on: facts, then targets with what to do, then risks."""

from collections.abc import Iterator, Mapping
from typing import Any

from modelver.cli.context import size
from modelver.core.printable import printable
from modelver.operations.stage_assess import Assessment

_SHOWN = 8


def lines(result: Assessment) -> Iterator[str]:
    """The lines, without newlines."""
    document = result.document
    for name, value in _facts(document):
        if value:
            yield f"{name:<12} {printable(value)}"
    for name, target in document["targets"].items():
        yield from _target(name, target)
    for risk in result.risks:
        yield f"{risk.level:<6} {risk.name}: {printable(risk.message)}"
        yield f"       do: {printable(risk.advice)}"


def brief(model: str, result: Assessment) -> str:
    """One line: where the model runs, and what is risky about it."""
    words = {True: "yes", False: "no", None: "not known"}
    targets = ", ".join(f"{name} {words[target['ok']]}" for name, target in result.document["targets"].items())
    risks = ", ".join(f"{risk.name} ({risk.level})" for risk in result.risks) or "none"
    return f"assessed {model}: runs in: {targets or 'no runtime known'}; risks: {risks}"


def _facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    source, form, weights = document["source"], document["format"] or {}, document["weights"]
    framework = " ".join(filter(None, [source["framework"], source["framework_version"]]))
    yield "source", ", ".join(filter(None, [source["path"], source["format"], framework]))
    packages = source["packages"] or {}
    yield "needs", ", ".join(f"{name} {version}" for name, version in packages.items())
    yield "imports", ", ".join(source["imports"]) + ("" if source["imports_complete"] else " (not all could be read)")
    opsets = ", ".join(f"{domain} {version}" for domain, version in form.get("opsets", {}).items())
    version = f", IR {form['ir_version']}" if form.get("ir_version") else ""
    yield "format", f"{form.get('name', '')}{version}{', ' + opsets if opsets else ''}"
    yield from _values(document["data"])
    used = document["operators"]
    yield "operators", ", ".join(f"{item['operator'].removeprefix('ai.onnx/')} {item['count']}" for item in used[:20])
    yield "custom", ", ".join(item["operator"] for item in used if item["custom"])
    dtypes = document["dtypes"]["weights"]
    kinds = ", ".join(f"{name} {size(each['bytes'])}" for name, each in dtypes.items())
    count = "" if weights["parameters"] is None else f"{weights['parameters']:,} parameters ({kinds}), "
    yield "size", f"{count}{size(weights['disk_bytes'])} on disk"
    yield from _cost(document)


def _values(data: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    for side in ("inputs", "outputs") if data else ():
        assert data is not None
        shown = [f"{value['name']} {value['dtype']}{_shape(value['shape'])}" for value in data[side][:_SHOWN]]
        more = f" and {len(data[side]) - _SHOWN} more" if len(data[side]) > _SHOWN else ""
        yield side, ", ".join(shown) + more


def _shape(shape: list[Any] | None) -> str:
    return "" if shape is None else "[" + ", ".join("?" if dim is None else str(dim) for dim in shape) + "]"


def _cost(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    cost, hardware = document["cost"], document["hardware"]
    if cost:
        least = "at least " if cost["not_counted"] or cost["unknown_values"] else ""
        activations = "unknown" if cost["activation_bytes"] is None else size(cost["activation_bytes"])
        yield "cost", f"{least}{cost['flops']:,} operations and {activations} of activations for a batch of one"
        yield "not counted", ", ".join(f"{name} {count}" for name, count in cost["not_counted"].items())
    needs = "".join(f"; {need}" for need in hardware["needs"])
    yield "hardware", f"{size(hardware['memory_bytes'])} of memory for model and activations{needs}"


def _target(name: str, target: Mapping[str, Any]) -> Iterator[str]:
    words = {True: "ok", False: "NO", None: "?"}
    version = f" {target['version']}" if target["version"] else ""
    total = target["supported"] + len(target["operators"])
    yield f"{words[target['ok']]:<6} {name}{version}: {target['supported']} of {total} operators supported"
    if target["error"]:
        yield f"       does not load: {printable(target['error'])}"
    groups: dict[tuple[str, str], list[str]] = {}
    for item in target["operators"]:
        groups.setdefault((item["verdict"], item["why"]), []).append(item["operator"].removeprefix("ai.onnx/"))
    for (verdict, why), names in groups.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield f"       {verdict}: {printable(', '.join(names[:_SHOWN]))}{more}: {printable(why)}"
    advised = sorted(target["operators"], key=lambda item: item["verdict"])  # no before unknown
    for advice in dict.fromkeys(item["advice"] for item in advised if item["advice"]):
        yield f"       do: {printable(advice)}"
