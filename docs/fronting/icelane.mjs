// Lets a WebRTC server of your own be reached through an Icelane relay.
//
// Copy this file into your project: it needs nothing but Node 18 or newer. What a server must do is
// to use a ufrag that `newUfrag` has minted, and to answer with `answer`. A server that has its UDP
// socket in its own hands can read announcements and say goodbye, too. docs/fronting.md is about
// all of it; vectors.json holds this file, icelane.go and relay.wire together.
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { isIPv4 } from "node:net";

const KEY_SIZE = 16, TAG_SIZE = 8, MASTER_SIZE = 32, UNIT = 64;
const SLOTS = 7; // three bits name a slot of keys; 7 says that there is no route
const MAX_LIFETIME = 20 * 24 * 3600; // half of what 16 bits of units can tell, less a margin
export const ROUTE_SIZE = 21;
const ROUTE_SIGNED = ROUTE_SIZE - TAG_SIZE;
const ANNOUNCEMENT = { size: 97, first: 0x0c, signed: 97 - TAG_SIZE };

/** What is wrong: `reason` is "format", "key" or "tag" of what came from outside, else "argument". */
export class IcelaneError extends Error {
  constructor(reason, message) {
    super(message);
    this.name = "IcelaneError";
    this.reason = reason;
  }
}

const wrong = (message) => new IcelaneError("argument", message);

/** A key file: the master keys that `icelane keys new` makes, or what was derived for one cluster. */
export class Keys {
  #cluster;
  #keys = new Map();

  /** Reads the text of a key file. */
  constructor(text) {
    const values = readToml(text);
    this.signing = number(values.get("signing"), SLOTS, "a key file has `signing = SLOT`, from 0 to 6");
    if (values.has("cluster")) this.#cluster = number(values.get("cluster"), 1 << 16, "the cluster goes up to 65535");
    const size = this.#cluster === undefined ? MASTER_SIZE : KEY_SIZE;
    for (const [name, value] of values) {
      const [table, slot, ...purpose] = name.split(".");
      if (table !== "keys") continue;
      number(slot, SLOTS, `${name} in a key file: slots are 0 to 6`);
      const whole = purpose.length === (size === KEY_SIZE ? 1 : 0);
      if (!whole || !/^([0-9a-f]{2})*$/i.test(value) || value.length !== 2 * size)
        throw wrong(`${name} in a key file: neither a master key of 32 bytes nor a key of one cluster of 16`);
      this.#keys.set([slot, ...purpose].join("."), Buffer.from(value, "hex"));
    }
    const signs = this.#keys.has(`${this.signing}`) || this.#keys.has(`${this.signing}.route`);
    if (!signs) throw wrong(`the slot that signs, ${this.signing}, holds no key`);
  }

  /** Derives by HKDF-Expand (RFC 5869, section 2.3) with one block; undefined where there is none. */
  key(purpose, cluster, slot) {
    if (this.#cluster !== undefined) return this.#cluster === cluster ? this.#keys.get(`${slot}.${purpose}`) : undefined;
    const master = this.#keys.get(`${slot}`);
    const info = Buffer.from([cluster >> 8, cluster & 255, slot, 1]);
    return master && createHmac("sha256", master).update(`icelane ${purpose}`).update(info).digest().subarray(0, KEY_SIZE);
  }
}

/** Takes the little of TOML that key files are written in: tables of texts and numbers. */
function readToml(text) {
  const values = new Map();
  let table = "";
  for (const [index, whole] of text.split("\n").entries()) {
    const line = whole.split("#")[0].trim();
    const [, head] = /^\[(.*)\]$/.exec(line) ?? [];
    const [, name, value] = /^([^=]*?)\s*=\s*"?(.*?)"?$/.exec(line) ?? [];
    if (head !== undefined) table = `${head}.`;
    else if (name && !values.has(table + name)) values.set(table + name, value);
    else if (line) throw wrong(`line ${index + 1} is none of a key file`);
  }
  return values;
}

function number(text, limit, message) {
  if (!/^(0|[1-9][0-9]{0,8})$/.test(text ?? "") || Number(text) >= limit) throw wrong(message);
  return Number(text);
}

/**
 * Mints a ufrag that opens new flows for some seconds, such as four hours. Each session needs one
 * of its own, and so does each ICE restart.
 * @param target {cluster, slot, generation}, as the relay's registry has it.
 */
export const newUfrag = (target, keys, lifetime) => mint(target, keys, Date.now() / 1000, lifetime, randomBytes(4));

/** Makes a ufrag of the time, in Unix seconds, and the 4 random bytes that it is given. */
export function mint({ cluster, slot, generation }, keys, now, lifetime, nonce) {
  const fits = (value, bits) => Number.isInteger(value) && value >= 0 && value < 2 ** bits;
  if (!fits(cluster, 16) || !fits(slot, 24) || !fits(generation, 8))
    throw wrong("a cluster has 16 bits, a slot 24, a generation 8");
  if (!(lifetime > 0 && lifetime <= MAX_LIFETIME)) throw wrong("a route lives for more than 0 and at most 20 days");
  if (nonce.length !== 4) throw wrong("a nonce has 4 bytes");
  const key = keys.key("route", cluster, keys.signing);
  if (!key) throw wrong(`the key file has no keys of cluster ${cluster}`);
  const signed = Buffer.alloc(ROUTE_SIGNED);
  signed[0] = keys.signing << 3;
  signed.writeUInt16BE(cluster, 1);
  signed.writeUIntBE(slot, 3, 3);
  signed[6] = generation;
  // One unit more, so that rounding never shortens the lifetime.
  signed.writeUInt16BE((Math.floor((now + lifetime) / UNIT) + 1) % 65536, 7);
  signed.set(nonce, 9);
  return Buffer.concat([signed, tag(key, signed)]).toString("base64");
}

/**
 * Reads a ufrag and verifies its tag. Whether it has expired is for the caller to look at.
 * @returns {cluster, slot, generation, keySlot, nonce, expires, expired}: `expires` is in Unix seconds,
 * of the moments that its 16 bits can mean the one nearest to `now`. A relay gives five minutes more.
 */
export function open(ufrag, keys, now = Date.now() / 1000) {
  if (!/^[A-Za-z0-9+/]{28}$/.test(ufrag)) throw new IcelaneError("format", "a route has 28 characters of the ICE alphabet");
  return readRoute(Buffer.from(ufrag, "base64"), keys, now);
}

function readRoute(raw, keys, now) {
  if (raw[0] >> 6) throw new IcelaneError("format", `route version ${raw[0] >> 6} is unknown`);
  const cluster = raw.readUInt16BE(1), keySlot = (raw[0] >> 3) & 7;
  check(keys.key("route", cluster, keySlot), raw, ROUTE_SIGNED);
  const units = Math.floor(now / UNIT);
  const distance = ((raw.readUInt16BE(7) - units + 32768) & 65535) - 32768;
  return {
    cluster, slot: raw.readUIntBE(3, 3), generation: raw[6], keySlot,
    nonce: raw.subarray(9, ROUTE_SIGNED).toString("hex"), expires: (units + distance) * UNIT, expired: distance < 0,
  };
}

/** Whether a datagram is meant as an announcement. */
export const isAnnouncement = (data) => data[0] === ANNOUNCEMENT.first;

/**
 * Reads and verifies an announcement: what a relay says of a new upstream address, before it sends
 * anything else from there. That it came from its upstream address is for the caller to check: only
 * then is it one.
 * @returns {client, vip, upstream, ufrag, time, transport, epoch}: addresses as "IP:PORT", the time in
 * Unix seconds by the relay's clock, how often a relay has taken the client over, from 1 on.
 */
export function announcement(data, keys) {
  const microseconds = data.length === ANNOUNCEMENT.size ? data.readBigUInt64BE(2) : 0n;
  if (data.length !== ANNOUNCEMENT.size || !isAnnouncement(data) || (data[1] & ~1) !== 1 << 4 || microseconds >= 1n << 53n)
    throw new IcelaneError("format", "not an announcement");
  const route = data.subarray(68, ANNOUNCEMENT.signed);
  const { cluster, keySlot } = readRoute(route, keys, 0);
  check(keys.key("announcement", cluster, keySlot), data, ANNOUNCEMENT.signed);
  return {
    client: unpack(data, 10), vip: unpack(data, 28), upstream: unpack(data, 46),
    ufrag: route.toString("base64"), time: Number(microseconds) / 1e6,
    transport: data[1] & 1 ? "tcp" : "udp", epoch: data.readUInt32BE(64),
  };
}

/**
 * Makes the datagram that tells a relay that a call has ended, so that its flow may go. It is sent to
 * the upstream address, from where media are.
 * @param said What the relay has announced.
 */
export function goodbye({ ufrag, client, upstream }, keys) {
  const route = Buffer.from(ufrag, "base64");
  const signed = Buffer.concat([Buffer.from([0x0d, (1 << 4) | keys.signing]), route, pack(client), pack(upstream)]);
  const key = keys.key("announcement", route.readUInt16BE(1), keys.signing);
  if (!key) throw new IcelaneError("key", "signed with a key that is not here");
  return Buffer.concat([signed, tag(key, signed)]);
}

/** The 18 bytes of "IP:PORT": the address, IPv4 as IPv4-mapped IPv6, and the port. */
function pack(endpoint) {
  const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(endpoint);
  const packed = Buffer.alloc(18);
  packed.writeUInt16BE(Number(port), 16);
  if (isIPv4(host)) {
    packed.fill(255, 10, 12);
    packed.set(host.split(".").map(Number), 12);
    return packed;
  }
  const halves = host.split("::").map((half) => half.split(":").filter(Boolean).map((group) => parseInt(group, 16)));
  halves[0].forEach((group, index) => packed.writeUInt16BE(group, 2 * index));
  halves[1]?.forEach((group, index) => packed.writeUInt16BE(group, 16 - 2 * (halves[1].length - index)));
  return packed;
}

function unpack(data, at) {
  const port = data.readUInt16BE(at + 16), host = data.subarray(at, at + 16);
  if (host.subarray(0, 12).toString("hex") === "00000000000000000000ffff") return `${host.subarray(12).join(".")}:${port}`;
  const groups = Array.from({ length: 8 }, (_, index) => host.readUInt16BE(2 * index).toString(16));
  // RFC 5952, section 4.2: the first of the longest runs of two zeros and more is left out.
  const runs = [...groups.join(":").matchAll(/\b0(:0)+\b/g)].sort((a, b) => b[0].length - a[0].length);
  const whole = groups.join(":");
  const text = runs.length ? `${whole.slice(0, runs[0].index).replace(/:$/, "")}::${whole.slice(runs[0].index + runs[0][0].length).replace(/^:/, "")}` : whole;
  return `[${text}]:${port}`;
}

/**
 * Makes an SDP answer lead to the relay: its only candidates are the relay's addresses as clients see
 * them, each as "IP:PORT". They stand in each section: of a bundle, clients look into one or another.
 */
export function answer(sdp, ...vips) {
  const candidates = vips.map((vip, index) => {
    const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(vip);
    const priority = 126 * 2 ** 24 + (65535 - index) * 256 + 255; // RFC 8445, section 5.1.2.1
    return `a=candidate:${index + 1} 1 udp ${priority} ${host} ${port} typ host`;
  });
  const [head, ...sections] = withoutCandidates(sdp).join("\r\n").split(/\r\n(?=m=)/);
  const lines = [head];
  for (const section of sections) {
    lines.push(section);
    if (!/^m=\S+ 0 /.test(section)) lines.push(...candidates, "a=end-of-candidates");
  }
  return lines.join("\r\n") + "\r\n";
}

/**
 * Takes the client's candidates out of an SDP offer: a server that is no ICE-lite one would otherwise
 * check them itself, and might reach the client around the relay.
 */
export const offer = (sdp) => withoutCandidates(sdp).join("\r\n") + "\r\n";

const withoutCandidates = (sdp) =>
  sdp.trim().split(/\r?\n/).filter((line) => !line.startsWith("a=candidate:") && line !== "a=end-of-candidates");

/** Holds the tag at the end of data against what is before it. */
function check(key, data, signed) {
  if (!key) throw new IcelaneError("key", "signed with a key that is not here");
  if (!timingSafeEqual(tag(key, data.subarray(0, signed)), data.subarray(signed)))
    throw new IcelaneError("tag", "the tag does not verify");
}

/** SipHash-2-4 (Aumasson and Bernstein, 2012), 8 bytes, little-endian. */
function tag(key, data) {
  const add = (a, b) => BigInt.asUintN(64, a + b), turn = (a, n) => BigInt.asUintN(64, a << n) | (a >> (64n - n));
  const [k0, k1] = [key.readBigUInt64LE(0), key.readBigUInt64LE(8)];
  let v0 = k0 ^ 0x736f6d6570736575n, v1 = k1 ^ 0x646f72616e646f6dn;
  let v2 = k0 ^ 0x6c7967656e657261n, v3 = k1 ^ 0x7465646279746573n;
  const rounds = (count) => {
    for (; count > 0; count--) {
      v0 = add(v0, v1); v1 = turn(v1, 13n) ^ v0; v0 = turn(v0, 32n);
      v2 = add(v2, v3); v3 = turn(v3, 16n) ^ v2;
      v0 = add(v0, v3); v3 = turn(v3, 21n) ^ v0;
      v2 = add(v2, v1); v1 = turn(v1, 17n) ^ v2; v2 = turn(v2, 32n);
    }
  };
  const padded = Buffer.alloc((data.length & ~7) + 8);
  padded.set(data);
  padded[padded.length - 1] = data.length & 255;
  for (let at = 0; at < padded.length; at += 8) {
    const m = padded.readBigUInt64LE(at);
    v3 ^= m; rounds(2); v0 ^= m;
  }
  v2 ^= 255n; rounds(4);
  const digest = Buffer.alloc(TAG_SIZE);
  digest.writeBigUInt64LE(v0 ^ v1 ^ v2 ^ v3);
  return digest;
}
