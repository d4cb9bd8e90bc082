// Owns how the page's parts are made. Texts become text nodes, never markup: a document may hold anything.

/** Make an element; attributes that are null or false are left out, children are nodes or texts. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(attribute, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** Words for those who hear the page, where the eye has position or colour. */
export function spoken(text) {
  return element("span", { class: "spoken" }, text);
}

/** Split a message of the server into text and code, which it writes between backticks. */
export function withCode(message) {
  return message.split("`").map((part, position) => (position % 2 ? element("code", {}, part) : part));
}

/** The beginning of a long text, not cut within a letter. */
export function beginning(text, letters) {
  return text.length > letters
    ? `${text
        .slice(0, letters)
        .replace(/[\ud800-\udbff]$/, "")
        .trimEnd()}…`
    : text;
}

/** Number and noun: "1 document", "2 documents". */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** A number with its digits; one that rounds to nothing has no sign, the others have a true minus. */
export function fixed(number, digits) {
  const text = number.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

/** An element of the page's own markup. */
export function byId(id) {
  return document.getElementById(id);
}
