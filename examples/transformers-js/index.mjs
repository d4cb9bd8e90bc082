// Owns the example's question: prints a semantic search and a rerank of five documents.
import { embed, rerank } from "./models.mjs";

const QUESTION = "How do I get back into my account?";
const DOCUMENTS = [
  "To reset a forgotten password, open Settings and choose Security.",
  "Interest rates rose by a quarter point on Tuesday.",
  "The cat sits on the warm windowsill.",
  "If you cannot log in, ask an administrator to unlock your user.",
  "Bread dough should rest for an hour before it is baked.",
];

const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));
const dot = (first, second) => first.reduce((sum, value, index) => sum + value * second[index], 0);

function print(title, scores) {
  console.log(`${title}: ${QUESTION}`);
  const ranked = scores.map((score, index) => [score, DOCUMENTS[index]]).sort(([first], [second]) => second - first);
  for (const [score, document] of ranked) {
    console.log(`  ${score.toFixed(3).padStart(6)}  ${document}`);
  }
}

const [question, ...documents] = await embed([QUESTION, ...DOCUMENTS]);
print("semantic search", documents.map((vector) => dot(question, vector)));
console.log();
print("rerank", (await rerank(QUESTION, DOCUMENTS)).map(sigmoid));
