// Words for people: names made harmless, states, speeds, times. Nothing here touches the page.

const UNITS = [[1e12, "Tbit/s"], [1e9, "Gbit/s"], [1e6, "Mbit/s"], [1e3, "kbit/s"]];
// Other characters than these are shown as escapes: controls, marks of direction, joiners, separators, unassigned.
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}]|[^\S ]/gu;
const TYPES = {
  1: "other", 6: "Ethernet", 23: "PPP", 24: "loopback", 53: "virtual", 71: "Wi-Fi", 131: "tunnel", 144: "FireWire",
  161: "bond", 209: "bridge", 243: "mobile", 244: "mobile",
};
const KINDS = { wireguard: "WireGuard", vlan: "VLAN", vxlan: "VXLAN", tun: "tun/tap" };

/** Returns others' text without a character that hides, moves or reorders other text; at most `most` characters. */
export function printable(text, most = 64) {
  const whole = String(text);
  const characters = Array.from(whole.slice(0, 2 * most + 2));
  const cut = characters.length > most || whole.length > 2 * most + 2;
  const shown = cut ? characters.slice(0, most - 1).join("") : characters.join("");
  return shown.replace(HIDDEN, escaped) + (cut ? "…" : "");
}

const NAMED = { "\t": "\\t", "\n": "\\n", "\r": "\\r" };

function escaped(character) {
  if (character in NAMED) return NAMED[character];
  const code = character.codePointAt(0);
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
}

/** Returns a speed like "1 Gbit/s" or "866.7 Mbit/s". */
export function speedText(bitsPerSecond) {
  const [size, unit] = UNITS.find(([least]) => bitsPerSecond >= least) ?? [1, "bit/s"];
  return `${Number((bitsPerSecond / size).toPrecision(4))} ${unit}`;
}

/** Returns the state of an interface: a word, and the group that it is filtered and painted by. */
export function stateOf(face, connected) {
  if (face.admin_status === "down") return { word: "off", group: "off" };
  if (face.oper_status === "up") return { word: "up", group: "up" };
  if (face.oper_status === "unknown") {
    if (connected === undefined) return { word: "unknown", group: "off" };
    return connected ? { word: "up", group: "up" } : { word: "down", group: "down" };
  }
  const group = { dormant: "waiting", testing: "waiting", not_present: "off" }[face.oper_status] ?? "down";
  return { word: face.oper_status.replaceAll("_", " "), group };
}

/** Returns the type of an interface in a word. */
export function typeText(face) {
  if (face.kind) return KINDS[face.kind] ?? printable(face.kind, 16);
  return TYPES[face.type] ?? `type ${face.type}`;
}

/** Returns a time span: "7 s", "3 min 20 s", "2 h 5 min", "3 d 4 h". */
export function spanText(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  for (const [length, unit, part, of] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
    if (whole < length) continue;
    const rest = Math.floor((whole % length) / part);
    return rest ? `${Math.floor(whole / length)} ${unit} ${rest} ${of}` : `${Math.floor(whole / length)} ${unit}`;
  }
}

/** Returns a past moment as seen now, both in milliseconds: "just now", "35 s ago", "3 min ago". */
export function agoText(moment, now) {
  const seconds = Math.floor((now - moment) / 1000);
  if (seconds < 5) return "just now";
  for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit} ago`;
  }
  return `${seconds - (seconds % 5)} s ago`;
}

const two = (number) => String(number).padStart(2, "0");

/** Returns the local time of day of a moment in milliseconds. */
export function clockText(moment) {
  const time = new Date(moment);
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
}

/** Returns the local date and time of a moment in milliseconds; without the date when that is today's. */
export function dateText(moment, now) {
  const day = dayOf(moment);
  return now !== undefined && day === dayOf(now) ? clockText(moment) : `${day} ${clockText(moment)}`;
}

function dayOf(moment) {
  const time = new Date(moment);
  return [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
}

/** Returns "1 sink", "3 sinks". */
export function countText(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}
