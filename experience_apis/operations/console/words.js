// Words, times and durations as people read them.

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const EXACT = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const FULL = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });

const STEPS = [["days", 172_800, 86_400], ["h", 3_600, 3_600], ["min", 60, 60]];

export const clock = (iso) => CLOCK.format(new Date(iso));
export const moment = (iso) => FULL.format(new Date(iso));

// The clock, with the day in front when it is not the day people expect.
export function clockOn(iso, expectedDay, format = CLOCK) {
  const at = new Date(iso);
  const sameDay = at.toDateString() === new Date(expectedDay).toDateString();
  return sameDay ? format.format(at) : `${DAY.format(at)} ${format.format(at)}`;
}

export const exactOn = (iso, expectedDay) => clockOn(iso, expectedDay, EXACT);

export function ago(iso) {
  const seconds = (Date.now() - new Date(iso)) / 1000;
  for (const [unit, from, size] of STEPS) {
    if (seconds >= from) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return seconds < 10 ? "just now" : `${Math.floor(seconds / 10) * 10} s ago`;
}

export function duration(milliseconds) {
  if (milliseconds < 1) return "< 1 ms";
  if (milliseconds < 1000) return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  const hours = Math.floor(seconds / 3600);
  return hours < 48 ? `${hours} h ${Math.floor((seconds % 3600) / 60)} min` : `${Math.floor(hours / 24)} days`;
}

export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

export const STATUS = { open: "In progress", attention: "Needs a person", done: "Done" };

export const PHASE_STATE = {
  ahead: "Not yet", running: "Running", waiting: "Waiting", stuck: "Needs a person", done: "Done",
};

export const FLOW_STATUS = {
  queued: "queued", ready: "running", waiting: "waiting", stuck: "stuck", done: "done", abandoned: "abandoned",
  cancelled: "cancelled",
};

export const KIND = {
  message: "document", ask: "read", decide: "rule", effect: "change", disclose: "patient context",
  wait: "news", announce: "event", replay: "replay", compensate: "undone", end: "end of flow", retry: "retry", task: "task", approval: "decision",
};

export const VERDICT = {
  recorded: "As recorded", same: "The same again", differs: "Differs", suppressed: "Not done twice",
  "would-be-done": "Would be done", "would-be-undone-and-done": "Would be undone, then done",
  "would-be-announced": "Would be announced", "would-wait": "Would wait", "would-ask-a-person": "Would ask a person",
  "left-standing": "Stays as it is", fails: "Would fail",
};

const REFERENCE = {
  order: "Order", invoice: "Invoice", requisition: "Requisition", receipt: "Goods receipt", shipment: "Shipment",
  msh10: "MSH-10", isa13: "ISA13", "x12-group": "X12 group", fhir: "FHIR", case: "Case", encounter: "Encounter",
};

export const referenceLabel = (kind) => REFERENCE[kind] ?? flowName(kind);

export function flowName(name) {
  const words = name.replaceAll("-", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export const ACTION = {
  retry: "Retry", abandon: "Abandon", approve: "Approve", decline: "Decline",
  accept: "Accept", reject: "Reject", acknowledge: "Acknowledge",
};
