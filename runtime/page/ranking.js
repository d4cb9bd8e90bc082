// Owns the arithmetic: texts to documents, vectors to cosines, scores to places. No requests and no elements here.

const SEPARATORS = { line: /\r?\n/, blank: /\r?\n(?:[ \t]*\r?\n)+/ };

/** Split what was typed into documents, either a line each or a paragraph each; empty ones are none. */
export function splitDocuments(text, separator) {
  return text
    .split(SEPARATORS[separator])
    .map((part) => part.trim())
    .filter(Boolean);
}

/** The cosine of two vectors; 0 where one has no length. */
export function cosine(left, right) {
  let product = 0;
  let leftSquares = 0;
  let rightSquares = 0;
  for (let position = 0; position < left.length; position += 1) {
    product += left[position] * right[position];
    leftSquares += left[position] ** 2;
    rightSquares += right[position] ** 2;
  }
  return leftSquares && rightSquares ? product / Math.sqrt(leftSquares * rightSquares) : 0;
}

/** Order positions by score, the best first; equal ones stay as they were given. */
export function order(scores) {
  return scores.map((_, position) => position).sort((a, b) => scores[b] - scores[a]);
}

/** The place of each position in an order, from 1. */
export function places(ordered) {
  const found = new Array(ordered.length);
  ordered.forEach((position, index) => {
    found[position] = index + 1;
  });
  return found;
}

/** Where a value lies between two others, from 0 to 1. */
export function share(value, lowest, highest) {
  return highest > lowest ? Math.min(1, Math.max(0, (value - lowest) / (highest - lowest))) : 0;
}
