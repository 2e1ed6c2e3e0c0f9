// Replay from here: what it would do, field by field; then, with a reason, the replay itself.

import { element, focusOn, say } from "./element.js";
import { count, flowName, VERDICT } from "./words.js";

const STEPS = new Set(["ask", "decide", "effect", "disclose", "wait", "announce"]);
const QUIET = new Set(["recorded", "same", "suppressed"]);
const MAPPINGS = [
  ["pinned", "As it was: the versions of then, and what was read and ruled then"],
  ["current", "As it is today: newest version, read and ruled anew"],
];

// A hop that is a recorded step of a flow that has ended may be told again.
export function isReplayable(hop, flows) {
  const flow = flows.find((each) => each.id === hop.flow);
  return Boolean(flow) && STEPS.has(hop.kind) && hop.outcome !== "left standing"
    && ["done", "abandoned", "cancelled"].includes(flow.status);
}

// `preview(question)` and `replay(order)` answer with a promise that may reject with a Problem.
export function replayPlace(hop, { preview, replay, announce }) {
  const panel = element("div", { class: "replay", id: `replay-${hop.seq}`, hidden: true });
  const button = element("button", {
    type: "button", "aria-expanded": "false", "aria-controls": panel.id,
  }, "Replay from here…");
  const close = () => {
    panel.replaceChildren();
    panel.hidden = true;
    button.setAttribute("aria-expanded", "false");
    focusOn(button);
  };
  button.addEventListener("click", () => {
    if (!panel.hidden) { close(); return; }
    panel.hidden = false;
    button.setAttribute("aria-expanded", "true");
    panel.append(...new Replay(hop, { preview, replay, announce, close }).parts);
    panel.querySelector("h5").focus();
  });
  return element("div", { class: "replay-place" }, button, panel);
}

class Replay {
  constructor(hop, { preview, replay, announce, close }) {
    Object.assign(this, { hop, preview, replay, announce, close, mapping: "pinned", asked: 0 });
    const title = element("h5", { tabindex: "-1", id: `replay-${hop.seq}-title` }, `Replay from «${hop.name}»`);
    this.seen = element("div", { class: "replay-seen", role: "region", "aria-live": "polite", "aria-labelledby": title.id });
    this.problem = element("p", { class: "problem", role: "alert", hidden: true });
    this.form = this.reasonForm();
    this.parts = [title, this.choice(), this.seen, this.form, this.problem];
    this.look();
  }

  choice() {
    return element("fieldset", { class: "replay-choice" },
      element("legend", {}, "With which rules and mappings"),
      ...MAPPINGS.map(([value, words]) => {
        const id = `replay-${this.hop.seq}-${value}`;
        const option = element("input", {
          type: "radio", id, name: `replay-${this.hop.seq}`, value, checked: value === "pinned",
          onchange: () => { this.mapping = value; this.look(); },
        });
        return element("div", {}, option, " ", element("label", { for: id }, words));
      }));
  }

  get question() {
    return { from: this.hop.name, flow: this.hop.flow, mapping: this.mapping };
  }

  // Only the latest question is answered: an older answer may come later.
  async look() {
    const asked = ++this.asked;
    say(this.problem, "");
    this.form.hidden = true;
    this.seen.replaceChildren(element("p", { class: "soft" }, "Looking…"));
    try {
      const seen = await this.preview(this.question);
      if (asked !== this.asked) return;
      this.seen.replaceChildren(...judged(seen));
      this.form.hidden = false;
    } catch (failure) {
      if (asked !== this.asked) return;
      this.seen.replaceChildren();
      say(this.problem, failure.sentence ?? String(failure));
    }
  }

  reasonForm() {
    const field = `replay-${this.hop.seq}-reason`;
    this.missing = element("p", { class: "problem", role: "alert", id: `${field}-missing`, hidden: true });
    this.input = element("input", {
      id: field, type: "text", maxlength: "500", autocomplete: "off", "aria-required": "true", "aria-describedby": this.missing.id,
    });
    return element("form", { class: "reason", novalidate: true, hidden: true, onsubmit: (submit) => this.submitted(submit) },
      element("label", { for: field }, "Why replay?"), this.input, this.missing,
      element("div", { class: "actions" },
        element("button", { type: "submit", class: "primary" }, "Replay"),
        element("button", { type: "button", class: "cancel", onclick: this.close }, "Cancel")));
  }

  async submitted(submit) {
    submit.preventDefault();
    const reason = this.input.value.trim();
    this.input.setAttribute("aria-invalid", String(!reason));
    say(this.missing, reason ? "" : "A reason is needed: it stays in the record of this transaction.");
    if (!reason) { this.input.focus(); return; }
    if (this.form.getAttribute("aria-busy") === "true") return;
    this.form.setAttribute("aria-busy", "true");
    try {
      const begun = await this.replay({ ...this.question, reason });
      this.announce(`The replay has begun: ${flowName(begun.name)}.`);
      this.close();
    } catch (failure) {
      say(this.problem, failure.sentence ?? String(failure));
    }
    this.form.removeAttribute("aria-busy");
  }
}

function judged(seen) {
  const after = seen.versionBefore === seen.versionAfter ? "" : ` → ${seen.versionAfter}`;
  const sentence = seen.changes ? "Something would change." : "Nothing would change.";
  const loud = seen.steps.filter((step) => !QUIET.has(step.verdict)).length;
  return [
    element("p", {}, element("strong", { class: "replay-outcome" }, sentence),
      ` ${flowName(seen.name)} ${seen.versionBefore}${after} would end ${seen.ends}; ${count(loud, "step")} of ${seen.steps.length} would not be as before.`),
    ...(seen.facts.length ? [element("p", {}, "What the document says today:"), fields(seen.facts)] : []),
    element("ol", { class: "verdicts" }, ...seen.steps.map((step) => element("li", { "data-loud": String(!QUIET.has(step.verdict)) },
      element("span", { class: "verdict" }, VERDICT[step.verdict] ?? step.verdict), " ",
      element("span", { class: "verdict-name" }, step.name),
      step.why && !QUIET.has(step.verdict) ? element("span", { class: "soft" }, ` ${step.why}`) : null,
      step.differences.length ? fields(step.differences) : null))),
  ];
}

function fields(differences) {
  return element("dl", { class: "fields" }, ...differences.map((field) => element("div", {},
    element("dt", {}, field.path),
    element("dd", {}, element("del", {}, JSON.stringify(field.before)), " → ", element("ins", {}, JSON.stringify(field.after))))));
}
