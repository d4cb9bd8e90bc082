// Owns the form: what can be chosen for the models of this image, and what was asked.

import { byId, count, element } from "./elements.js";
import { splitDocuments } from "./ranking.js";

/** Offer the models; those of a task that the image does not have are not asked about. */
export function offerModels(models) {
  for (const [task, name] of [
    ["embedding", "embedder"],
    ["reranker", "reranker"],
  ]) {
    const offered = models.filter((model) => model.task === task);
    byId(`${name}-choices`).hidden = !offered.length;
    byId(name).replaceChildren(...offered.map((model) => option(model.name, model.name)));
  }
  offerOptions(models);
}

/** Offer what the chosen embedder has: prompts by name, and widths. */
export function offerOptions(models) {
  const embedder = models.find((model) => model.name === byId("embedder").value);
  if (!embedder) return;
  offer("query-prompt", promptOptions(embedder), embedder.query_prompt);
  offer("document-prompt", promptOptions(embedder), embedder.document_prompt);
  offer(
    "dimensions",
    embedder.dimensions.map((width) => option(String(width), String(width))),
    String(embedder.dimensions[0]),
  );
}

function promptOptions(embedder) {
  return [option("", "none"), ...Object.keys(embedder.prompts).map((name) => option(name, name))];
}

function offer(id, options, chosen) {
  const select = byId(id);
  select.replaceChildren(...options);
  select.value = chosen;
  select.parentElement.hidden = options.length < 2;
}

function option(value, text) {
  return element("option", { value }, text);
}

/** Read the form. An embedder or reranker that the image does not have is null. */
export function readQuestion(models) {
  const separator = document.querySelector("input[name=separator]:checked").value;
  return {
    query: byId("query").value.trim(),
    documents: splitDocuments(byId("documents").value, separator),
    embedder: chosenEmbedder(models),
    reranker: chosenModel(models, "reranker"),
    key: byId("key").value,
    needsKey: !byId("key-field").hidden,
  };
}

function chosenModel(models, id) {
  return models.find((model) => model.name === byId(id).value) ?? null;
}

function chosenEmbedder(models) {
  const model = chosenModel(models, "embedder");
  if (!model) return null;
  const width = Number(byId("dimensions").value);
  return {
    ...model,
    queryPrompt: byId("query-prompt").value,
    documentPrompt: byId("document-prompt").value,
    dimensions: width === model.dimensions[0] ? null : width,
  };
}

/** Say how many documents there are, as they are typed. */
export function showCount(question) {
  byId("documents-count").textContent = count(question.documents.length, "document");
}

/** Mark what is missing, go to the first of it, and say whether nothing is. */
export function isComplete(question) {
  const problems = {
    query: question.query ? "" : "Type a query.",
    documents: question.documents.length ? "" : "Type at least one document.",
  };
  for (const [id, problem] of Object.entries(problems)) {
    byId(id).setAttribute("aria-invalid", String(Boolean(problem)));
    byId(`${id}-problem`).textContent = problem;
  }
  const first = Object.keys(problems).find((id) => problems[id]);
  if (first) byId(first).focus();
  return !first;
}
