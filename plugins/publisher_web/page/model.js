// The interfaces of all nodes as last known, from the rows that were loaded and the events after them.
//
// One entry an interface, with a part for each family. A row is replaced by what is newer than it; an event is news
// when its node had none as new before. Nothing here touches the page.

import { isOfContainers } from "./containers.js";
import { printable, stateOf, typeText } from "./text.js";

const HOUR = 3_600_000;
// Both families of an interface tell of one change of its link within so many milliseconds.
const TOGETHER = 50;

/** Compares two places in a node's events, each with epoch and seq; epochs sort by age. */
export function compare(one, other) {
  if (one.epoch !== other.epoch) return one.epoch < other.epoch ? -1 : 1;
  return one.seq - other.seq;
}

export class Model {
  nodes = new Map();
  entries = new Map();
  fleet = false;
  version = "";
  #changed = new Set();
  #snapshots = new Map();
  /** Of each node the newest event that was handled. A node's own seq may be ahead of what was received. */
  #handled = new Map();

  /** Makes the answer of /api/rows all that is known. */
  load(answer) {
    this.fleet = Boolean(answer.fleet);
    this.version = answer.version ?? "";
    this.nodes = new Map(answer.nodes.map((node) => [node.node, { ...node }]));
    this.#handled = new Map(answer.nodes.map(({ node, epoch, seq }) => [node, { epoch, seq }]));
    for (const key of this.entries.keys()) this.#changed.add(key);
    this.entries.clear();
    this.#snapshots.clear();
    for (const row of answer.rows) this.#put(row, row.interface.last_change);
    this.setFlaps(answer.flaps);
  }

  /** Takes the flaps of the last hour from an answer of /api/rows. */
  setFlaps(flaps) {
    for (const entry of this.entries.values()) {
      const told = flaps?.[entry.node]?.[entry.luid] ?? [];
      entry.flaps = told.map(([time, count]) => ({ moment: toMoment(time), count, isTold: true }));
      this.#changed.add(entry.key);
    }
  }

  /** Takes a node's state from a message of the stream. */
  putNode(node) {
    this.nodes.set(node.node, { ...this.nodes.get(node.node), ...node });
    for (const entry of this.entries.values()) if (entry.node === node.node) this.#changed.add(entry.key);
  }

  /**
   * Applies an event. Returns whether it is news, whether it begins a snapshot that makes up for events that were not
   * received, and the interfaces that a snapshot found to be removed.
   */
  apply(event) {
    if (event.snapshot) {
      const missed = event.snapshot.position === 0 && this.#isAhead(event);
      return { news: false, missed, removed: this.#applySnapshot(event) };
    }
    const news = this.#handle(event);
    if (event.notification_type === "delete_instance") this.#remove(event);
    else this.#put(event, event.time);
    if (news) this.#countFlaps(event);
    return { news, missed: false, removed: [] };
  }

  /** Takes from an event before the rows were loaded that its interface changed then. */
  noteChange(event) {
    const entry = this.entries.get(keyOf(event.node, event.luid));
    const part = entry?.families[event.family];
    if (!part || toMoment(event.time) <= part.changed) return;
    part.changed = toMoment(event.time);
    this.#refresh(entry);
  }

  /** Returns the keys of the entries that changed since the last call. */
  takeChanged() {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  /** Returns how often the link went down within the last hour. */
  flapsOf(entry, now) {
    return entry.flaps.reduce((sum, { moment, count }) => sum + (moment > now - HOUR ? count : 0), 0);
  }

  /** Returns the entries of these LUIDs on the same node. */
  others(entry, luids) {
    return luids.map((luid) => this.entries.get(keyOf(entry.node, luid))).filter(Boolean);
  }

  /** Notes an event as handled; returns whether it is newer than all of its node before. */
  #handle({ node, epoch, seq }) {
    if (this.#handled.get(node)?.epoch && !this.#isAhead({ node, epoch, seq })) return false;
    this.#handled.set(node, { epoch, seq });
    if (!this.nodes.has(node)) this.nodes.set(node, { node, online: true, in_sync: true });
    return true;
  }

  /** Returns whether an event is newer than those of its node that were handled, if there are any. */
  #isAhead(event) {
    const last = this.#handled.get(event.node);
    return Boolean(last?.epoch) && compare(event, last) > 0;
  }

  #applySnapshot(event) {
    const { id, position, count } = event.snapshot;
    if (position === 0) this.#snapshots.set(event.node, { id, keys: new Set() });
    else this.#put(event, event.interface.last_change);
    const snapshot = this.#snapshots.get(event.node);
    if (snapshot?.id !== id) return [];
    if (position) snapshot.keys.add(partKey(event));
    if (position < count) return [];
    this.#snapshots.delete(event.node);
    this.#handle(event);
    return this.#keepOnly(event, snapshot.keys);
  }

  /** Removes the rows of a node that its snapshot has not; returns the entries that were removed whole. */
  #keepOnly(last, keys) {
    const removed = [];
    for (const entry of this.entries.values()) {
      if (entry.node !== last.node) continue;
      for (const [family, part] of Object.entries(entry.families)) {
        const place = { node: entry.node, luid: entry.luid, family };
        if (!keys.has(partKey(place)) && compare(part, last) <= 0) this.#remove({ ...place, ...part });
      }
      if (!this.entries.has(entry.key)) removed.push(entry);
    }
    return removed;
  }

  #put(state, changed) {
    const key = keyOf(state.node, state.luid);
    const entry = this.entries.get(key) ?? { key, node: state.node, luid: state.luid, families: {}, flaps: [] };
    const before = entry.families[state.family];
    if (before && compare(state, before) < 0) return;
    entry.families[state.family] = partOf(state, toMoment(changed) || before?.changed || 0);
    entry.face = faceOf(state.interface);
    this.entries.set(key, entry);
    this.#refresh(entry);
  }

  #remove(place) {
    const entry = this.entries.get(keyOf(place.node, place.luid));
    const part = entry?.families[place.family];
    if (!part || compare(place, part) < 0) return;
    delete entry.families[place.family];
    if (Object.keys(entry.families).length === 0) this.entries.delete(entry.key);
    this.#refresh(entry);
  }

  /** Derives what is shown, searched and sorted by. */
  #refresh(entry) {
    const parts = Object.values(entry.families);
    const { face } = entry;
    entry.connected = parts.find((part) => part.connected !== undefined)?.connected;
    entry.state = stateOf(face, entry.connected);
    entry.name = printable(face.alias);
    entry.type = typeText(face);
    entry.changed = Math.max(0, ...parts.map((part) => part.changed));
    entry.addresses = parts.flatMap((part) => part.addresses).sort(byScope);
    entry.routes = parts.flatMap((part) => part.routes).sort((one, other) => one.metric - other.metric);
    entry.words = [
      ...[entry.name, entry.node, entry.state.word, entry.type, face.description, face.physical_address, entry.luid],
      ...entry.addresses.map((address) => address.address), ...entry.routes.map((route) => route.next_hop),
    ].join(" ").toLowerCase();
    entry.isOfContainers = isOfContainers(entry, (bridge) => this.others(bridge, bridge.face.lower));
    this.#changed.add(entry.key);
    // A bridge is a container's by its ports.
    for (const other of this.others(entry, face.higher)) {
      const own = isOfContainers(other, (bridge) => this.others(bridge, bridge.face.lower));
      if (own !== other.isOfContainers) this.#changed.add(other.key);
      other.isOfContainers = own;
    }
  }

  #countFlaps(event) {
    const entry = this.entries.get(keyOf(event.node, event.luid));
    // The same change of the link is an event in each family: one of them counts.
    if (!entry || (event.family === "inet6" && entry.families.inet)) return;
    const count = downsIn(event);
    if (!count) return;
    const moment = toMoment(event.time);
    // The answer of /api/rows can have the flaps of events that the stream brings later.
    const told = entry.flaps.find((flap) => flap.isTold && Math.abs(flap.moment - moment) < TOGETHER);
    if (told) told.isTold = false;
    else entry.flaps = [...entry.flaps.filter((flap) => flap.moment > moment - HOUR), { moment, count, isTold: false }];
  }
}

/** Returns how often a link went down in one event: more than once if nobody listened meanwhile. */
export function downsIn(event) {
  const missed = event.changed?.["interface.carrier_transitions"];
  if (missed && missed.before !== null && missed.after !== null) {
    const last = event.changed["row.connected"]?.after === false ? 1 : 0;
    return Math.max(0, Math.floor((missed.after - missed.before + last) / 2));
  }
  return event.kinds.includes("link_down") ? 1 : 0;
}

/** Returns a time of the JSON, text or seconds since 1970, in milliseconds; 0 where there is none. */
export function toMoment(time) {
  if (typeof time === "number") return time * 1000;
  return (time && Date.parse(time)) || 0;
}

/** Returns the key of an interface. */
export const keyOf = (node, luid) => `${node}/${luid}`;
const partKey = ({ node, luid, family }) => `${node}/${luid}/${family}`;

/** Returns what is kept of a row in one family: a row has 30 members more. */
function partOf({ epoch, seq, row, addresses = [], default_routes: routes = [] }, changed) {
  const { connected, nl_mtu: mtu, metric, forwarding_enabled: forwarding, interface_index: index } = row;
  return {
    epoch, seq, changed, connected, mtu, metric, forwarding, index,
    addresses: addresses.map((each) => picked(each, ["address", "prefix_length", "scope", "dad_state"])),
    routes: routes.map((each) => picked(each, ["next_hop", "metric"])),
  };
}

const FACE = [
  "alias", "description", "type", "kind", "physical_address", "mtu", "admin_status", "oper_status", "link_netnsid",
  "transmit_link_speed", "receive_link_speed", "last_link_speed", "last_change",
];

function faceOf(told) {
  return { ...picked(told, FACE), higher: told.higher ?? [], lower: told.lower ?? [] };
}

function picked(told, names) {
  return Object.fromEntries(names.filter((name) => name in told).map((name) => [name, told[name]]));
}

const SCOPES = ["global", "organization", "site", "subnet", "admin", "link", "interface"];
const byScope = (one, other) => SCOPES.indexOf(one.scope) - SCOPES.indexOf(other.scope);
