// node --test icelane.test.mjs
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { Keys, announcement, answer, goodbye, mint, newUfrag, offer, open } from "./icelane.mjs";

const vectors = JSON.parse(readFileSync(new URL("vectors.json", import.meta.url), "utf-8"));
const FILES = Object.fromEntries(Object.entries(vectors.key_files).map(([name, text]) => [name, new Keys(text)]));
const TARGET = { cluster: 0x0102, slot: 1, generation: 1 };
const fails = (reason) => (error) => error.name === "IcelaneError" && error.reason === reason;

for (const file of ["masters", "cluster"]) {
  const keys = FILES[file];

  test(`routes, ${file}`, () => {
    for (const each of vectors.routes) {
      const signing = each.key_file === "older" ? FILES.older : keys;
      assert.equal(mint(each, signing, each.now, each.lifetime, Buffer.from(each.nonce, "hex")), each.ufrag);
      const { cluster, slot, generation, nonce, key_slot: keySlot, expires, expired } = each;
      assert.deepEqual(open(each.ufrag, keys, each.looked_at), { cluster, slot, generation, nonce, keySlot, expires, expired });
    }
  });

  test(`what is refused, ${file}`, () => {
    for (const { ufrag, reason } of vectors.refused) assert.throws(() => open(ufrag, keys), fails(reason), ufrag);
    for (const { data, reason } of vectors.announcements_refused)
      assert.throws(() => announcement(Buffer.from(data, "hex"), keys), fails(reason), data);
  });

  test(`announcements and goodbyes, ${file}`, () => {
    for (const [index, { data, ...said }] of vectors.announcements.entries()) {
      assert.deepEqual(announcement(Buffer.from(data, "hex"), keys), said);
      assert.equal(goodbye(said, keys).toString("hex"), vectors.goodbyes[index].data);
    }
  });
}

test("a ufrag of now", () => {
  const [one, other] = [newUfrag(TARGET, FILES.cluster, 3600), newUfrag(TARGET, FILES.cluster, 3600)];
  assert.notEqual(one, other);
  const { cluster, slot, generation, expires, expired } = open(one, FILES.masters);
  assert.deepEqual({ cluster, slot, generation }, TARGET);
  assert.equal(expired, false);
  assert.ok(Math.abs(expires - Date.now() / 1000 - 3600) <= 64);
});

test("what cannot be minted", () => {
  for (const [target, lifetime] of [
    [{ ...TARGET, slot: 1 << 24 }, 3600], [{ ...TARGET, cluster: 0x0103 }, 3600],
    [{ ...TARGET, generation: undefined }, 3600], [TARGET, 0], [TARGET, 21 * 24 * 3600],
  ])
    assert.throws(() => newUfrag(target, FILES.cluster, lifetime), fails("argument"));
  assert.throws(() => mint(TARGET, FILES.masters, 0, 60, Buffer.alloc(3)), fails("argument"));
});

test("key files that cannot be used", () => {
  const key = `0 = "${Buffer.alloc(32).toString("hex")}"\n`;
  for (const text of [
    "", "signing = 0\n", `signing = 7\n[keys]\n${key}`, `signing = 1\n[keys]\n${key}`, `signing = 0\n[keys]\n${key}${key}`,
    'signing = 0\n[keys]\n0 = "00"\n', 'signing = 0\n[keys]\n0 = "xy"\n', `signing = 0\ncluster = 1\n[keys]\n${key}`,
    `signing = 0\nwhat\n[keys]\n${key}`, `signing = 0\n[keys]\n0${key}`,
  ])
    assert.throws(() => new Keys(text), fails("argument"), text);
  new Keys(`signing = 0\n[keys]\n${key}`);
});

test("descriptions", () => {
  for (const each of vectors.answers) {
    assert.equal(answer(each.sdp, ...each.vips), each.answer);
    assert.equal(offer(each.sdp), each.offer);
  }
});
