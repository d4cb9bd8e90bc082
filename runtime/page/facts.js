// Owns how a model's facts are shown; they are those of `page/models.json`, as the image was built.

import { element } from "./elements.js";

const TASKS = { embedding: "Embedder", reranker: "Reranker", classifier: "Classifier" };
const SCORES = {
  sigmoid: "sigmoid of the logit, 0 to 1",
  softmax: "softmax of the logits, 0 to 1",
  identity: "the logit itself",
};

/** Show one model. */
export function factsPanel(model) {
  const rows = factsOf(model).map(([name, ...value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, ...value)),
  );
  return element(
    "article",
    { class: "panel", "aria-label": model.name },
    element("h3", {}, TASKS[model.task], " ", element("span", { class: "model" }, model.name)),
    element("dl", {}, ...rows),
  );
}

function factsOf(model) {
  return [
    ["Source", model.source],
    ["Revision", element("code", {}, model.revision)],
    ["Graph", element("code", {}, model.graph)],
    ["All files", megabytes(model.size_bytes)],
    ["Length", lengthOf(model)],
    ...(model.task === "embedding" ? embeddingFacts(model) : scoreFacts(model)),
  ];
}

function lengthOf(model) {
  const tokens = `${model.max_length.toLocaleString("en")} tokens`;
  return model.windows ? `${tokens}, longer ones in windows that overlap by ${model.windows.overlap}` : tokens;
}

function embeddingFacts(model) {
  return [
    ["Dimensions", model.dimensions.join(", ")],
    ["Pooling", (model.pooling.join(" + ") || "in the graph") + (model.normalize ? ", unit length" : "")],
    ["Prompts", ...promptsOf(model)],
  ];
}

function scoreFacts(model) {
  const score = ["Score", SCORES[model.activation]];
  return model.task === "classifier" ? [["Labels", model.labels.join(", ")], score] : [score];
}

function promptsOf(model) {
  const prompts = Object.entries(model.prompts);
  if (!prompts.length) return ["none"];
  return prompts.map(([name, text]) => {
    const role = name === model.default_prompt ? `${name}, the default: ` : `${name}: `;
    return element("span", { class: "prompt" }, role, element("code", {}, JSON.stringify(text)));
  });
}

function megabytes(bytes) {
  const value = bytes / 1e6;
  return `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en")} MB`;
}
