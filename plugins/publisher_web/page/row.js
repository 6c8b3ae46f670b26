// One row of the table: an interface with both families. Only what differs is written.

import { byId, pieces, setText, setTitle } from "./dom.js";
import { agoText, dateText, printable, speedText } from "./text.js";

export class Row {
  #texts = {};
  #changed;

  constructor(key) {
    this.tr = byId("row").content.firstElementChild.cloneNode(true);
    this.tr.dataset.key = key;
    const [node, name, state, speed, addresses, routes, changed, flaps] = this.tr.children;
    Object.assign(this, { node, name, state, speed, addresses, routes, changed, flaps, button: name.firstChild });
  }

  /** Shows the entry, with its node's state and the server's time in milliseconds. */
  write(entry, node, now) {
    const { face, state } = entry;
    const lost = node?.online === false;
    this.tr.dataset.state = state.group;
    this.tr.toggleAttribute("data-stale", lost);
    setText(this.node.firstChild, printable(entry.node));
    setTitle(this.node, lost ? "its publisher is offline" : "");
    setText(this.button.firstChild, entry.name);
    setTitle(this.button, entry.name.length > 14 ? printable(face.alias, 400) : "");
    setText(this.name.lastChild, entry.type);
    setText(this.state.lastChild, lost ? `${state.word}?` : state.word);
    setTitle(this.state, `${face.oper_status.replaceAll("_", " ")}; asked for: ${face.admin_status}`);
    this.#writeSpeed(face, state);
    this.#writeList("addresses", addressesOf(entry), 3);
    this.#writeList("routes", entry.routes.map(routeText), 2);
    this.writeTimes(entry, now);
  }

  /** Shows what depends on the time. */
  writeTimes({ changed, flapsShown }, now) {
    setText(this.flaps, flapsShown ? String(flapsShown) : "");
    const time = this.changed.firstChild;
    setText(time, changed ? agoText(changed, now) : "");
    if (this.#changed === changed) return;
    this.#changed = changed;
    setTitle(time, changed ? dateText(changed) : "");
    if (changed) time.dateTime = new Date(changed).toISOString();
  }

  #writeSpeed(face, state) {
    const sent = state.group === "up" ? face.transmit_link_speed : undefined;
    setText(this.speed, sent ? speedText(sent) : "");
    const other = sent && face.receive_link_speed && face.receive_link_speed !== sent;
    setTitle(this.speed, other ? `received: ${speedText(face.receive_link_speed)}` : "");
  }

  #writeList(name, texts, most) {
    const shown = texts.length > most + 1 ? [...texts.slice(0, most), `+${texts.length - most}`] : texts;
    const whole = shown.join("\n");
    if (this.#texts[name] === whole) return;
    this.#texts[name] = whole;
    this[name].replaceChildren(...pieces(shown));
    // The rest, and what is too long for its column.
    setTitle(this[name], shown === texts && whole.length < 16 ? "" : texts.slice(0, 50).join("\n"));
  }
}

/** Returns an interface's addresses in words; one that has none and one family only shows that. */
function addressesOf({ addresses, families }) {
  if (addresses.length) return addresses.map(addressText);
  if (families.inet && families.inet6) return [];
  return [families.inet ? "IPv4 only" : "IPv6 only"];
}

/** Returns an address with its prefix length, and its state unless that is the usual one. */
export function addressText({ address, prefix_length: length, dad_state: state }) {
  return printable(`${address}/${length}${state === "preferred" ? "" : ` (${state})`}`);
}

/** Returns the way of a default route. */
export function routeText({ next_hop: hop }) {
  return hop === undefined ? "on-link" : printable(hop);
}
