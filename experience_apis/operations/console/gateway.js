// The APIs of this page. Every failure becomes one Problem with a sentence and a next step.

const OPERATIONS = "/experience/v1/operations";

export class Problem extends Error {
  constructor(status, { title = "", detail = "", fix = "", correlationId = "" } = {}) {
    super(detail || title || `The gateway answered HTTP ${status}`);
    this.status = status;
    this.fix = fix;
    this.correlationId = correlationId;
  }

  get sentence() {
    const text = this.message.charAt(0).toUpperCase() + this.message.slice(1);
    const parts = [/[.!?]$/.test(text) ? text : `${text}.`];
    if (this.fix) parts.push(`Next: ${this.fix}.`);
    if (this.correlationId) parts.push(`Reference for support: ${this.correlationId}.`);
    return parts.join(" ");
  }
}

export class Gateway {
  constructor(session, onSignedOut) {
    this.session = session;
    this.onSignedOut = onSignedOut;
  }

  transactions({ limit = 50, before = "" } = {}) {
    const query = new URLSearchParams({ limit: String(limit) });
    if (before) query.set("before", before);
    return this.read(`${OPERATIONS}/transactions?${query}`);
  }

  transaction(name) {
    return this.read(`${OPERATIONS}/transactions/${encodeURIComponent(name)}`);
  }

  // An approval is decided where the rule of two persons holds; every other task is resolved.
  resolve(task, action, reason) {
    const id = encodeURIComponent(task.id);
    if (task.reason === "approval") {
      return this.write(`/process/v1/requisitions/${id}/decision`, { approved: action === "approve", reason });
    }
    return this.write(`/process/v1/tasks/${id}/resolution`, { action, reason });
  }

  previewReplay(transaction, question) {
    return this.write(`${OPERATIONS}/transactions/${encodeURIComponent(transaction)}/replay-preview`, question);
  }

  replay(transaction, order) {
    return this.write(`${OPERATIONS}/transactions/${encodeURIComponent(transaction)}/replay`, order);
  }

  events(signal) {
    return this.ask(`${OPERATIONS}/events`, { headers: { Accept: "text/event-stream" }, signal });
  }

  async write(path, body) {
    const headers = { Accept: "application/json", "Content-Type": "application/json" };
    const response = await this.ask(path, { method: "POST", headers, body: JSON.stringify(body) });
    return response.json();
  }

  async read(path) {
    const token = this.session.token;
    const response = await this.ask(path, { headers: { Accept: "application/json" } });
    const answer = await response.json();
    // What was asked before the sign-out must not appear after it.
    if (token !== this.session.token) throw new Problem(401, { detail: "This session has ended" });
    return answer;
  }

  async ask(path, options) {
    const token = this.session.token;
    if (!token) throw new Problem(401, { detail: "Nobody is signed in" });
    const headers = { ...options.headers, Authorization: `Bearer ${token}` };
    const response = await reached(path, { ...options, headers });
    if (response.ok) return response;
    const problem = new Problem(response.status, await response.json().catch(() => ({})));
    // An answer to an old token says nothing about the new one.
    if (response.status === 401 && token === this.session.token) this.onSignedOut(problem);
    throw problem;
  }
}

async function reached(path, options) {
  try {
    return await fetch(path, { credentials: "omit", cache: "no-store", ...options });
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw new Problem(0, {
      detail: "The gateway cannot be reached",
      fix: "check that it runs and that you are online; this page keeps trying",
    });
  }
}
