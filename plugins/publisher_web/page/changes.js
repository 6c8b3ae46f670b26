// Events in lines: those of one change, which is an event in each family, are one line.

import { make, setText } from "./dom.js";
import { agoText, clockText, dateText, printable } from "./text.js";

const FAMILY = /\bIPv[46] /g;
const GOOD = ["link_up", "added"];
const BAD = ["link_down", "removed"];

/** Returns whether two events are one change, seen in both families of an interface. */
export function isSameChange(one, other) {
  if (one.node !== other.node || one.luid !== other.luid || one.family === other.family || !one.luid) return false;
  if (one.epoch !== other.epoch || one.cause !== other.cause) return false;
  if (one.notification_type !== other.notification_type || Math.abs(one.seq - other.seq) > 20) return false;
  if (one.notification_type !== "parameter_notification") return true;
  return Object.keys(one.changed).some((name) => JSON.stringify(one.changed[name]) === JSON.stringify(other.changed[name]));
}

/** Returns a line for these events of one change: without the family where both say the same. */
export function textOf(events) {
  const [one, other] = events.map((event) => event.text);
  if (other === undefined || one === other) return one;
  const [first, second] = [one, other].map((text) => text.replace(FAMILY, ""));
  return first === second ? first : `${one}; ${other.slice(sharedName(one, other))}`;
}

/** Returns the length of the name with which both texts begin. */
function sharedName(one, other) {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at += 1;
  return other.lastIndexOf(" ", at) + 1;
}

/** Returns what is kept of an event for its line. */
export function lineOf({ id, node, luid, family, epoch, seq, time, cause, kinds, notification_type, changed, row, text }) {
  const line = { id, node, luid, family, epoch, seq, cause, kinds, notification_type, changed, text };
  return { ...line, moment: Date.parse(time), connected: row?.connected };
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
