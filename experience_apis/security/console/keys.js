// The keyboard of the audit page. The switch for single letters is that of all pages.

import { byId, focusOn } from "/console/element.js";

const OFF = "suture.console.keys-off";
const TYPING = "input:not([type=checkbox]), textarea, select";

export class Keys {
  constructor({ follow, check, save }) {
    this.acts = { follow, check, save };
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
    if (pressed.target.matches(TYPING)) {
      if (pressed.key === "Escape") focusOn(byId("records-title"));
      return;
    }
    if (pressed.key.length === 1 && !byId("keys-on").checked) return;
    const act = this.actions(pressed)[pressed.key];
    if (!act) return;
    pressed.preventDefault();
    act();
  }

  actions({ target }) {
    const letters = {
      j: () => move(1),
      k: () => move(-1),
      t: () => this.followed(target),
      v: () => this.acts.check(),
      c: () => this.acts.save("csv"),
      f: () => this.acts.save("ndjson"),
      "/": () => focusOn(byId("who-number")),
      "?": () => this.dialog.showModal(),
    };
    if (target.closest(".table-place")) return letters;
    return { ...letters, ArrowDown: letters.j, ArrowUp: letters.k };
  }

  followed(target) {
    const row = target.closest("#rows > li")?.querySelector(".row");
    if (row?.dataset.transaction) this.acts.follow(row.dataset.transaction);
  }
}

function move(step) {
  const rows = [...document.querySelectorAll("#rows .row")];
  const here = rows.findIndex((row) => row.parentNode.contains(document.activeElement));
  focusOn(here < 0 ? rows[step > 0 ? 0 : -1] : rows[here + step]);
}
