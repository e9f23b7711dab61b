// The interface of the clients that run in Node; see tests/lab/clients/__init__.py.
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

export const CHANNELS = ["oai-events", "echo"];
const FRAME_MS = 20;
const FRAME_TICKS = 960; // of the RTP clock, 48 kHz (RFC 7587)
const HEADER_BYTES = 12;
const MAX_PAYLOADS = 150; // kept for `stats`: the last 3 s

export function emit(event, content = {}) {
  const at = performance.timeOrigin + performance.now();
  process.stdout.write(JSON.stringify({ event, at, ...content }) + "\n");
}

// Calls `obey` for each command, in order, and `close` in the end.
export async function serve(obey, close) {
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    if (command.command === "hangup") break;
    try {
      await obey(command);
    } catch (error) {
      emit("error", { text: String(error) });
    }
  }
  await close();
  process.stdout.write(JSON.stringify({ event: "closed", at: Date.now() }) + "\n", () => process.exit(0));
}

// Sends RTP packets at their pace: `send` gets each whole.
export function speak(file, payloadType, ssrc, send) {
  const frames = readFileSync(file, "ascii").trim().split("\n").map((line) => Buffer.from(line, "base64"));
  let number = 0, sequence = randomInt(1 << 15), timestamp = randomInt(1 << 30);
  const start = performance.now();
  const timer = setInterval(() => {
    while (start + number * FRAME_MS <= performance.now()) {
      const frame = frames[number % frames.length];
      const packet = Buffer.alloc(HEADER_BYTES + frame.length);
      packet[0] = 0x80; // version 2
      packet[1] = payloadType | (number === 0 ? 0x80 : 0); // marker: speech begins
      packet.writeUInt16BE(sequence++ & 0xffff, 2);
      packet.writeUInt32BE((timestamp + number * FRAME_TICKS) >>> 0, 4);
      packet.writeUInt32BE(ssrc, 8);
      frame.copy(packet, HEADER_BYTES);
      number++;
      send(packet);
    }
  }, FRAME_MS / 2);
  return () => clearInterval(timer);
}

// Keeps what was heard.
export class Ear {
  packets = 0;
  #payloads = [];

  hear(payload) {
    this.packets++;
    this.#payloads.push(Buffer.from(payload).toString("base64"));
    if (this.#payloads.length > MAX_PAYLOADS) this.#payloads.shift();
  }

  tell() {
    emit("stats", { packets: this.packets, payloads: this.#payloads.splice(0) });
  }
}

export function rtpPayload(packet) {
  const extended = packet[0] & 0x10;
  let start = HEADER_BYTES + (packet[0] & 0x0f) * 4;
  if (extended) start += 4 + packet.readUInt16BE(start + 2) * 4;
  const padding = packet[0] & 0x20 ? packet[packet.length - 1] : 0;
  return packet.subarray(start, packet.length - padding);
}
