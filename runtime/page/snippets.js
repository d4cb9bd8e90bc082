// Owns the programs that ask what the page asks: texts to shell and to Python. They are whole and run as they stand.

import { count, element, spoken } from "./elements.js";
import { address } from "./api.js";

const DOCUMENTS_AT_MOST = 20;

/** Show the programs for a question; without an embedder or a reranker its part is left out. */
export function snippetPanels(question, { announce }) {
  const documents = question.documents.slice(0, DOCUMENTS_AT_MOST);
  const left = question.documents.length - documents.length;
  const shown = { ...question, documents };
  const panels = [panel("curl", "shell", curl(shown), announce)];
  if (question.embedder) panels.push(panel("openai", "Python", python(shown), announce));
  const note = left
    ? [element("p", { class: "note" }, `Without the last ${count(left, "document")}, to stay readable.`)]
    : [];
  return [...note, ...panels];
}

function panel(title, language, program, announce) {
  const code = element("code", {}, program);
  const button = element("button", { type: "button" }, "Copy", spoken(` the ${title} program`));
  button.addEventListener("click", async () => announce(await copy(code)));
  const heading = element("h3", {}, title, " ", element("span", { class: "model" }, language));
  const box = { tabindex: "0", role: "region", "aria-label": `Program with ${title}` };
  return element(
    "article",
    { class: "panel snippet", "aria-label": title },
    element("div", { class: "panel-head" }, heading, button),
    element("pre", box, code),
  );
}

/** Copy, or select what is to be copied where a browser does not let a page copy: on plain HTTP to another machine. */
async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return "Copied.";
  } catch {
    getSelection().selectAllChildren(code);
    return "Selected. Press Ctrl+C to copy.";
  }
}

function curl(question) {
  const { query, documents, embedder, reranker } = question;
  const requests = [];
  if (embedder) {
    requests.push(curlRequest("v1/embeddings", embeddingsBody(embedder, query, embedder.queryPrompt), question));
    requests.push(curlRequest("v1/embeddings", embeddingsBody(embedder, documents, embedder.documentPrompt), question));
  }
  if (reranker) requests.push(curlRequest("rerank", { model: reranker.name, query, documents }, question));
  return requests.join("\n\n");
}

function embeddingsBody(embedder, input, prompt) {
  const body = { model: embedder.name, input };
  if (isSaid(prompt, embedder)) body.prompt_name = prompt;
  if (embedder.dimensions) body.dimensions = embedder.dimensions;
  return body;
}

/** Whether a request has to name its prompt to mean this one. */
function isSaid(prompt, embedder) {
  return prompt !== (embedder.default_prompt ?? "");
}

function curlRequest(path, body, { needsKey }) {
  const headers = ["-H 'Content-Type: application/json'"];
  if (needsKey) headers.push('-H "Authorization: Bearer $API_KEY"');
  const parts = [`curl ${shellQuoted(address(path))}`, ...headers, `-d ${shellQuoted(JSON.stringify(body, null, 2))}`];
  return parts.join(" \\\n  ");
}

function shellQuoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** What the page computes of the vectors, with OpenAI's client; a JSON string is a Python string too. */
function python({ query, documents, embedder, needsKey }) {
  const call = (input, prompt) => `client.embeddings.create(${pythonArguments(embedder, input, prompt)})`;
  return `import math${needsKey ? "\nimport os" : ""}

from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(address("v1"))}, api_key=${needsKey ? 'os.environ["API_KEY"]' : '"none"'})

query = ${JSON.stringify(query)}
documents = [
${documents.map((text) => `    ${JSON.stringify(text)},`).join("\n")}
]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / (math.hypot(*a) * math.hypot(*b))


asked = ${call("query", embedder.queryPrompt)}
given = ${call("documents", embedder.documentPrompt)}
scores = [cosine(asked.data[0].embedding, item.embedding) for item in given.data]
for score, text in sorted(zip(scores, documents), reverse=True):
    print(f"{score:.3f}  {text}")
`;
}

function pythonArguments(embedder, input, prompt) {
  const given = [`model=${JSON.stringify(embedder.name)}`, `input=${input}`];
  if (embedder.dimensions) given.push(`dimensions=${embedder.dimensions}`);
  if (isSaid(prompt, embedder)) given.push(`extra_body={"prompt_name": ${JSON.stringify(prompt)}}`);
  return given.join(", ");
}
