// The timeline: hops in business phases, added to as they happen. A hop never changes once written,
// so rows that are there are left alone: what is open stays open, and the focus stays where it is.

import { element, focusOn, setText } from "./element.js";
import { hopRow } from "./hop.js";
import { isReplayable, replayPlace } from "./replay.js";
import { clockOn, count, duration, flowName } from "./words.js";

export class Timeline {
  constructor(storyDay, replays) {
    this.storyDay = storyDay;
    this.replays = replays;
    this.flows = [];
    this.places = new Map();
    this.seen = new Set();
    const only = element("input", { type: "checkbox", id: "milestones" });
    only.addEventListener("change", () => this.node.classList.toggle("milestones", only.checked));
    this.node = element("section", { class: "timeline", "aria-labelledby": "timeline-title" },
      element("div", { class: "timeline-head" },
        element("h3", { id: "timeline-title" }, "Timeline"),
        element("p", {}, only, " ", element("label", { for: "milestones" }, "Milestones only (hide reads, rules and events)"))));
  }

  tell(view) {
    const first = this.seen.size === 0;
    this.flows = view.flows;
    const fresh = view.hops.filter((hop) => !this.seen.has(hop.seq));
    for (const phase of view.phases) this.place(phase).tell(phase, view);
    for (const hop of fresh) {
      this.seen.add(hop.seq);
      const row = hopRow(hop, this.storyDay, (each) => this.replayed(each));
      if (!first) row.classList.add("fresh");
      this.places.get(hop.phase).hops.append(row);
    }
    return first ? [] : fresh;
  }

  replayed(hop) {
    return isReplayable(hop, this.flows) ? replayPlace(hop, this.replays) : null;
  }

  place(phase) {
    let place = this.places.get(phase.phase);
    if (!place) {
      place = phasePlace(phase, this.storyDay);
      this.places.set(phase.phase, place);
      this.node.append(place.node);
    }
    return place;
  }

  focusPhase(phase) {
    const { title, node } = this.places.get(phase);
    title.focus({ preventScroll: true });
    node.scrollIntoView({ block: "start" });
  }

  openRow() {
    return this.node.querySelector('.hop-row[aria-expanded="true"]');
  }
}

export function focusHop(seq) {
  focusOn(document.getElementById(`hop-${seq}`));
}

function phasePlace(phase, storyDay) {
  const title = element("h4", { id: `phase-${phase.phase}`, tabindex: "-1" }, phase.title);
  const facts = element("p", { class: "phase-facts" });
  const hops = element("ol", { class: "hops" });
  const ahead = element("ul", { class: "ahead" });
  const node = element("section", { class: "phase", "aria-labelledby": title.id, "data-phase": phase.phase },
    element("div", { class: "phase-head" }, title, facts), hops, ahead);
  return {
    node,
    title,
    hops,
    tell(news, view) {
      const waits = view.flows.filter((flow) => flow.phase === news.phase && flow.waitsFor);
      node.hidden = news.hops.length === 0 && waits.length === 0;
      node.dataset.state = news.state;
      const when = news.firstAt ? `${clockOn(news.firstAt, storyDay)} · ` : "";
      const work = news.milliseconds ? ` · ${duration(news.milliseconds)} of work` : "";
      setText(facts, `${when}${count(news.hops.length, "hop")}${work}`);
      ahead.replaceChildren(...waits.map((flow) => element("li", {},
        element("span", { class: "stitch", "aria-hidden": "true" }),
        element("span", {}, `Waits for ${flow.waitsFor}`),
        element("span", { class: "soft small" }, ` ${flowName(flow.name)}`))));
      ahead.hidden = waits.length === 0;
    },
  };
}
