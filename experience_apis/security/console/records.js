// What was found: who saw it, and record by record.

import { byId, element, focusOn, setText } from "/console/element.js";
import { count, moment } from "/console/words.js";

const SAYS = [
  ["Who", "actor"], ["With", "client"], ["Purpose", "purpose"], ["Did", "action"], ["About", "object"],
  ["Facility", "facility"], ["Ended", "outcome"], ["Evidence", "evidence"], ["Configuration", "policy"],
  ["Call", "correlationId"], ["From", "address"], ["Record", "id"],
];

export class Records {
  constructor({ follow, actor }) {
    this.follow = follow;
    this.actor = actor;
    this.list = byId("rows");
    this.items = [];
    this.clear();
  }

  clear() {
    this.items = [];
    this.list.replaceChildren();
    this.list.hidden = true;
    byId("seen").replaceChildren();
    byId("older").hidden = true;
  }

  // Adds a page; `whole` says that what was asked for is one record of a patient.
  add(page, { whole, linked }) {
    const first = this.items.length === 0;
    this.items.push(...page.items);
    this.list.append(...page.items.map((item) => this.row(item)));
    this.list.hidden = this.items.length === 0;
    byId("older").hidden = !page.next;
    setText(byId("records-state"), this.items.length ? "" : "No record says that.");
    byId("records-state").hidden = this.items.length > 0;
    byId("records-place").setAttribute("aria-busy", "false");
    if (linked) byId("seen").replaceChildren(...this.seen(whole));
    if (!first) focusOn(this.list.children[this.items.length - page.items.length].firstElementChild);
  }

  // Who saw it: each actor once, with how often and when last.
  seen(whole) {
    const actors = new Map();
    for (const item of this.items.filter((one) => one.evidence === "access")) {
      const known = actors.get(item.actor) ?? { times: 0, last: item.at, first: item.at, opened: 0, refused: 0 };
      known.times += 1;
      known.first = item.at;
      known.opened += item.object.startsWith("ctx_") ? 1 : 0;
      known.refused += item.refused ? 1 : 0;
      actors.set(item.actor, known);
    }
    if (!actors.size) return [element("p", { class: "seen" }, "Nobody has opened it, as far as these records go.")];
    const head = ["Who", "Times", "Context opened", "Refused", "First", "Last"];
    return [element("section", { class: "seen", "aria-labelledby": "seen-title" },
      element("h3", { id: "seen-title" }, `${count(actors.size, "actor")} saw it${whole ? "" : ", as far as is shown"}`),
      element("div", { class: "table-place", tabindex: "0", role: "region", "aria-label": "Who saw it, table" },
        element("table", {},
          element("thead", {}, element("tr", {}, ...head.map((word) => element("th", { scope: "col" }, word)))),
          element("tbody", {}, ...[...actors].map(([actor, known]) => element("tr", {},
            element("th", { scope: "row" }, element("button", { type: "button", class: "link", onclick: () => this.actor(actor) }, actor)),
            ...[known.times, known.opened, known.refused].map((number) => element("td", {}, String(number))),
            ...[known.first, known.last].map((at) => element("td", {}, element("time", { datetime: at }, moment(at))))))))))];
  }

  row(item) {
    const told = element("div", { class: "row-told", hidden: true });
    const button = element("button", {
      type: "button", class: "row", "aria-expanded": "false", "data-transaction": item.transaction,
      onclick: () => this.toggle(button, told, item),
    },
      element("time", { class: "row-time", datetime: item.at }, moment(item.at)),
      element("span", { class: "row-actor" }, item.actor || "nobody"),
      element("span", { class: "row-action" }, item.action),
      element("span", { class: "outcome", "data-refused": String(item.refused) }, item.outcome));
    return element("li", {}, button, told);
  }

  toggle(button, told, item) {
    const open = told.hidden;
    told.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (!open || told.childElementCount) return;
    const details = Object.entries(item.detail).map(([name, value]) => [name, value]);
    const said = [...SAYS.map(([label, name]) => [label, item[name]]), ...details];
    told.append(element("dl", {}, ...said.filter(([, value]) => value).flatMap(([label, value]) => [
      element("dt", {}, label), element("dd", {}, String(value)),
    ])));
    if (item.transaction) {
      told.append(element("button", { type: "button", onclick: () => this.follow(item.transaction) },
        `Follow transaction ${item.transaction}`));
    }
  }
}
