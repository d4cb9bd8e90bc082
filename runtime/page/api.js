// Owns the requests to the server that the page came from: their batches, their times and what went wrong.

// Small enough for progress to be seen and for Stop to stop; the server packs each into batches of its own.
const TEXTS_PER_REQUEST = 64;
// What a request holds beside its texts: names of fields and models.
const BYTES_BESIDE_TEXTS = 1000;

// Milliseconds that text-embeddings-inference reports under these names, and servers that follow it.
const SERVER_TIMES = { total: "x-total-time", queue: "x-queue-time", inference: "x-inference-time" };

/** What the server refused or could not do; `hint` says what helps, where something is known to. */
export class ApiError extends Error {
  constructor(message, { status = 0, hint = "" } = {}) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

/** Where the server answers `path`, under whatever prefix a proxy gives it. */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

/** Read the models and limits of the image. */
export async function readFacts({ key }) {
  const { body } = await ask("page/models.json", { key });
  return body;
}

/** Embed texts, in order; `vectors` are Float32Array. */
export async function embed(texts, { model, prompt, dimensions, limits, onProgress, ...how }) {
  const meter = new Meter();
  const vectors = [];
  for (const batch of batches(texts, limits)) {
    const request = { model, input: batch, prompt_name: prompt, dimensions, encoding_format: "base64" };
    const answer = meter.add(await ask("v1/embeddings", { body: request, ...how }));
    vectors.push(...answer.data.map((item) => decodeVector(item.embedding)));
    onProgress(vectors.length);
  }
  return { vectors, ...meter.reading() };
}

/** Score documents against the query, in order. */
export async function rerank(query, documents, { model, limits, onProgress, ...how }) {
  const meter = new Meter();
  const scores = [];
  for (const batch of batches(documents, limits, size(query))) {
    const answer = meter.add(await ask("rerank", { body: { model, query, documents: batch }, ...how }));
    const placed = answer.results.toSorted((a, b) => a.index - b.index);
    scores.push(...placed.map((result) => result.relevance_score));
    onProgress(scores.length);
  }
  return { scores, ...meter.reading() };
}

/** Adds up what the requests of one task took and read. */
class Meter {
  #sums = { requests: 0, milliseconds: 0, tokens: 0, truncated: 0 };
  #server = {};

  add({ body, headers, milliseconds }) {
    this.#sums.requests += 1;
    this.#sums.milliseconds += milliseconds;
    this.#sums.tokens += body.usage?.total_tokens ?? 0;
    this.#sums.truncated += Number(headers.get("x-truncated") ?? 0);
    for (const [name, header] of Object.entries(SERVER_TIMES)) {
      if (headers.has(header)) this.#server[name] = (this.#server[name] ?? 0) + Number(headers.get(header));
    }
    return body;
  }

  reading() {
    return { ...this.#sums, server: this.#server };
  }
}

/** Ask once: a GET without a body. The time ends when the answer is read whole. */
async function ask(path, { body = null, key = "", signal = null }) {
  const headers = { Accept: "application/json" };
  if (body) headers["Content-Type"] = "application/json";
  if (key) headers.Authorization = `Bearer ${key}`;
  const started = performance.now();
  const response = await reach(path, {
    method: body ? "POST" : "GET",
    body: body && JSON.stringify(body),
    headers,
    signal,
  });
  const answer = await readJson(response);
  if (!response.ok) throw refusal(response, answer);
  return { body: answer, headers: response.headers, milliseconds: performance.now() - started };
}

async function reach(path, options) {
  try {
    return await fetch(address(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer.", { hint: "Is it running, and its port still forwarded?" });
  }
}

async function readJson(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(`The answer, with status ${response.status}, is not JSON.`, {
      status: response.status,
      hint: "Is there a proxy before the server that answers in its place?",
    });
  }
}

/** Read an error in OpenAI's shape or in text-embeddings-inference's. */
function refusal(response, body) {
  const detail = body?.error?.message ? body.error : body;
  const message = detail?.message ?? `The server answered with status ${response.status}.`;
  const where = body?.error?.param ? `\`${body.error.param}\`: ` : "";
  return new ApiError(where + message, { status: response.status, hint: detail?.hint ?? hintFor(response) });
}

function hintFor(response) {
  const wait = response.headers.get("retry-after");
  const hints = {
    401: "Enter a key of this server, then rank again.",
    413: "Shorten the longest document.",
    429: `The server is busy. Rank again ${wait ? `in ${wait} s` : "in a moment"}.`,
    500: "The server's log says why.",
    503: "Rank again in a moment.",
  };
  return hints[response.status] ?? "";
}

/** Cut texts into requests that the server's limits allow; a text that is too long alone goes alone, and is refused. */
function* batches(texts, limits, bytesTaken = 0) {
  const most = Math.min(TEXTS_PER_REQUEST, limits.texts_per_request);
  let batch = [];
  let bytes = BYTES_BESIDE_TEXTS + bytesTaken;
  for (const text of texts) {
    if (batch.length && (batch.length === most || bytes + size(text) > limits.bytes_per_request)) {
      yield batch;
      batch = [];
      bytes = BYTES_BESIDE_TEXTS + bytesTaken;
    }
    batch.push(text);
    bytes += size(text);
  }
  if (batch.length) yield batch;
}

/** Bytes of a text in a request, with its quotes and comma. */
function size(text) {
  return new TextEncoder().encode(JSON.stringify(text)).length + 1;
}

/** Read little-endian float32 in base64. */
function decodeVector(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, position) => view.getFloat32(4 * position, true));
}
