// JSON as text with quiet colours; the text is exactly what JSON.stringify(value, null, 2) gives.

import { element } from "./element.js";

export function record(value, label) {
  const lines = element("pre", { tabindex: "0", role: "region", "aria-label": label });
  write(lines, value, "");
  return lines;
}

function write(into, value, indent) {
  if (value === null || typeof value !== "object") {
    into.append(element("span", { class: `json-${value === null ? "null" : typeof value}` }, JSON.stringify(value)));
    return;
  }
  const list = Array.isArray(value);
  const entries = Object.entries(value);
  if (entries.length === 0) {
    into.append(list ? "[]" : "{}");
    return;
  }
  const deeper = `${indent}  `;
  into.append(list ? "[" : "{");
  entries.forEach(([name, inner], place) => {
    into.append(`${place ? "," : ""}\n${deeper}`);
    if (!list) into.append(element("span", { class: "json-name" }, JSON.stringify(name)), ": ");
    write(into, inner, deeper);
  });
  into.append(`\n${indent}${list ? "]" : "}"}`);
}
