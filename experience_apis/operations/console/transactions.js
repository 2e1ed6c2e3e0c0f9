// The list: newest first, kept in place while it changes.

import { byId, element, focusOn, say, setText } from "./element.js";
import { ago, clock, clockOn, count, moment, STATUS } from "./words.js";

const PAGE = 50;
const EMPTY = "No transactions yet. They appear here by themselves as soon as a document comes in: "
  + "an HL7 message, a FHIR bundle, an X12 interchange or a scan. To see one, run suture demo.";

export class Transactions {
  constructor(gateway) {
    this.gateway = gateway;
    this.lines = new Map();
    this.next = null;
    this.open = "";
    byId("older").addEventListener("click", () => this.older());
    byId("find").addEventListener("submit", (submitted) => this.find(submitted));
    byId("find-name").addEventListener("input", () => this.findProblem(""));
  }

  clear() {
    this.lines.clear();
    this.next = null;
    byId("lines").replaceChildren();
    byId("lines").hidden = true;
    byId("older").hidden = true;
    this.state("Loading transactions…");
    byId("lines-place").setAttribute("aria-busy", "true");
  }

  // Reads the first page again. When too much has happened to join on, the list begins anew.
  async refresh() {
    try {
      const page = await this.gateway.transactions({ limit: PAGE });
      const joins = this.lines.size === 0 || page.items.some((line) => this.lines.has(line.id));
      if (!joins) this.clear();
      const first = this.lines.size === 0;
      page.items.forEach((line) => this.show(line));
      if (first) this.next = page.next;
      this.state(this.lines.size ? "" : EMPTY);
    } catch (problem) {
      if (problem.status !== 401) this.state(problem.sentence ?? String(problem), true);
    }
    this.settle();
  }

  // Reads what changed: one line that is further down is read alone.
  async changed(names) {
    const shown = [...this.lines.keys()];
    const deep = names.filter((name) => shown.indexOf(name) >= PAGE);
    if (deep.length < names.length) await this.refresh();
    for (const name of deep) {
      const above = shown[shown.indexOf(name) - 1];
      const page = await this.gateway.transactions({ limit: 1, before: above }).catch(() => null);
      page?.items.forEach((line) => this.show(line));
    }
  }

  async older() {
    const button = byId("older");
    button.setAttribute("aria-busy", "true");
    try {
      const page = await this.gateway.transactions({ limit: PAGE, before: this.next });
      const focused = document.activeElement === button;
      page.items.forEach((line) => this.show(line));
      this.next = page.next;
      if (focused && page.items.length) focusOn(this.lines.get(page.items[0].id)?.link);
      this.state("");
    } catch (problem) {
      this.state(problem.sentence ?? String(problem), true);
    }
    button.removeAttribute("aria-busy");
    this.settle();
  }

  state(text, failed = false) {
    const place = byId("lines-state");
    say(place, text);
    place.classList.toggle("problem", failed);
  }

  settle() {
    byId("lines-place").setAttribute("aria-busy", "false");
    byId("lines").hidden = this.lines.size === 0;
    byId("older").hidden = !this.next;
  }

  show(line) {
    const known = this.lines.get(line.id);
    const row = known ?? lineRow(line);
    row.tell(line);
    if (known) return;
    const following = [...this.lines.keys()].filter((id) => id < line.id).sort().pop();
    byId("lines").insertBefore(row.item, following ? this.lines.get(following).item : null);
    this.lines.set(line.id, row);
    this.lines = new Map([...this.lines].sort(([one], [other]) => (one < other ? 1 : -1)));
    row.mark(line.id === this.open);
  }

  mark(open) {
    this.open = open;
    for (const [id, row] of this.lines) row.mark(id === open);
  }

  focusOpen(id) {
    focusOn(this.lines.get(id)?.link ?? byId("transactions-title"));
  }

  tick() {
    for (const row of this.lines.values()) row.tick();
  }

  async find(submitted) {
    submitted.preventDefault();
    const name = byId("find-name").value.trim();
    if (!name) {
      this.findProblem("Type a number or an id first.");
      return;
    }
    try {
      const found = await this.gateway.transaction(name);
      this.findProblem("");
      const hash = `#transaction=${encodeURIComponent(found.id)}`;
      if (location.hash === hash) byId("story-title")?.focus();
      else location.hash = hash;
    } catch (problem) {
      if (problem.status === 401) return;
      this.findProblem(problem.status === 404
        ? `No transaction goes by “${name}”. Check the number, or look for another one of the same story: `
          + "the order number, the invoice number, MSH-10 or ISA13."
        : problem.sentence ?? String(problem));
    }
  }

  findProblem(text) {
    say(byId("find-problem"), text);
    byId("find-name").toggleAttribute("aria-invalid", Boolean(text));
    if (text) byId("find-name").setAttribute("aria-invalid", "true");
  }
}

function lineRow(line) {
  const title = element("span", { class: "line-title" });
  const status = element("span", { class: "chip" });
  const opened = element("time", { datetime: line.openedAt, title: moment(line.openedAt) },
    clockOn(line.openedAt, new Date().toISOString()));
  const hops = element("span");
  const changed = element("time");
  const link = element("a", { class: "line", href: `#transaction=${encodeURIComponent(line.id)}` },
    title, " ", status, " ",
    element("span", { class: "line-facts" }, opened, " · ", hops, " · ", changed));
  let latest = line;
  const tick = () => setText(changed, ago(latest.changedAt));
  return {
    item: element("li", {}, link),
    link,
    tick,
    tell(news) {
      latest = news;
      setText(title, news.title);
      status.dataset.status = news.status;
      setText(status, news.openTasks ? count(news.openTasks, "open task") : STATUS[news.status] ?? news.status);
      setText(hops, count(news.hops, "hop"));
      changed.dateTime = news.changedAt;
      changed.title = `changed ${clock(news.changedAt)}`;
      tick();
    },
    mark(open) {
      if (open) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    },
  };
}
