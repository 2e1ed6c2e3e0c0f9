// Open tasks: what happened, what helps, and the actions a person may take.

import { element, focusOn, say, setText } from "./element.js";
import { ACTION, ago, moment } from "./words.js";

// Nothing is lost by these two; every other action asks once more, with room for a reason.
const AT_ONCE = new Set(["retry", "acknowledge"]);

export class TaskList {
  // `resolve(task, action, reason)` is called when a person has decided; it may reject.
  constructor(resolve, announce) {
    this.resolve = resolve;
    this.announce = announce;
    this.cards = new Map();
    this.title = element("h3", { tabindex: "-1" }, "Open tasks");
    this.list = element("ul", { class: "tasks" });
    this.node = element("section", { class: "tasks-place", "aria-label": "Open tasks", hidden: true }, this.title, this.list);
  }

  tell(tasks) {
    const open = new Map(tasks.filter((task) => task.status === "open").map((task) => [task.id, task]));
    for (const [id, card] of this.cards) {
      if (!open.has(id)) this.remove(id, card);
    }
    for (const [id, task] of open) {
      if (this.cards.has(id)) continue;
      const card = this.card(task);
      this.cards.set(id, card);
      this.list.append(card);
    }
    setText(this.title, open.size === 1 ? "1 open task" : `${open.size} open tasks`);
    this.node.hidden = open.size === 0;
  }

  remove(id, card) {
    const focused = card.contains(document.activeElement);
    card.remove();
    this.cards.delete(id);
    if (!focused) return;
    const following = this.list.querySelector("h4");
    focusOn(following ?? document.getElementById("story-title"));
  }

  focusFirst() {
    focusOn(this.list.querySelector("button"));
  }

  card(task) {
    const problem = element("p", { class: "problem", role: "alert", hidden: true });
    const actions = element("div", { class: "actions", role: "group", "aria-label": `Actions: ${task.title}` });
    const title = element("h4", { tabindex: "-1" }, task.title);
    const card = element("li", { class: "task" }, title,
      element("p", {}, task.detail),
      element("dl", { class: "facts" }, ...[
        ["About", task.subject], ["Affected", task.affected], ["What helps", task.fix], ["Owner", task.owner],
        ["Raised", raised(task)],
      ].filter(([, value]) => value).map(([term, value]) => element("div", {},
        element("dt", {}, term), element("dd", {}, value)))),
      actions, problem);
    actions.append(...task.actions.map((action, place) => element("button", {
      type: "button",
      class: place === 0 ? "primary" : null,
      onclick: () => this.choose(task, action, actions, problem),
    }, AT_ONCE.has(action) ? ACTION[action] : `${ACTION[action]}…`)));
    return card;
  }

  async choose(task, action, actions, problem) {
    say(problem, "");
    if (AT_ONCE.has(action)) {
      await this.send(task, action, "", actions, problem);
      return;
    }
    actions.parentNode.querySelector(".reason")?.remove();
    const chosen = document.activeElement;
    const form = reasonForm(task, action, {
      onSend: (reason) => this.send(task, action, reason, form, problem),
      onCancel: () => { form.remove(); actions.hidden = false; chosen.focus(); },
    });
    actions.hidden = true;
    actions.after(form);
    form.querySelector("input").focus();
  }

  async send(task, action, reason, place, problem) {
    if (place.getAttribute("aria-busy") === "true") return;
    place.setAttribute("aria-busy", "true");
    try {
      await this.resolve(task, action, reason);
      this.announce(`Task resolved: ${task.title}, ${ACTION[action].toLowerCase()}.`);
    } catch (failure) {
      say(problem, failure.sentence ?? String(failure));
    }
    place.removeAttribute("aria-busy");
  }
}

const raised = (task) => element("time", { datetime: task.raisedAt, title: moment(task.raisedAt) }, ago(task.raisedAt));

function reasonForm(task, action, { onSend, onCancel }) {
  const needed = task.reasonNeeded.includes(action);
  const field = `reason-${task.id}`;
  const missing = element("p", { class: "problem", role: "alert", id: `${field}-missing`, hidden: true });
  const input = element("input", {
    id: field, type: "text", maxlength: "500", autocomplete: "off", "aria-required": String(needed),
    "aria-describedby": missing.id,
  });
  const question = `Why ${ACTION[action].toLowerCase()}?`;
  const submitted = (submit) => {
    submit.preventDefault();
    const reason = input.value.trim();
    const lacks = needed && !reason;
    input.setAttribute("aria-invalid", String(lacks));
    say(missing, lacks ? "A reason is needed: it stays in the record of this transaction." : "");
    if (lacks) input.focus();
    else onSend(reason);
  };
  return element("form", { class: "reason", novalidate: true, onsubmit: submitted },
    element("label", { for: field }, needed ? question : `${question} (you may leave it empty)`),
    input, missing,
    element("div", { class: "actions" },
      element("button", { type: "submit", class: "primary" }, ACTION[action]),
      element("button", { type: "button", class: "cancel", onclick: onCancel }, "Cancel")));
}
