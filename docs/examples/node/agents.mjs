// @openai/agents-realtime in Node, over WebSocket: `npm ci`, then
//
//   OPENAI_BASE_URL=http://127.0.0.1:8080/v1 node agents.mjs "what is the weather in Paris?"
//
// The answer is spoken: its sound comes as PCM16 at 24 kHz, to be played or sent on.
import { OpenAIRealtimeWebSocket, RealtimeSession } from "@openai/agents-realtime";

import { guide } from "./guide.mjs";

const base = process.env.OPENAI_BASE_URL ?? "http://127.0.0.1:8080/v1";
const transport = new OpenAIRealtimeWebSocket({
  url: `${base.replace("http", "ws")}/realtime?model=agent`,
});
const session = new RealtimeSession(guide, { transport });

let samples = 0;
session.on("audio", ({ data }) => (samples += data.byteLength / 2));
session.on("agent_tool_end", (_context, _agent, { name }, result) => console.log(`${name}: ${result}`));
session.on("agent_end", (_context, _agent, text) => {
  if (!text) return; // it has called the tool, and goes on
  console.log(`agent: ${text}`);
  console.log(`sound: ${(samples / 24_000).toFixed(1)} s`);
  session.close();
});
session.on("error", ({ error }) => {
  console.error(error?.message ?? error);
  process.exit(1);
});

await session.connect({ apiKey: process.env.OPENAI_API_KEY ?? "none" });
session.sendMessage(process.argv.slice(2).join(" ") || "what is the weather in Paris?");
