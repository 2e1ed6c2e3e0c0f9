// One hop: a row that opens to what went in and out, with which versions, by whom and why.

import { element } from "./element.js";
import { record } from "./record.js";
import { duration, exactOn, flowName, KIND, moment } from "./words.js";

// `replayed(hop)` returns the place where the hop can be told again, or null where it cannot be.
export function hopRow(hop, storyDay, replayed) {
  const facts = `hop-${hop.seq}-facts`;
  const button = element("button", {
    type: "button", class: "hop-row", id: `hop-${hop.seq}`, "aria-expanded": "false", "aria-controls": facts,
  },
  cell("hop-at", element("time", { datetime: hop.at }, exactOn(hop.at, storyDay))),
  element("span", { class: "stitch", "aria-hidden": "true" }),
  cell("hop-name", hop.name, element("span", { class: "hop-kind" }, ` ${KIND[hop.kind] ?? hop.kind}`)),
  cell("hop-system", hop.system),
  cell("hop-outcome", hop.outcome),
  cell("hop-took", hop.milliseconds ? duration(hop.milliseconds) : "–"));
  const opened = element("div", { class: "hop-facts", id: facts, hidden: true });
  const item = element("li", { class: "hop", "data-kind": hop.kind, "data-tone": hop.tone }, button, opened);
  button.addEventListener("click", () => toggle(hop, button, opened, replayed));
  return item;
}

export function closeHop(button) {
  if (button.getAttribute("aria-expanded") === "true") button.click();
}

// A space after each cell: the row reads as words, not as one, in its accessible name.
function cell(name, ...content) {
  return element("span", { class: name }, ...content, " ");
}

function toggle(hop, button, opened, replayed) {
  const open = opened.hidden;
  if (open && !opened.hasChildNodes()) opened.append(...hopFacts(hop));
  if (open) {
    opened.querySelector(".replay-place")?.remove();
    opened.append(...[replayed(hop)].filter(Boolean));
  }
  opened.hidden = !open;
  button.setAttribute("aria-expanded", String(open));
}

function hopFacts(hop) {
  const facts = [
    ["Why", hop.why],
    ["Who", hop.actor],
    ["When", moment(hop.at)],
    ["Took", hop.milliseconds ? `${hop.milliseconds} ms` : ""],
    ["Outcome", hop.outcome],
    ["System", hop.system],
    ...Object.entries(hop.versions).map(([what, version]) => [`${flowName(what)} version`, version]),
    ["Message", hop.message],
    ["Flow", hop.flow],
    ["Hop", `${hop.seq}`],
  ].filter(([, value]) => value);
  return [
    element("dl", { class: "facts" }, ...facts.map(([term, value]) => element("div", {},
      element("dt", {}, term), element("dd", {}, value)))),
    element("div", { class: "records" },
      recordPlace("In", hop.input, hop.name), recordPlace("Out", hop.output, hop.name)),
  ];
}

function recordPlace(label, value, name) {
  return element("div", { class: "record" },
    element("p", { class: "record-label" }, label),
    value === null ? element("p", { class: "soft small" }, "Nothing") : record(value, `${label}: ${name}`));
}
