// The keyboard: j and k through what is in front of you, Enter opens (links and buttons do that by
// themselves), Escape steps back out.

import { byId, focusOn } from "./element.js";
import { closeHop } from "./hop.js";

const OFF = "suture.console.keys-off";
const TYPING = "input:not([type=checkbox]), textarea, select, [contenteditable]";

export class Keys {
  constructor({ closeStory, focusTasks }) {
    this.closeStory = closeStory;
    this.focusTasks = focusTasks;
    this.dialog = byId("keys");
    byId("show-keys").addEventListener("click", () => this.dialog.showModal());
    byId("keys-on").checked = !localStorage.getItem(OFF);
    byId("keys-on").addEventListener("change", (changed) => {
      // A voice or switch user may type letters without meaning them (WCAG 2.1.4).
      if (changed.target.checked) localStorage.removeItem(OFF);
      else localStorage.setItem(OFF, "yes");
    });
    document.addEventListener("keydown", (pressed) => this.pressed(pressed));
  }

  pressed(pressed) {
    if (pressed.ctrlKey || pressed.altKey || pressed.metaKey || this.dialog.open) return;
    if (byId("workspace").hidden && pressed.key !== "?") return;
    if (pressed.key === "Escape") {
      this.escape(pressed);
      return;
    }
    const typing = pressed.target.matches(TYPING);
    const letter = pressed.key.length === 1;
    if (typing || (letter && !byId("keys-on").checked)) return;
    const act = this.actions(pressed)[pressed.key];
    if (!act) return;
    pressed.preventDefault();
    act();
  }

  actions({ target }) {
    const letters = {
      j: () => move(1),
      k: () => move(-1),
      t: () => this.focusTasks(),
      "/": () => { focusOn(byId("find-name")); byId("find-name").select(); },
      "?": () => this.dialog.showModal(),
    };
    // Inside a document or a table the arrows scroll.
    if (target.closest("pre, .table-place, input")) return letters;
    return { ...letters, ArrowDown: letters.j, ArrowUp: letters.k };
  }

  escape(pressed) {
    const target = pressed.target;
    const cancel = target.closest(".reason")?.querySelector(".cancel");
    const row = target.closest(".hop")?.querySelector('.hop-row[aria-expanded="true"]');
    if (target.id === "find-name") leaveSearch(target);
    else if (cancel) cancel.click();
    else if (row) { closeHop(row); focusOn(row); }
    else if (!byId("story-told").hidden) this.closeStory();
  }
}

function leaveSearch(input) {
  if (input.value) {
    input.value = "";
    input.dispatchEvent(new Event("input"));
  } else {
    focusOn(document.querySelector(".line[aria-current]") ?? document.querySelector(".line") ?? byId("transactions-title"));
  }
}

const seen = (node) => node.checkVisibility();

// The next row after (or before) the focus, in the order of the page.
function move(step) {
  const active = document.activeElement;
  const inStory = byId("story-told").contains(active) || !seen(byId("transactions"));
  const rows = [...document.querySelectorAll(inStory ? ".hop-row" : ".line")].filter(seen);
  const here = rows.findIndex((row) => row === active || row.parentNode.contains(active));
  if (here >= 0) {
    focusOn(rows[here + step]);
    return;
  }
  const after = rows.findIndex((row) => active.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING);
  const next = after < 0 ? rows.length : after;
  focusOn(rows[step > 0 ? next : next - 1] ?? (step > 0 ? rows[0] : null));
}
