/**
 * The rules of `Follower` against a model of a publisher and a broker that lose messages, connections and themselves.
 *
 * Each row has a version, and each change says which version it replaces: so a change that is lost, comes twice or is
 * in the wrong order is noticed where it is handed over. By seed: `SEEDS=1000 node --test model.test.mjs`.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Follower, Rows } from "../../docs/examples/subscribe.mjs";

const SEEDS = Number(process.env.SEEDS ?? 100);
const BASE = "interfaces";

/** A generator of random numbers with a seed (mulberry32). */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

class World {
  constructor(seed, { loss = 0.02, cut = loss, answers = true } = {}) {
    Object.assign(this, { chance: random(seed), loss, cut, answers });
    Object.assign(this, {
      clock: 0,
      retained: new Map(),
      rows: new Map(),
      journal: [],
      seq: 0,
      version: 0,
      published: 0,
    });
    Object.assign(this, { epochs: 1, isUp: true, isLinked: false, wire: [], quiet: 0, waiting: 0, room: Infinity });
    Object.assign(this, { keys: new Set(), newest: 0, onTheWay: [] });
    this.follower = new Follower({ client: "me", now: () => this.clock, hasRoom: () => this.waiting < this.room });
    this.seen = new Rows();
    this.started = false;
    this.partial = null;
  }

  get epoch() {
    return String(this.epochs).padStart(16, "0");
  }

  pick(list) {
    return list[Math.floor(this.chance() * list.length)];
  }

  // The publisher.

  change() {
    const luid = `000600800${Math.floor(this.chance() * 6)}000000`;
    const family = this.pick(["inet", "inet6"]);
    const key = `${luid}/${family}`;
    const before = this.rows.get(key);
    const removed = before && this.chance() < 0.3;
    const type = removed ? "delete_instance" : before ? "parameter_notification" : "add_instance";
    const row = { version: removed ? before.version : ++this.version };
    if (removed) this.rows.delete(key);
    else this.rows.set(key, row);
    this.seq += 1;
    const event = { ...this.fact(luid, family, row), id: `${this.epoch}-${this.seq}`, notification_type: type };
    this.journal.push({ ...event, replaces: before?.version ?? null, snapshot: null });
  }

  fact(luid, family, row) {
    const [node, epoch, seq] = ["nas", this.epoch, this.seq];
    return {
      node,
      epoch,
      seq,
      time: "2026-11-22T20:04:12Z",
      luid,
      family,
      row,
      interface: {},
      addresses: [],
      default_routes: [],
    };
  }

  publish() {
    const batch = this.journal.slice(this.published);
    if (!batch.length) return;
    const news = batch.filter((event) => event.seq > this.newest);
    const newest = new Map(news.map((event) => [`${event.luid}/${event.family}`, event]));
    for (const [key, event] of newest) this.keys[event.notification_type === "delete_instance" ? "delete" : "add"](key);
    for (const [key, event] of newest) this.state(key, event.notification_type === "delete_instance" ? null : event);
    for (const event of batch) this.send(`nas/${event.luid}/${event.family}/event`, JSON.stringify(event), false);
    this.published = this.journal.length;
    this.newest = this.seq;
    this.quiet = 1000;
  }

  state(key, event) {
    const { epoch, seq, time, row } = event ?? {};
    this.send(`nas/${key}/state`, event ? JSON.stringify({ epoch, seq, time, row, interface: {} }) : "", true);
  }

  announce() {
    this.send("nas/status", "online", true);
    this.send(
      "nas/info",
      JSON.stringify({ epoch: this.epoch, seq: this.newest, rows: this.keys.size, skips: false }),
      true,
    );
  }

  /** The states are those of the journal, and so may be newer than the events that were published. */
  everything() {
    Object.assign(this, { newest: this.seq, keys: new Set(this.rows.keys()) });
    for (const [key, row] of this.rows) this.state(key, this.fact(...key.split("/"), row));
    for (const topic of [...this.retained.keys()]) {
      const [, luid, family, kind] = topic.split("/");
      if (kind === "state" && !this.rows.has(`${luid}/${family}`)) this.state(`${luid}/${family}`, null);
    }
    this.announce();
  }

  renew() {
    this.epochs += 1;
    Object.assign(this, { seq: 0, journal: [], published: 0, newest: 0 });
  }

  answer(request) {
    if (!this.isUp || !this.answers) return;
    const { since } = request;
    const isKnown = since && since.epoch === this.epoch && this.chance() < 0.9;
    const events = isKnown
      ? this.journal.filter((event) => event.seq > since.seq)
      : [...this.rows].map(([key, row], at) => {
          const event = this.fact(...key.split("/"), row);
          const snapshot = { id: "s", position: at + 1, count: this.rows.size };
          return { ...event, notification_type: "initial_notification", snapshot };
        });
    const count = events.length;
    const head = { position: 0, count, answer: isKnown ? "events" : "snapshot", epoch: this.epoch, seq: this.seq };
    this.send("nas/replay/me", JSON.stringify(head), false);
    events.forEach((event, at) =>
      this.send("nas/replay/me", JSON.stringify({ position: at + 1, count, event }), false),
    );
  }

  /** Sends the last events again, as after a lost acknowledgement. */
  repeat() {
    this.published = Math.max(0, this.published - Math.floor(this.chance() * 4));
  }

  // The broker.

  send(topic, payload, retain) {
    this.onTheWay.push([topic, payload, retain]);
  }

  flow(most = Infinity) {
    for (const message of this.onTheWay.splice(0, most)) this.passOn(...message);
  }

  passOn(topic, payload, retain) {
    if (retain && payload !== "") this.retained.set(topic, payload);
    else if (retain) this.retained.delete(topic);
    // Not what shows that a publisher answers: nobody can tell one that does not from a broker that loses that.
    if (this.isLinked && (payload.includes('"answer"') || this.chance() >= this.loss))
      this.wire.push([topic, payload, false]);
  }

  link() {
    Object.assign(this, { isLinked: true, wire: [] });
    this.follower.begin();
    for (const [topic, payload] of this.retained) if (this.chance() >= this.cut) this.wire.push([topic, payload, true]);
  }

  unlink() {
    Object.assign(this, { isLinked: false, wire: [] });
  }

  // The subscriber.

  receive(most = Infinity) {
    for (const [topic, payload, retain] of this.wire.splice(0, most)) {
      this.handOver(this.follower.take(`${BASE}/${topic}`, payload, retain));
    }
    for (const { payload } of this.follower.requests.splice(0)) {
      if (this.isLinked) this.answer(JSON.parse(payload));
    }
  }

  handOver(events) {
    assert.ok(!events.length || this.waiting < this.room, "there was no room");
    for (const event of events) {
      this.waiting += 1;
      if (event.snapshot) {
        if (event.snapshot.position === 0) this.partial = 0;
        else this.partial += 1;
        assert.equal(event.snapshot.position, this.partial, "a snapshot is whole and in order");
        this.started = true;
      } else {
        const row = this.seen.get(`nas/${event.luid}/${event.family}`);
        assert.ok(this.started, "a change came before the snapshot");
        assert.equal(event.replaces, row?.row.version ?? null, "a change is lost, came twice, or in the wrong order");
      }
      this.seen.apply(event);
    }
  }

  pass(milliseconds) {
    this.clock += milliseconds;
    this.quiet -= milliseconds;
    if (this.isUp && this.quiet <= 0 && this.quiet > -milliseconds) this.announce();
    if (this.isLinked) this.handOver(this.follower.tick());
  }

  step() {
    const actions = {
      change: 12,
      publish: 8,
      flow: 12,
      receive: 10,
      part: 6,
      pass: 8,
      cut: 1,
      brokerLost: 0.5,
      down: 0.7,
      up: 2,
      renew: 0.3,
      slow: 1,
      take: 2,
    };
    let at = this.chance() * Object.values(actions).reduce((sum, each) => sum + each);
    const action = Object.keys(actions).find((name) => (at -= actions[name]) < 0);
    if (action === "change") this.change();
    else if (action === "publish" && this.isUp) this.publish();
    else if (action === "flow") this.flow(1 + Math.floor(this.chance() * 8));
    else if (action === "receive") this.receive();
    else if (action === "part") this.receive(3);
    else if (action === "pass") this.pass(this.chance() * 3000);
    else if (action === "cut") this.isLinked && this.chance() < 0.5 ? this.unlink() : this.link();
    else if (action === "brokerLost") {
      this.unlink();
      this.retained.clear();
      this.onTheWay = [];
      this.repeat();
      this.link();
      if (this.isUp) this.everything();
    } else if (action === "down" && this.isUp) {
      this.isUp = false;
      // What was on the way is lost with it, and is sent again.
      const lost = this.onTheWay.splice(Math.floor(this.chance() * this.onTheWay.length));
      const events = lost.filter(([topic]) => topic.endsWith("/event")).map(([, payload]) => JSON.parse(payload).seq);
      if (events.length) this.published = Math.min(this.published, Math.min(...events) - 1);
      this.repeat();
      this.send("nas/status", "offline", true);
      this.flow();
    } else if (action === "up" && !this.isUp) {
      this.isUp = true;
      this.everything();
    } else if (action === "renew" && !this.isUp) this.renew();
    else if (action === "slow") this.room = this.waiting + 3;
    else if (action === "take") Object.assign(this, { waiting: 0, room: this.chance() < 0.5 ? 3 : Infinity });
  }

  /** Ends all faults, mostly with nothing new that would show what is missing. */
  settle() {
    Object.assign(this, { loss: 0, cut: 0 });
    Object.assign(this, { waiting: 0, room: Infinity });
    if (!this.isLinked) this.link();
    if (!this.isUp) {
      this.isUp = true;
      this.everything();
    }
    this.publish();
    if (this.chance() < 0.3) {
      this.change();
      this.publish();
    }
    for (let round = 0; round < 80; round += 1) {
      this.flow();
      this.receive();
      this.pass(700);
    }
  }
}

function expected(world) {
  return Object.fromEntries([...world.rows].map(([key, row]) => [`nas/${key}`, row.version]).sort());
}

function actual(world) {
  return Object.fromEntries([...world.seen].map(([key, event]) => [key, event.row.version]).sort());
}

for (const [name, options] of Object.entries({
  "with a reliable broker": { loss: 0 },
  "with a broker that loses messages": { loss: 0.05 },
  "with a broker that cuts retained messages short": { loss: 0, cut: 0.2 },
  "with a publisher that does not answer": { loss: 0, answers: false },
})) {
  test(`nothing is lost and nothing comes twice ${name}`, () => {
    for (let seed = 0; seed < SEEDS; seed += 1) {
      const world = new World(seed, options);
      try {
        for (let step = 0; step < 400; step += 1) world.step();
        world.settle();
        assert.deepEqual(actual(world), expected(world));
        if (options.answers !== false) assert.equal(world.follower.requests.length, 0);
      } catch (error) {
        error.message += ` (seed ${seed}: ${JSON.stringify(options)})`;
        throw error;
      }
    }
  });
}

const EPOCH = "01926f6e8c7e4b3f";
const LUID = "0006008001000000";

/** A follower in sync with one row, at event 7, and what it gives for more messages. */
function inSync(options = {}) {
  let clock = 0;
  const follower = new Follower({ client: "me", now: () => clock, ...options });
  const info = (more) => JSON.stringify({ epoch: EPOCH, seq: 7, rows: 1, ...more });
  const take = (topic, payload, isRetained = false) =>
    follower.take(`${BASE}/nas/${topic}`, typeof payload === "string" ? payload : JSON.stringify(payload), isRetained);
  take("status", "online", true);
  take("info", info({ skips: options.skips }), true);
  const state = { epoch: EPOCH, seq: 5, time: "2026-11-22T20:04:12Z", row: {}, interface: {} };
  const snapshot = take(`${LUID}/inet/state`, state, true);
  const event = (seq, more) => ({ ...state, node: "nas", luid: LUID, family: "inet", seq, snapshot: null, ...more });
  const change = (seq, more) => event(seq, { notification_type: "parameter_notification", ...more });
  const pass = (milliseconds) => {
    clock += milliseconds;
    return follower.tick();
  };
  return { follower, take, snapshot, change, pass, send: (one) => take(`${LUID}/inet/event`, one) };
}

test("the rows are there as soon as there are as many states as info counts", () => {
  const { snapshot, follower } = inSync();
  assert.deepEqual(
    snapshot.map(({ luid, seq, snapshot: place }) => [luid, seq, place.position, place.count]),
    [
      [null, 7, 0, 1],
      [LUID, 5, 1, 1],
    ],
  );
  assert.equal(follower.requests.length, 0);
});

test("a CloudEvent is taken for its data", () => {
  const { change, send } = inSync();
  assert.deepEqual(send({ specversion: "1.0", id: "x", data: change(8) }), [change(8)]);
});

test("with a filter a hole is no loss, and a newer info is one", () => {
  const { change, send, take, pass, follower } = inSync({ skips: true });
  assert.deepEqual(send(change(12)), [change(12)]);
  take("info", { epoch: EPOCH, seq: 15, rows: 1, skips: true });
  assert.deepEqual([...pass(2000), ...follower.requests.map(({ payload }) => JSON.parse(payload).since.seq)], [12]);
  take("replay/me", { position: 0, count: 0, answer: "events", epoch: EPOCH, seq: 12 });
  pass(2000);
  assert.equal(follower.requests.length, 1);
});

test("an epoch that was made up lasts until the node answers", () => {
  const { change, send, take, follower } = inSync();
  send(change(1, { epoch: "ffffffffffffffff" }));
  assert.equal(follower.requests.splice(0).length, 1);
  take("replay/me", { position: 0, count: 1, answer: "snapshot", epoch: EPOCH, seq: 8 });
  const row = change(8, { notification_type: "initial_notification", snapshot: { id: "s", position: 1, count: 1 } });
  assert.equal(take("replay/me", { position: 1, count: 1, event: row }).length, 2);
  assert.deepEqual(send(change(9)), [change(9)]);
});

test("an info that was made up hides no rows", () => {
  let clock = 0;
  const follower = new Follower({ client: "me", now: () => clock });
  follower.begin();
  follower.take("interfaces/nas/status", "online", true);
  const info = JSON.stringify({ epoch: "f".repeat(16), seq: 5, rows: 0 });
  assert.deepEqual(follower.take("interfaces/nas/info", info, true), []);
  clock = 2000;
  assert.deepEqual([...follower.tick(), follower.requests.length], [1]);
});

test("a node that is forgotten has no rows", () => {
  const { take, follower } = inSync();
  const [start] = take("info", "", true);
  assert.deepEqual([start.node, start.snapshot.position, start.snapshot.count], ["nas", 0, 0]);
  assert.equal(follower.nodes.size, 0);
});

test("what cannot be read is dropped", () => {
  const { send, take, change } = inSync();
  for (const junk of ["", "{", "null", "7", '{"seq":8}', "[]"]) {
    assert.deepEqual(send(junk), []);
    assert.deepEqual(take("info", junk || "7"), []);
    assert.deepEqual(take("replay/me", junk), []);
    assert.deepEqual(take(`${LUID}/inet/state`, junk || "7"), []);
  }
  assert.deepEqual(send(change(8, { luid: "0006008002000000" })), []);
  assert.deepEqual(send(change(8)), [change(8)]);
});
