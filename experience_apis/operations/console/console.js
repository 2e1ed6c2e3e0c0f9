// The operations console: who is signed in, what is listed, what is open, and the live news.

import { byId, say, setText } from "./element.js";
import { Gateway } from "./gateway.js";
import { Keys } from "./keys.js";
import { Live } from "./live.js";
import { Session } from "./session.js";
import { Story, showStory } from "./story.js";
import { Transactions } from "./transactions.js";
import { count } from "./words.js";

const NEWS_TOGETHER = 150;
const NOTHING_OPEN = byId("story-state").cloneNode(true);

class Console {
  constructor() {
    this.session = new Session();
    this.gateway = new Gateway(this.session, (problem) => this.signedOut(problem));
    this.transactions = new Transactions(this.gateway);
    this.story = null;
    this.wanted = "";
    this.pending = new Set();
    this.timer = 0;
    this.reading = Promise.resolve();
    new Keys({ closeStory: () => this.close(), focusTasks: () => this.story?.tasks.focusFirst() });
    byId("sign-in-form").addEventListener("submit", (submitted) => this.signIn(submitted));
    byId("sign-out").addEventListener("click", () => this.signedOut());
    byId("story-again").addEventListener("click", () => this.open(this.wanted));
    for (const link of document.querySelectorAll("[data-skip]")) {
      link.addEventListener("click", (clicked) => skipTo(clicked, link.dataset.skip));
    }
    addEventListener("hashchange", () => this.addressChanged());
    setInterval(() => this.transactions.tick(), 10_000);
  }

  start() {
    this.session.takeFromAddress();
    if (this.session.token) this.signedIn();
    else this.showSignIn("");
  }

  signedIn() {
    byId("sign-in").hidden = true;
    byId("workspace").hidden = false;
    byId("sign-out").hidden = false;
    byId("live").hidden = false;
    this.transactions.clear();
    this.transactions.refresh();
    this.open(addressed());
    this.live?.stop();
    this.live = new Live(this.gateway, {
      onNews: (transaction) => this.news(transaction),
      onOpen: () => this.caughtUp(),
      onState: (state, delay) => showLive(state, delay),
    });
    this.live.start();
  }

  // A dropped token ends everything it showed: nothing of it stays on the screen.
  signedOut(problem) {
    this.session.end();
    this.live?.stop();
    clearTimeout(this.timer);
    this.timer = 0;
    this.pending.clear();
    this.forget();
    this.transactions.clear();
    this.showSignIn(problem ? `Your session has ended: ${problem.sentence} Sign in again to go on.` : "");
  }

  showSignIn(reason) {
    byId("workspace").hidden = true;
    byId("live").hidden = true;
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
    say(byId("sign-in-problem"), "");
    form.setAttribute("aria-busy", "true");
    const refusal = await this.session.signIn(client, secret)
      .catch(() => "The gateway cannot be reached. Check that it runs, then try again.");
    form.removeAttribute("aria-busy");
    form.elements.secret.value = "";
    if (refusal) {
      say(byId("sign-in-problem"), refusal);
      form.elements.secret.focus();
      return;
    }
    this.signedIn();
    byId("transactions-title").focus();
  }

  addressChanged() {
    if (this.session.takeFromAddress()) this.signedIn();
    else if (this.session.token) this.open(addressed(), { moveFocus: true });
  }

  async open(id, { moveFocus = false } = {}) {
    this.wanted = id;
    this.transactions.mark(id);
    if (!id) {
      this.forget();
      return;
    }
    if (this.story?.id === id) {
      this.story.title.focus();
      return;
    }
    showStory(null);
    this.story = null;
    storyState("Loading the transaction…", "One moment");
    await this.read(id);
    if (moveFocus && this.story?.id === id) this.story.title.focus();
  }

  // Reads one after the other: an older answer never overwrites a newer one.
  read(id) {
    this.reading = this.reading.then(async () => {
      if (id !== this.wanted) return;
      try {
        this.show(await this.gateway.transaction(id), id);
      } catch (problem) {
        if (problem.status === 401 || id !== this.wanted) return;
        if (!this.story) storyState(failed(problem), "The transaction cannot be shown", true);
      }
    });
    return this.reading;
  }

  show(view, asked) {
    if (asked !== this.wanted) return;
    if (this.story?.id !== view.id) {
      this.story = new Story(view, {
        resolve: (...decision) => this.resolve(...decision),
        announce: (text) => announce(text),
        close: () => this.close(),
        preview: (...question) => this.gateway.previewReplay(...question),
        replay: (...order) => this.replay(...order),
      });
      this.wanted = view.id;
      this.transactions.mark(view.id);
      this.story.tell(view);
      showStory(this.story);
      document.title = `${view.title} · Suture`;
      return;
    }
    const fresh = this.story.tell(view);
    if (fresh.length) announce(`${count(fresh.length, "new hop")}. Latest: ${fresh.at(-1).name}, ${fresh.at(-1).outcome}.`);
  }

  async resolve(task, action, reason) {
    await this.gateway.resolve(task, action, reason);
    await this.read(this.story.id);
    this.transactions.changed([this.story.id]);
  }

  async replay(transaction, order) {
    const begun = await this.gateway.replay(transaction, order);
    this.transactions.changed([transaction]);
    this.read(transaction);
    return begun;
  }

  close() {
    const id = this.wanted;
    history.pushState(null, "", location.pathname + location.search);
    this.forget();
    this.transactions.mark("");
    this.transactions.focusOpen(id);
  }

  forget() {
    this.wanted = "";
    this.story = null;
    showStory(null);
    storyState("", "No transaction is open");
    document.title = "Operations · Suture";
  }

  // News come in bursts while a story runs: one look serves all of a moment.
  news(transaction) {
    this.pending.add(transaction);
    this.timer ||= setTimeout(() => this.look(), NEWS_TOGETHER);
  }

  async look() {
    const changed = [...this.pending];
    this.pending.clear();
    await Promise.all([
      this.transactions.changed(changed),
      this.story && changed.includes(this.story.id) ? this.read(this.story.id) : null,
    ]);
    this.timer = this.pending.size ? setTimeout(() => this.look(), NEWS_TOGETHER) : 0;
  }

  caughtUp() {
    this.transactions.refresh();
    if (this.story) this.read(this.story.id);
  }
}

const addressed = () => new URLSearchParams(location.hash.slice(1)).get("transaction") ?? "";

function failed(problem) {
  const next = problem.status === 404 ? " Find it by another number, or choose one from the list." : "";
  return (problem.sentence ?? String(problem)) + next;
}

const announce = (text) => setText(byId("news"), text);

function storyState(text, title, isProblem = false) {
  setText(byId("story-none-title"), title);
  const place = byId("story-state");
  place.classList.toggle("problem", isProblem);
  if (text) place.textContent = text;
  else place.replaceChildren(...NOTHING_OPEN.cloneNode(true).childNodes);
  byId("story-again").hidden = !isProblem;
}

function showLive(state, delay = 0) {
  const words = { connecting: "Connecting…", live: "Live", lost: `Offline, next try in ${Math.ceil(delay / 1000)} s` };
  const place = byId("live");
  if (place.dataset.state === "live" && state === "lost") announce("The live connection is lost. Trying again.");
  if (place.dataset.state !== "live" && state === "live" && place.dataset.state !== "off") announce("Live.");
  place.dataset.state = state;
  setText(byId("live-words"), words[state]);
}

function skipTo(clicked, id) {
  clicked.preventDefault();
  const target = document.getElementById(id) ?? byId("story-none-title");
  target.setAttribute("tabindex", "-1");
  target.focus();
}

new Console().start();
