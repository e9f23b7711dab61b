// node.mjs PACKAGE URL KEY SOUND: takes a package through all scenarios, over WebSocket, and prints
// what came of it as JSON. SOUND is mono PCM16 at 24 kHz.
import { readFileSync } from "node:fs";

import { OpenAIRealtimeWebSocket } from "@openai/agents-realtime";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

import { AgentsClient } from "./agents.mjs";
import { OpenAIClient } from "./openai.mjs";
import { all } from "./scenarios.mjs";

const FRAME = 4_800; // bytes of 100 ms

/** Sends the recorded speech in real time, over and over. */
class Feed {
  constructor(speech) {
    this.speech = speech;
    this.received = 0;
  }

  heard(bytes) {
    this.received += bytes;
  }

  sound() {
    return this.received;
  }

  speak(on, session) {
    clearInterval(this.timer);
    if (!on) return;
    const started = Date.now();
    let sent = 0;
    this.timer = setInterval(() => {
      while (sent * 100 < Date.now() - started) {
        const at = (sent * FRAME) % this.speech.length;
        session.sendAudio(new Uint8Array(this.speech.subarray(at, at + FRAME)).buffer);
        sent += 1;
      }
    }, 20);
  }
}

function overAgents(url, apiKey, feed) {
  const transport = new OpenAIRealtimeWebSocket({
    url: `${url.replace("http", "ws")}/realtime?model=agent`,
  });
  return new AgentsClient(transport, apiKey, feed);
}

function overOpenAI(url, apiKey, feed) {
  const connection = new OpenAIRealtimeWS({ model: "agent" }, new OpenAI({ apiKey, baseURL: url }));
  const opened = new Promise((resolve) => connection.socket.on("open", resolve));
  const client = new OpenAIClient(connection, () => opened, feed);
  connection.on("event", (event) => client.take(event));
  connection.on("error", (error) => client.errors.push(error.message));
  return client;
}

const [name, url, key, sound] = process.argv.slice(2);
const make = { agents: overAgents, openai: overOpenAI }[name];
const seen = await all(make(url, key, new Feed(readFileSync(sound))));
process.stdout.write(JSON.stringify(seen), () => process.exit(0));
