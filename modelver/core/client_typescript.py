"""A TypeScript module that calls one version of a model through onnxruntime-web or onnxruntime-node."""

import json

from modelver.core.client import Interface, Value, shape_words
from modelver.core.client_names import literal, remark

_OUTPUT = {
    "float32": "Float32Array", "float64": "Float64Array", "int8": "Int8Array", "uint8": "Uint8Array",
    "int16": "Int16Array", "uint16": "Uint16Array", "int32": "Int32Array", "uint32": "Uint32Array",
    "int64": "BigInt64Array", "uint64": "BigUint64Array", "bool": "Uint8Array", "string": "readonly string[]",
    "float16": "Uint16Array",
}  # fmt: skip
"""Element type → what onnxruntime gives in JavaScript; float16 as the bits of each number."""

_BIG = ("int64", "uint64")


def typescript_client(face: Interface) -> str:
    """The module's text: the same interface gives the same text, which passes ``tsc --strict``."""
    parts = [_head(face), _constants(face), _interface("Inputs", face.inputs, given=True)]
    parts += [_interface("Outputs", face.outputs, given=False), _model(face), _HELPERS.strip("\n")]
    return "\n\n".join(parts) + "\n"


def _head(face: Interface) -> str:
    lines = ["/**", f" * Calls {remark(face.model)} {remark(face.version)} through onnxruntime in JavaScript.", " *"]
    if face.description:
        lines += [f" * {remark(face.description, 400)}", " *"]
    lines += [f" * {remark(note, 400)}" for note in face.notes]
    lines += [
        " *", f" * Written by: modelver client --lang typescript {remark(face.model)}@{remark(face.version)}.",
        " * Write it again for another version; do not edit it.",
        " *", " * import * as ort from 'onnxruntime-web';  // or 'onnxruntime-node'",
        " * const model = await load(ort, 'model.onnx');", " */",
    ]  # fmt: skip
    return "\n".join([*lines, "import type * as Ort from 'onnxruntime-common';"])


def _constants(face: Interface) -> str:
    lines = [f"export const MODEL = {literal(face.model)};", f"export const VERSION = {literal(face.version)};",
             f"export const WEIGHTS_SHA256 = {literal(face.sha256)};"]  # fmt: skip
    if face.labels:
        labels = ", ".join(json.dumps(label) for label in face.labels)
        lines += [
            "/** The classes, in the order of the columns of scores. */",
            f"export const LABELS = [{labels}] as const;",
        ]
    for side, values in (("INPUTS", face.inputs), ("OUTPUTS", face.outputs)):
        names = ", ".join(literal(value.name) for value in values)
        lines.append(f"const {side}: readonly string[] = [{names}];")
    return "\n".join(lines)


def _interface(name: str, values: tuple[Value, ...], *, given: bool) -> str:
    lines = [f"export interface {name} {{"]
    for value in values:
        lines += [
            f"  /** {remark(value.name)}: {remark(shape_words(value))} */",
            f"  readonly {value.field}: {_type(value, given)};",
        ]
    return "\n".join([*lines, "}"])


def _type(value: Value, given: bool) -> str:
    if value.dtype not in _OUTPUT:
        return "Ort.OnnxValue"
    if not given or value.dtype == "float16":
        return f"Values<{_OUTPUT[value.dtype]}>"
    if value.dtype == "string":
        return "Values<readonly string[]>"
    if value.dtype == "bool":
        return "Values<ArrayLike<boolean | number>>"
    return f"Values<ArrayLike<{'bigint | number' if value.dtype in _BIG else 'number'}>>"


def _model(face: Interface) -> str:
    # A computed key, for a plain "__proto__" would set the object's prototype.
    feeds = "".join(f"\n      [{literal(v.name)}]: {_feed(v)}," for v in face.inputs)
    answers = "".join(f"\n      {v.field}: {_answer(v)}," for v in face.outputs)
    return f"""\
/** The model, loaded. */
export class Model {{
  constructor(private readonly ort: Runtime, private readonly session: Ort.InferenceSession) {{}}

  /** Answer one batch. */
  async run(inputs: Inputs): Promise<Outputs> {{
    const feeds: Record<string, Ort.OnnxValue> = {{{feeds}
    }};
    const values = await this.session.run(feeds);
    return {{{answers}
    }};
  }}
}}

/** Load a model file (a path under Node, a URL in a browser, or its bytes). */
export async function load(
  ort: Runtime,
  model: string | Uint8Array,
  options: Ort.InferenceSession.SessionOptions = {{}},
): Promise<Model> {{
  const session = typeof model === 'string'
    ? await ort.InferenceSession.create(model, options)
    : await ort.InferenceSession.create(model, options);
  const sides = [
    ['inputs', session.inputNames, INPUTS],
    ['outputs', session.outputNames, OUTPUTS],
  ] as const;
  for (const [what, found, wanted] of sides) {{
    if (found.length !== wanted.length || found.some((name, index) => name !== wanted[index])) {{
      const [has, needs] = [JSON.stringify(found), JSON.stringify(wanted)];
      throw new Error(`the model has the ${{what}} ${{has}}, ${{MODEL}} ${{VERSION}} has ${{needs}}`);
    }}
  }}
  return new Model(ort, session);
}}"""


def _feed(value: Value) -> str:
    here = f"inputs.{value.field}"
    if value.dtype not in _OUTPUT:
        return here
    shape = (
        "null"
        if value.shape is None
        else f"[{', '.join(str(int(d)) if isinstance(d, int) else 'null' for d in value.shape)}]"
    )
    dims = f"dims({here}, {literal(value.name)}, {shape})"
    if value.dtype == "string":
        data = f"[...{here}.data]"
    elif value.dtype == "float16":
        data = f"{here}.data"
    elif value.dtype in _BIG:
        data = f"{_OUTPUT[value.dtype]}.from(big({here}.data, {literal(value.name)}, {literal(value.dtype)}))"
    elif value.dtype == "bool":
        data = f"Uint8Array.from(Array.from({here}.data, (item) => (item ? 1 : 0)))"
    elif value.dtype in ("float32", "float64"):
        data = f"{_OUTPUT[value.dtype]}.from({here}.data)"
    else:
        data = f"whole({_OUTPUT[value.dtype]}.from({here}.data), {here}.data, {literal(value.name)})"
    return f"new this.ort.Tensor('{value.dtype}', {data}, {dims})"


def _answer(value: Value) -> str:
    here = f"values[{literal(value.name)}]"
    if value.dtype not in _OUTPUT:
        return f"{here} as Ort.OnnxValue"
    return f"answer<{_OUTPUT[value.dtype]}>({here})"


_HELPERS = """
/** Numbers or texts row by row, and the size of each dimension. */
export interface Values<T> {
  readonly data: T;
  readonly dims: readonly number[];
}

/** What of onnxruntime-web or onnxruntime-node is used. */
export interface Runtime {
  readonly InferenceSession: typeof Ort.InferenceSession;
  readonly Tensor: typeof Ort.Tensor;
}

type Shape = readonly (number | null)[] | null;

function dims(value: Values<ArrayLike<unknown>>, name: string, shape: Shape): readonly number[] {
  const count = value.dims.reduce((product, size) => product * size, 1);
  if (count !== value.data.length) {
    throw new RangeError(`${name}: ${value.data.length} values do not fill [${value.dims}]`);
  }
  const differs = (size: number | null, index: number) => size !== null && size !== value.dims[index];
  if (shape !== null && (shape.length !== value.dims.length || shape.some(differs))) {
    throw new RangeError(`${name}: shape [${value.dims}] does not fit [${shape.map((size) => size ?? '?')}]`);
  }
  return value.dims;
}

function big(data: ArrayLike<bigint | number>, name: string, dtype: string): bigint[] {
  const [low, high] = dtype === 'int64' ? [-(1n << 63n), (1n << 63n) - 1n] : [0n, (1n << 64n) - 1n];
  return Array.from(data, (item) => {
    if (typeof item === 'number' && !Number.isSafeInteger(item)) {
      throw new RangeError(`${name}: ${item} is no exact whole number`);
    }
    const value = BigInt(item);
    if (value < low || value > high) throw new RangeError(`${name}: ${item} does not fit ${dtype}`);
    return value;
  });
}

function whole<T extends ArrayLike<number>>(converted: T, given: ArrayLike<number>, name: string): T {
  for (let index = 0; index < given.length; index += 1) {
    if (converted[index] !== given[index]) {
      throw new RangeError(`${name}: ${given[index]} does not fit the model's type`);
    }
  }
  return converted;
}

function answer<T>(value: Ort.OnnxValue | undefined): Values<T> {
  const tensor = value as Ort.Tensor;
  return { data: tensor.data as unknown as T, dims: tensor.dims };
}

// Not every model needs all of the above.
void [dims, big, whole, answer];
"""
