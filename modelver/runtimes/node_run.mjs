// Runs one ONNX model in onnxruntime for JavaScript: node node_run.mjs PACKAGE_FILE REQUEST.json [serve]
// The request names the model, files of external data and inputs; arrays travel as raw little-endian files.
// Answers are lines of JSON. Without `serve`: one run, and the outputs. With it: {"ready":true} once the model is
// loaded, then for each line of standard input, which holds a number of runs, {"times":[seconds of each]}.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [packageFile, requestFile, mode] = process.argv.slice(2);
const module = await import(pathToFileURL(packageFile).href);
const ort = module.InferenceSession ? module : module.default;
const request = JSON.parse(await readFile(requestFile, 'utf8'));

const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array,
  uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array,
  bool: Uint8Array,
};

function say(answer) {
  process.stdout.write(JSON.stringify(answer) + '\n');
}

function fail(step, error) {
  say({ failed: step, message: String((error && error.message) || error) });
  process.exit(0);
}

let session;
try {
  if (request.wasm) {
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = 'error';
    const external = await Promise.all(
      request.external.map(async (path) => ({ path, data: new Uint8Array(await readFile(join(request.folder, path))) })));
    const bytes = new Uint8Array(await readFile(request.model));
    session = await ort.InferenceSession.create(bytes, { externalData: external, logSeverityLevel: 3 });
  } else {
    const options = { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3, executionProviders: ['cpu'] };
    session = await ort.InferenceSession.create(request.model, options);
  }
} catch (error) { fail('load', error); }

async function serve(feeds) {
  say({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const times = [];
    for (let left = Number(line); left > 0; left -= 1) {
      const start = performance.now();
      await session.run(feeds);
      times.push((performance.now() - start) / 1000);
    }
    say({ times });
  }
}

try {
  const feeds = {};
  for (const input of request.inputs) {
    let data = input.strings;
    if (data === undefined) {
      const raw = await readFile(input.file);
      data = new ARRAYS[input.dtype](raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
    }
    feeds[input.name] = new ort.Tensor(input.dtype, data, input.shape);
  }
  if (mode === 'serve') {
    await serve(feeds);
    process.exit(0);
  }
  const results = await session.run(feeds);
  const outputs = [];
  for (const [index, name] of session.outputNames.entries()) {
    const tensor = results[name];
    const output = { name, dtype: tensor.type, shape: tensor.dims };
    if (tensor.type === 'string') output.strings = tensor.data;
    else {
      if (!(tensor.type in ARRAYS)) throw new Error(`output ${name} is of type ${tensor.type}`);
      output.file = join(request.scratch, `output_${index}.bin`);
      await writeFile(output.file, new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength));
    }
    outputs.push(output);
  }
  say({ outputs });
} catch (error) { fail('run', error); }
