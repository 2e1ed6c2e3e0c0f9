// One transaction: how it stands, what people call it, its tasks, and its timeline.

import { byId, element, setText } from "./element.js";
import { TaskList } from "./tasks.js";
import { Timeline } from "./timeline.js";
import { clockOn, count, duration, FLOW_STATUS, flowName, moment, PHASE_STATE, referenceLabel, STATUS } from "./words.js";

export class Story {
  constructor(view, { resolve, announce, close, preview, replay }) {
    this.id = view.id;
    this.title = element("h2", { id: "story-title", tabindex: "-1" });
    this.status = element("span", { class: "chip" });
    this.facts = element("p", { class: "story-facts" });
    this.steps = element("ol", { class: "steps" });
    this.stepNodes = new Map();
    this.names = element("dl", { class: "names" });
    this.flows = element("tbody");
    this.tasks = new TaskList(resolve, announce);
    this.timeline = new Timeline(view.openedAt, {
      preview: (question) => preview(view.id, question),
      replay: (order) => replay(view.id, order),
      announce,
    });
    this.node = element("div", { class: "story-page" },
      element("header", { class: "story-head" },
        element("button", { type: "button", class: "quiet back", onclick: close }, "← All transactions"),
        element("div", { class: "story-title-row" }, this.title, this.status),
        this.facts),
      element("nav", { "aria-label": "Phases" }, this.steps),
      this.tasks.node,
      element("section", { class: "panel", "aria-labelledby": "names-title" },
        element("h3", { id: "names-title" }, "Known as"), this.names),
      element("section", { class: "panel", "aria-labelledby": "flows-title" },
        element("h3", { id: "flows-title" }, "Flows"), flowTable(this.flows)),
      this.timeline.node);
  }

  // Returns the hops that were not there before.
  tell(view) {
    setText(this.title, view.title);
    setText(this.status, STATUS[view.status] ?? view.status);
    this.status.dataset.status = view.status;
    const took = new Date(view.changedAt) - new Date(view.openedAt);
    setText(this.facts, `Opened ${moment(view.openedAt)} · ${count(view.hops.length, "hop")} in ${duration(took)}`);
    this.tellSteps(view);
    this.names.replaceChildren(...names(view));
    this.flows.replaceChildren(...view.flows.map((flow) => flowRow(flow, view.openedAt)));
    this.tasks.tell(view.tasks);
    return this.timeline.tell(view);
  }

  tellSteps(view) {
    for (const phase of view.phases) {
      let step = this.stepNodes.get(phase.phase);
      if (!step) {
        step = stepNode(phase, () => this.timeline.focusPhase(phase.phase));
        this.stepNodes.set(phase.phase, step);
        this.steps.append(step.item);
      }
      step.tell(phase);
    }
  }
}

export function showStory(story) {
  byId("story-none").hidden = Boolean(story);
  byId("story-told").hidden = !story;
  byId("story").setAttribute("aria-labelledby", story ? "story-title" : "story-none-title");
  byId("story-told").replaceChildren(...(story ? [story.node] : []));
  document.body.classList.toggle("reading", Boolean(story));
}

function stepNode(phase, go) {
  const facts = element("span", { class: "step-facts" });
  const button = element("button", { type: "button", class: "step", onclick: go },
    element("span", { class: "step-mark", "aria-hidden": "true" }),
    element("span", { class: "step-title" }, phase.title), " ", facts);
  const item = element("li", {}, button);
  return {
    item,
    tell(news) {
      item.dataset.state = news.state;
      button.disabled = news.hops.length === 0;
      const hops = news.hops.length ? ` · ${count(news.hops.length, "hop")}` : "";
      setText(facts, `${PHASE_STATE[news.state]}${hops}`);
    },
  };
}

function names(view) {
  const own = ["Transaction", view.id];
  const others = view.references.map(([kind, value]) => [referenceLabel(kind), value]);
  return [...others, own].map(([label, value]) => element("div", {},
    element("dt", {}, label), element("dd", {}, value)));
}

function flowTable(body) {
  const head = ["Flow", "State", "Waits for", "Since"];
  return element("div", { class: "table-place", tabindex: "0", role: "region", "aria-label": "Flows, table" },
    element("table", {},
      element("thead", {}, element("tr", {}, ...head.map((word) => element("th", { scope: "col" }, word)))), body));
}

function flowRow(flow, storyDay) {
  const status = FLOW_STATUS[flow.status] ?? flow.status;
  const tries = flow.attempts > 1 && flow.status !== "done" ? ` · ${flow.attempts} tries` : "";
  return element("tr", {},
    element("th", { scope: "row" }, flowName(flow.name), element("span", { class: "soft" }, ` v${flow.version}`)),
    element("td", {}, element("span", { class: "state-word", "data-status": flow.status }, `${status}${tries}`)),
    element("td", {}, flow.waitsFor || "–"),
    element("td", {}, element("time", { datetime: flow.endedAt ?? flow.startedAt }, clockOn(flow.endedAt ?? flow.startedAt, storyDay))));
}
