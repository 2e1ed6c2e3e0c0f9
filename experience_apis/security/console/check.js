// Verifying the trail: a job at the server, its progress, and what does not hold.

import { byId, element } from "/console/element.js";
import { count } from "/console/words.js";

const LOOK = 400;

export class Check {
  constructor(trail, announce) {
    this.trail = trail;
    this.announce = announce;
    this.running = false;
    this.button = byId("check");
    this.bar = byId("check-progress");
    this.place = byId("check-told");
    this.button.addEventListener("click", () => this.run());
  }

  clear() {
    this.bar.hidden = true;
    this.place.replaceChildren();
  }

  async run() {
    if (this.running) return;
    this.running = true;
    this.button.setAttribute("aria-busy", "true");
    this.clear();
    try {
      let check = await this.trail.check();
      while (check.status === "queued" || check.status === "running") {
        this.progress(check);
        await new Promise((go) => { setTimeout(go, LOOK); });
        check = await this.trail.checked(check.id);
      }
      this.tell(check);
    } catch (problem) {
      this.place.replaceChildren(element("p", { class: "problem" }, problem.sentence ?? String(problem)));
    }
    this.bar.hidden = true;
    this.button.removeAttribute("aria-busy");
    this.running = false;
  }

  progress(check) {
    this.bar.hidden = false;
    this.bar.max = Math.max(check.total, 1);
    this.bar.value = check.read;
  }

  tell({ status, verdict }) {
    if (status === "failed" || !verdict) {
      this.place.replaceChildren(element("p", { class: "problem" }, "The trail could not be read to its end. Try again."));
      return;
    }
    const broken = verdict.broken.length;
    const unsigned = verdict.records - verdict.signed;
    const said = broken
      ? `${count(broken, "break")}: the trail is not the one that was written.`
      : `Everything holds: ${count(verdict.records, "record")} in ${count(verdict.chains, "chain")}.`;
    this.place.replaceChildren(element("div", { class: "verdict", "data-broken": String(broken > 0) },
      element("p", {}, element("strong", {}, said)),
      element("p", {}, `${verdict.signed} of them signed by ${count(verdict.checkpoints, "checkpoint")}`
        + (unsigned && !broken ? `; ${unsigned} are newer than the newest one.` : ".")),
      verdict.checkpoint ? element("p", {}, "Write down the newest checkpoint: ", element("code", {}, verdict.checkpoint)) : null,
      broken ? element("ul", {}, ...verdict.broken.map((link) => element("li", {},
        element("strong", {}, link.chain === "checkpoint" ? `Checkpoint ${link.seq}` : `Record ${link.seq} of ${link.chain}`),
        `: ${link.reason}`))) : null));
  }
}
