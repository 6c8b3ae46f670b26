// Events in lines: those of one change, which is an event in each family, are one line.

import { make, setText } from "./dom.js";
import { agoText, clockText, dateText, printable } from "./text.js";

const FAMILY = /^IPv[46] /;
const GOOD = ["link_up", "added"];
const BAD = ["link_down", "removed"];

/** Returns whether two events are one change, seen in both families of an interface. */
export function isSameChange(one, other) {
  if (one.node !== other.node || one.luid !== other.luid || one.family === other.family || !one.luid) return false;
  if (one.epoch !== other.epoch || one.cause !== other.cause) return false;
  if (one.notification_type !== other.notification_type || Math.abs(one.seq - other.seq) > 20) return false;
  if (one.notification_type !== "parameter_notification") return true;
  const same = (name) => JSON.stringify(one.changed[name]) === JSON.stringify(other.changed[name]);
  return Object.keys(one.changed).some(same);
}

/** Returns a line for the events of one change: a fact that both tell is there once, and without the family. */
export function textOf(events) {
  const [one, other] = events;
  if (other === undefined || one.text === other.text || !one.text.startsWith(`${one.name} `)) return one.text;
  const separator = one.notification_type === "parameter_notification" ? "; " : ", ";
  const [mine, remark] = factsOf(one, separator);
  const [others] = factsOf(other, separator);
  const theirs = new Set(others.map(bare));
  const shown = mine.map((fact) => (theirs.has(bare(fact)) ? bare(fact) : fact));
  const known = new Set(mine.map(bare));
  return `${one.name} ${[...shown, ...others.filter((fact) => !known.has(bare(fact)))].join(separator)}${remark}`;
}

const bare = (fact) => fact.replace(FAMILY, "");

/** Returns the facts of an event's text, and the remark at its end: only a cause other than the usual one has one. */
function factsOf({ text, name, cause }, separator) {
  const at = cause === "notification" ? -1 : text.lastIndexOf(" (");
  const facts = text.slice(name.length + 1, at < 0 ? undefined : at);
  return [facts.split(separator), at < 0 ? "" : text.slice(at)];
}

/** Returns what is kept of an event for its line. */
export function lineOf(event) {
  const { id, node, luid, family, epoch, seq, cause, kinds, notification_type, changed, text } = event;
  const name = event.interface ? printable(event.interface.alias, 4000) : "";
  const kept = { id, node, luid, family, epoch, seq, cause, kinds, notification_type, changed, text };
  return { ...kept, name, moment: Date.parse(event.time) };
}

/** Returns the mood of a change, by which its line is painted. */
export function moodOf({ kinds }) {
  if (kinds.some((kind) => BAD.includes(kind))) return "bad";
  return kinds.some((kind) => GOOD.includes(kind)) ? "good" : "";
}

/** Returns a list's element for a change; its text without `name`, where that is the heading. */
export function makeLine(events, { now, relative = false, node = "", name = "", held = "" }) {
  const [first] = events;
  const time = make("time", { dateTime: new Date(first.moment).toISOString(), title: dateText(first.moment) });
  const what = make("div", {}, make("span", { className: "what" }));
  if (node) what.prepend(make("bdi", { className: "of" }, printable(node)));
  const line = make("li", { className: "line" }, time, what);
  line.dataset.mood = moodOf(first);
  if (held) line.append(make("span", { className: "held" }, held));
  writeLine(line, events, name);
  setText(time, relative ? agoText(first.moment, now) : clockText(first.moment));
  return line;
}

/** Writes the text of a change, to which an event was added. */
export function writeLine(line, events, name = "") {
  const text = textOf(events);
  const shown = name && text.startsWith(`${name} `) ? text.slice(name.length + 1) : text;
  setText(line.querySelector(".what"), printable(shown, 600));
  line.dataset.ids = events.map((event) => event.id).join(" ");
}
