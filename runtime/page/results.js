// Owns how rankings are shown: a table for each model, with what it took and what was done to the texts.

import { beginning, count, element, fixed, spoken, withCode } from "./elements.js";
import { order, share } from "./ranking.js";

const SHOWN_AT_FIRST = 20;
const LETTERS_AT_FIRST = 240;

const MOVES = {
  up: { sign: "▲", word: "up" },
  down: { sign: "▼", word: "down" },
};

/** Show one model's ranking; `before` are the places that another one gave, where there is one. */
export function rankingPanel({ title, model, documents, scores, before, times, notes, scoreName }) {
  const ordered = order(scores);
  const heading = element("h3", {}, title, " ", element("span", { class: "model" }, model));
  const table = rankingTable({ ordered, documents, scores, before, scoreName, title });
  return element(
    "article",
    { class: "panel", "aria-label": `${title} ${model}` },
    heading,
    element("p", { class: "times" }, ...times),
    ...notes.map((note) => element("p", { class: "note" }, ...withCode(note))),
    table,
    ...moreButton(table),
    ...(before ? [element("p", { class: "legend" }, "▲ and ▼: places moved from the embedder's ranking")] : []),
  );
}

/** Say what requests took: here, and as the server says, where it does. */
export function timesOf(label, reading) {
  const parts = [`${label} ${milliseconds(reading.milliseconds)}`];
  if (reading.requests > 1) parts.push(`in ${count(reading.requests, "request")}`);
  const { total, ...inner } = reading.server;
  if (total !== undefined) parts.push(`(server ${[total, ...Object.entries(inner)].map(serverTime).join(", ")})`);
  return element("span", {}, parts.join(" "));
}

function serverTime(time) {
  return Array.isArray(time) ? `${time[0]} ${milliseconds(time[1])}` : milliseconds(time);
}

function milliseconds(value) {
  return value < 9.95 ? `${value.toFixed(1)} ms` : `${Math.round(value).toLocaleString("en")} ms`;
}

function rankingTable({ ordered, documents, scores, before, scoreName, title }) {
  const lowest = Math.min(0, ...scores);
  const highest = Math.max(1, ...scores);
  const rows = ordered.map((position, index) =>
    element(
      "tr",
      { hidden: index >= SHOWN_AT_FIRST },
      element("th", { scope: "row" }, String(index + 1), ...(before ? [moved(before[position], index + 1)] : [])),
      documentCell(documents[position], position, share(scores[position], lowest, highest)),
      element("td", { class: "number" }, fixed(scores[position], 3)),
    ),
  );
  const head = ["Rank", "Document", scoreName].map((name) => element("th", { scope: "col" }, name));
  return element(
    "table",
    { class: "ranking" },
    element("caption", { class: "spoken" }, `${title}: ${count(documents.length, "document")}, the best first`),
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows),
  );
}

function documentCell(text, position, part) {
  const bar = element("span", { class: "bar", "aria-hidden": "true" });
  bar.style.setProperty("--share", part);
  return element(
    "td",
    {},
    element("div", { class: "document" }, ...documentNumber(position), wholeOrBeginning(text)),
    bar,
  );
}

/** The number that a document has everywhere on the page: its place in what was typed. */
export function documentNumber(position) {
  const number = String(position + 1);
  return [element("span", { class: "tag", "aria-hidden": "true" }, number), spoken(`Document ${number} `)];
}

function wholeOrBeginning(text) {
  if (text.length <= LETTERS_AT_FIRST) return element("span", { class: "text" }, text);
  const summary = element("summary", {}, beginning(text, LETTERS_AT_FIRST));
  return element("details", {}, summary, element("p", { class: "text" }, text));
}

/** Say how many places a document moved from where another model put it. */
function moved(before, now) {
  const by = before - now;
  if (by === 0) return element("span", { class: "moved" }, " same");
  const { sign, word } = by > 0 ? MOVES.up : MOVES.down;
  const distance = Math.abs(by);
  const seen = element("span", { "aria-hidden": "true" }, `${sign}${distance}`);
  return element("span", { class: `moved ${word}` }, seen, spoken(` ${word} ${distance}`));
}

function moreButton(table) {
  const hidden = [...table.querySelectorAll("tbody tr[hidden]")];
  if (!hidden.length) return [];
  const button = element("button", { type: "button", class: "more" }, `Show ${count(hidden.length, "more document")}`);
  button.addEventListener("click", () => {
    for (const row of hidden) row.hidden = false;
    hidden[0].tabIndex = -1; // so that whoever uses the keyboard goes on where the new rows begin
    hidden[0].focus();
    button.remove();
  });
  return [button];
}
