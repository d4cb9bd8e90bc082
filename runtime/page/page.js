// Owns the course of things: facts come in, a question is asked, answers are shown as they arrive.

import { ApiError, embed, readFacts, rerank } from "./api.js";
import { isComplete, offerModels, offerOptions, readQuestion, showCount } from "./choices.js";
import { byId, count, element, withCode } from "./elements.js";
import { factsPanel } from "./facts.js";
import { heatmap } from "./heatmap.js";
import { cosine, order, places } from "./ranking.js";
import { rankingPanel, timesOf } from "./results.js";
import { snippetPanels } from "./snippets.js";

let facts = null;
let running = null; // the AbortController of the question that is being answered

function announce(text) {
  byId("status").textContent = text;
}

/** Show the server's models and let them be asked. */
async function start() {
  try {
    facts = await readFacts({ key: byId("key").value });
  } catch (error) {
    show(error);
    return;
  }
  const canRank = facts.models.some((model) => model.task !== "classifier");
  byId("question").hidden = !canRank;
  byId("programs").hidden = !canRank;
  byId("models").hidden = false;
  offerModels(facts.models);
  byId("facts").replaceChildren(...facts.models.map(factsPanel));
  showQuestion();
  if (!canRank) announce("No model of this server ranks texts: it has neither an embedder nor a reranker.");
}

/** Keep what is derived from the form up to date. */
function showQuestion() {
  if (!facts) return;
  const question = readQuestion(facts.models);
  showCount(question);
  byId("snippets").replaceChildren(...snippetPanels(question, { announce }));
}

/** Ask the form's question, unless one is being answered. */
async function rank() {
  if (running) return;
  byId("problem").replaceChildren();
  if (!facts) await start();
  if (!facts) return;
  const question = readQuestion(facts.models);
  if (!isComplete(question)) return;
  running = new AbortController();
  setBusy(true);
  try {
    await answer(question, { signal: running.signal });
  } catch (error) {
    show(error);
  } finally {
    running = null;
    setBusy(false);
  }
}

/** Ask one model after the other, so that neither's time holds the other's work. */
async function answer(question, { signal }) {
  const how = { key: question.key, signal, limits: facts.limits };
  let before = null;
  if (question.embedder) before = await answerByEmbedder(question, how);
  if (question.reranker) await answerByReranker(question, before, how);
  announce(`${count(question.documents.length, "document")} ranked.`);
}

async function answerByEmbedder({ query, documents, embedder }, how) {
  const asked = { model: embedder.name, dimensions: embedder.dimensions, ...how };
  const onProgress = (done) => announce(`Embedded ${done} of ${count(documents.length, "document")}.`);
  announce("Embedding the query.");
  const left = await embed([query], { ...asked, prompt: embedder.queryPrompt, onProgress: () => {} });
  const right = await embed(documents, { ...asked, prompt: embedder.documentPrompt, onProgress });
  const scores = right.vectors.map((vector) => cosine(left.vectors[0], vector));
  const title = "Embedder";
  const times = [timesOf("Query", left), timesOf(count(documents.length, "document"), right), tokensOf(left, right)];
  const notes = [...promptNotes(embedder), ...cutNotes(embedder, left, right)];
  const panel = { title, model: embedder.name, documents, scores, before: null, times, notes, scoreName: "Cosine" };
  showFirst(rankingPanel(panel), query);
  const ordered = order(scores);
  const parts = heatmap({ queryVector: left.vectors[0], vectors: right.vectors, documents, ordered });
  byId("heatmap").replaceChildren(...parts);
  byId("similarity").hidden = false;
  return places(ordered);
}

async function answerByReranker({ query, documents, reranker }, before, how) {
  const onProgress = (done) => announce(`Reranked ${done} of ${count(documents.length, "document")}.`);
  announce("Reranking.");
  const reading = await rerank(query, documents, { model: reranker.name, onProgress, ...how });
  const times = [timesOf(count(documents.length, "pair"), reading), tokensOf(reading)];
  const { scores } = reading;
  const notes = cutNotes(reranker, reading);
  const panel = {
    title: "Reranker",
    model: reranker.name,
    documents,
    scores,
    before,
    times,
    notes,
    scoreName: "Score",
  };
  if (before) byId("rankings").append(rankingPanel(panel));
  else showFirst(rankingPanel(panel), query);
}

/** Put the first ranking of a question in the place of the last question's. */
function showFirst(panel, query) {
  byId("asked").textContent = `For: ${query}`;
  byId("rankings").replaceChildren(panel);
  byId("results").hidden = false;
}

function tokensOf(...readings) {
  const tokens = readings.reduce((sum, reading) => sum + reading.tokens, 0);
  return element("span", {}, count(tokens, "token"));
}

function promptNotes({ prompts, queryPrompt, documentPrompt }) {
  const notes = [];
  if (queryPrompt) notes.push(`Before the query: \`${prompts[queryPrompt]}\` (prompt ${queryPrompt})`);
  if (documentPrompt) notes.push(`Before each document: \`${prompts[documentPrompt]}\` (prompt ${documentPrompt})`);
  return notes;
}

function cutNotes(model, ...readings) {
  const cut = readings.reduce((sum, reading) => sum + reading.truncated, 0);
  return cut ? [`Cut to ${model.max_length.toLocaleString("en")} tokens: ${count(cut, "text")}`] : [];
}

/** Show what went wrong with what helps; a server that wants a key gets a field for it. */
function show(error) {
  announce(error.name === "AbortError" ? "Stopped." : "");
  if (error.name === "AbortError") return;
  const needsKey = error.status === 401;
  if (needsKey && !byId("key").value) {
    announce("This server wants an API key. Enter it, then rank.");
  } else {
    byId("problem").replaceChildren(problemOf(error));
  }
  if (needsKey) askForKey();
}

function problemOf(error) {
  const known = error instanceof ApiError ? error : new ApiError(`This page failed: ${error.message}`);
  const hint = known.hint ? [element("p", {}, ...withCode(known.hint))] : [];
  return element("div", { class: "problem" }, element("p", {}, ...withCode(known.message)), ...hint);
}

function askForKey() {
  byId("key-field").hidden = false;
  byId("key").focus();
  showQuestion();
}

/** Say that an answer is under way; the keyboard's place is kept when Stop can no longer be pressed. */
function setBusy(busy) {
  byId("results").setAttribute("aria-busy", String(busy));
  byId("rank").setAttribute("aria-disabled", String(busy));
  if (!busy && document.activeElement === byId("stop")) byId("rank").focus();
  byId("stop").disabled = !busy;
}

byId("question").addEventListener("submit", (event) => {
  event.preventDefault();
  rank();
});
byId("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    rank();
  }
});
byId("stop").addEventListener("click", () => running?.abort());
byId("embedder").addEventListener("change", () => offerOptions(facts.models));
byId("question").addEventListener("input", showQuestion);
start();
