// DOM nodes without markup: a string is always text, never HTML.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const byId = (id) => document.getElementById(id);

// A text that does not change keeps its node: a reader's selection and the focus survive.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Shows `text` in a place for messages, or hides the place when there is nothing to say.
export function say(node, text) {
  node.textContent = text;
  node.hidden = !text;
}

export function focusOn(node) {
  if (!node) return;
  node.focus();
  node.scrollIntoView({ block: "nearest" });
}
