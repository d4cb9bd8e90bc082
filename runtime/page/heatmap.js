// Owns the heat map: a table of cosines whose cells have the number, and a colour that says the same.

import { beginning, count, element, fixed, spoken } from "./elements.js";
import { cosine, share } from "./ranking.js";
import { documentNumber } from "./results.js";

// Twelve documents and the query are what a screen shows without scrolling, and what a person compares.
const DOCUMENTS_AT_MOST = 12;
const LETTERS_OF_A_HEADING = 80;

/** Show the query and the best documents, each with each; `ordered` are positions, the best first. */
export function heatmap({ queryVector, vectors, documents, ordered }) {
  const shown = ordered.slice(0, DOCUMENTS_AT_MOST);
  const items = [
    { label: () => ["Query"], vector: queryVector },
    ...shown.map((position) => ({
      label: () => documentNumber(position),
      text: documents[position],
      vector: vectors[position],
    })),
  ];
  const values = items.map((row) => items.map((column) => cosine(row.vector, column.vector)));
  const range = rangeOf(values);
  const region = {
    id: "heatmap-region",
    class: "scroll",
    role: "region",
    "aria-labelledby": "heatmap-caption",
    tabindex: "0",
  };
  return [
    element("p", { class: "note" }, explanation(shown.length, documents.length)),
    element("div", region, table(items, values, range)),
    legend(range),
  ];
}

function explanation(shown, all) {
  const which =
    shown < all ? `the ${shown} documents of ${all} that the embedder ranks highest` : count(all, "document");
  return `Cosines of the query and ${which}, each with each: 1 is the same direction, 0 is unrelated.`;
}

function table(items, values, range) {
  const caption = element("caption", { id: "heatmap-caption", class: "spoken" }, "Cosine similarity, each with each");
  const corner = element("td", {});
  const head = items.map((item) => element("th", { scope: "col" }, ...item.label()));
  const rows = items.map((item, row) =>
    element("tr", {}, rowHeading(item, row), ...values[row].map((value, column) => cell(value, row === column, range))),
  );
  return element(
    "table",
    { class: "heatmap" },
    caption,
    element("thead", {}, element("tr", {}, corner, ...head)),
    element("tbody", {}, ...rows),
  );
}

function rowHeading(item, row) {
  const text = row === 0 ? [] : [element("span", { class: "beginning" }, beginning(item.text, LETTERS_OF_A_HEADING))];
  return element("th", { scope: "row" }, ...item.label(), ...text);
}

function cell(value, isItself, range) {
  const made = element("td", { class: isItself ? "number itself" : "number" }, fixed(value, 2));
  if (!isItself) made.style.setProperty("--share", share(value, range.lowest, range.highest));
  return made;
}

function rangeOf(values) {
  const others = values.flatMap((row, index) => row.filter((_, column) => column !== index));
  return { lowest: Math.min(...others), highest: Math.max(...others) };
}

function legend({ lowest, highest }) {
  const scale = element("span", { class: "scale", "aria-hidden": "true" });
  const [from, to] = [lowest, highest].map((value) => element("span", { class: "number" }, fixed(value, 2)));
  return element("p", { class: "legend" }, spoken("Colours go from "), from, scale, spoken(" to "), to);
}
