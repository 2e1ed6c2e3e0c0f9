// Live news over text/event-stream, read with fetch because EventSource cannot send a token.

const FIRST_DELAY = 1_000;
const LONGEST_DELAY = 30_000;
// The gateway sends a heartbeat each 15 s: three missed ones mean that the line is dead.
const SILENCE = 45_000;

export class Live {
  constructor(gateway, { onNews, onOpen, onState }) {
    this.gateway = gateway;
    this.tell = { onNews, onOpen, onState };
    this.stopped = new AbortController();
    this.hurry = () => {};
  }

  async start() {
    addEventListener("online", () => this.hurry(), { signal: this.stopped.signal });
    let tries = 0;
    while (!this.stopped.signal.aborted) {
      this.tell.onState("connecting");
      const opened = await this.listen();
      if (this.stopped.signal.aborted) return;
      tries = opened ? 0 : tries + 1;
      const delay = Math.min(FIRST_DELAY * 2 ** Math.max(tries - 1, 0), LONGEST_DELAY);
      this.tell.onState("lost", delay);
      await this.pause(delay * (0.75 + Math.random() / 4));
    }
  }

  stop() {
    this.stopped.abort();
    this.hurry();
  }

  pause(milliseconds) {
    return new Promise((go) => {
      const timer = setTimeout(go, milliseconds);
      this.hurry = () => { clearTimeout(timer); go(); };
    });
  }

  // Reads one connection to its end; returns whether it was ever open.
  async listen() {
    const line = new AbortController();
    const cut = () => line.abort();
    this.stopped.signal.addEventListener("abort", cut);
    let watch = setTimeout(cut, SILENCE);
    let opened = false;
    try {
      const response = await this.gateway.events(line.signal);
      opened = true;
      this.tell.onState("live");
      this.tell.onOpen();
      for await (const event of eventsOf(response.body)) {
        clearTimeout(watch);
        watch = setTimeout(cut, SILENCE);
        if (event.type === "transaction") this.tell.onNews(JSON.parse(event.data).transaction);
      }
    } catch {
      // Whatever broke the line, the answer is the same: try again after the pause.
    } finally {
      clearTimeout(watch);
      this.stopped.signal.removeEventListener("abort", cut);
    }
    return opened;
  }
}

// Server-sent events (WHATWG HTML section 9.2.6). A comment comes out as an event without type, as
// a sign of life.
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) yield eventOf(block);
  }
}

function eventOf(block) {
  const event = { type: "", data: "" };
  for (const line of block.split("\n")) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (field === "event") event.type = value;
    if (field === "data") event.data += event.data ? `\n${value}` : value;
  }
  return event;
}
