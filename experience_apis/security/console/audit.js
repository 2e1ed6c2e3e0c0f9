// The audit page: who is signed in, what is asked, what was found. What is asked is in the address.

import { Check } from "./check.js";
import { Keys } from "./keys.js";
import { Records } from "./records.js";
import { Trail } from "./trail.js";
import { byId, focusOn, say, setText } from "/console/element.js";
import { Session } from "/console/session.js";

const FIELDS = ["linked", "actor", "object", "transaction", "facility", "outcome", "evidence", "since", "before"];
const FACILITY = "suture.audit.facility";
const READ = "experience.security:read";

class Audit {
  constructor() {
    this.session = new Session({ key: "suture.audit.token", scopes: [READ], task: "read the audit trail" });
    this.trail = new Trail(this.session, (problem) => this.signedOut(problem));
    this.records = new Records({
      follow: (transaction) => this.ask({ transaction }),
      actor: (actor) => this.ask({ ...this.filters, actor }),
    });
    this.check = new Check(this.trail);
    this.filters = {};
    this.next = "";
    this.turn = 0;
    new Keys({
      follow: (transaction) => this.ask({ transaction }),
      check: () => this.check.run(),
      save: (form) => this.save(form),
    });
    byId("sign-in-form").addEventListener("submit", (submitted) => this.signIn(submitted));
    byId("sign-out").addEventListener("click", () => this.signedOut());
    byId("who").addEventListener("submit", (submitted) => this.whoSaw(submitted));
    byId("find").addEventListener("submit", (submitted) => { submitted.preventDefault(); this.ask(asked()); });
    byId("find").addEventListener("reset", () => setTimeout(() => this.ask({}), 0));
    byId("older").addEventListener("click", () => this.older());
    byId("export-csv").addEventListener("click", () => this.save("csv"));
    byId("export-fhir").addEventListener("click", () => this.save("ndjson"));
    for (const link of document.querySelectorAll("[data-skip]")) {
      link.addEventListener("click", (clicked) => { clicked.preventDefault(); focusOn(byId(link.dataset.skip)); });
    }
    addEventListener("hashchange", () => this.addressChanged());
  }

  start() {
    this.session.takeFromAddress();
    byId("who-facility").value = localStorage.getItem(FACILITY) ?? "";
    if (this.session.token) this.signedIn();
    else this.showSignIn("");
  }

  signedIn() {
    byId("sign-in").hidden = true;
    byId("workspace").hidden = false;
    byId("sign-out").hidden = false;
    this.find(addressed());
    focusOn(byId(byId("who-facility").value ? "who-number" : "who-facility"));
  }

  // A dropped token ends everything it showed: nothing of it stays on the screen.
  signedOut(problem) {
    this.session.end();
    this.turn += 1;
    this.records.clear();
    this.check.clear();
    byId("who").reset();
    byId("who-facility").value = localStorage.getItem(FACILITY) ?? "";
    this.showSignIn(problem ? `Your session has ended: ${problem.sentence} Sign in again to go on.` : "");
  }

  showSignIn(reason) {
    byId("workspace").hidden = true;
    byId("sign-out").hidden = true;
    byId("sign-in").hidden = false;
    say(byId("sign-in-problem"), reason);
    byId("client-id").focus();
  }

  async signIn(submitted) {
    submitted.preventDefault();
    const form = submitted.target;
    const [client, secret] = [form.elements.client.value.trim(), form.elements.secret.value];
    if (!client || !secret) {
      say(byId("sign-in-problem"), "Both the client id and the secret are needed.");
      form.elements[client ? "secret" : "client"].focus();
      return;
    }
    const refusal = await this.session.signIn(client, secret)
      .catch(() => "The gateway cannot be reached. Check that it runs, then try again.");
    form.elements.secret.value = "";
    if (refusal) {
      say(byId("sign-in-problem"), refusal);
      form.elements.secret.focus();
      return;
    }
    this.signedIn();
  }

  addressChanged() {
    if (this.session.takeFromAddress()) this.signedIn();
    else if (this.session.token) this.find(addressed());
  }

  // The number itself never gets into the address or the page: only its pseudonym does.
  async whoSaw(submitted) {
    submitted.preventDefault();
    const { kind, facility, number } = submitted.target.elements;
    const missing = [facility, number].find((field) => !field.value.trim());
    if (missing) {
      say(byId("who-problem"), "Both the facility and the number are needed.");
      missing.focus();
      return;
    }
    say(byId("who-problem"), "");
    try {
      const links = await this.trail.links(kind.value, facility.value.trim(), number.value.trim());
      localStorage.setItem(FACILITY, facility.value.trim());
      number.value = "";
      if (links.known) this.ask({ linked: links.name, evidence: "access" });
      else say(byId("who-problem"), `Nothing of this ${kind.value} has come to this gateway, so nobody saw it here.`);
    } catch (problem) {
      say(byId("who-problem"), problem.sentence ?? String(problem));
    }
  }

  ask(filters) {
    const told = Object.fromEntries(Object.entries(filters).filter(([, value]) => value));
    const hash = new URLSearchParams(told).toString();
    if (hash === location.hash.slice(1)) this.find(told);
    else location.hash = hash;
  }

  async find(filters) {
    this.filters = filters;
    const turn = ++this.turn;
    for (const name of FIELDS) byId("find").elements[name].value = local(name, filters[name]);
    this.records.clear();
    say(byId("records-problem"), "");
    setText(byId("records-title"), title(filters));
    setText(byId("records-about"), about(filters));
    byId("records-state").hidden = false;
    setText(byId("records-state"), "Reading the trail…");
    byId("records-place").setAttribute("aria-busy", "true");
    if (Object.keys(filters).length) focusOn(byId("records-title"));
    await this.read("", turn);
  }

  async read(after, turn) {
    try {
      const page = await this.trail.records(this.filters, after);
      if (turn !== this.turn) return;
      this.next = page.next ?? "";
      this.records.add(page, { whole: !page.next, linked: Boolean(this.filters.linked) });
      setText(byId("news"), `${this.records.items.length} records${page.next ? " and more" : ""}.`);
    } catch (problem) {
      if (problem.status === 401 || turn !== this.turn) return;
      byId("records-state").hidden = true;
      say(byId("records-problem"), problem.sentence ?? String(problem));
    }
  }

  older() {
    return this.read(this.next, this.turn);
  }

  async save(form) {
    const button = byId(form === "csv" ? "export-csv" : "export-fhir");
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    try {
      const file = URL.createObjectURL(await this.trail.file(form, this.filters));
      const link = document.createElement("a");
      link.href = file;
      link.download = `audit.${form}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(file), 60_000);
      setText(byId("news"), `The export audit.${form} is saved.`);
    } catch (problem) {
      say(byId("records-problem"), problem.sentence ?? String(problem));
    }
    button.removeAttribute("aria-busy");
  }
}

function asked() {
  const form = byId("find").elements;
  const told = Object.fromEntries(FIELDS.map((name) => [name, form[name].value.trim()]));
  for (const name of ["since", "before"]) {
    if (told[name]) told[name] = new Date(told[name]).toISOString();
  }
  return told;
}

function addressed() {
  const parts = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(FIELDS.filter((name) => parts.get(name)).map((name) => [name, parts.get(name)]));
}

// A moment as its field takes it: by the clock of whoever looks.
function local(name, value = "") {
  if (!value || (name !== "since" && name !== "before")) return value;
  const at = new Date(value);
  return new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function title(filters) {
  if (filters.linked) return filters.evidence === "access" ? "Who saw it" : "Everything linked to it";
  if (filters.transaction) return "One transaction";
  return Object.keys(filters).length ? "Records found" : "Newest records";
}

const about = (filters) => Object.entries(filters).map(([name, value]) => `${name} ${value}`).join(" · ");

new Audit().start();
