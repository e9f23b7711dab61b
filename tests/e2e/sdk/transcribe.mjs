// transcribe.mjs URL KEY SOUND: has the official package for Node transcribe what is said, which
// names no model; prints the session's type and the first transcript.
import { readFileSync } from "node:fs";

import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const FRAME = 4_800; // bytes of 100 ms
const [baseURL, apiKey, sound] = process.argv.slice(2);
const connection = new OpenAIRealtimeWS({ intent: "transcription" }, new OpenAI({ apiKey, baseURL }));

connection.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
connection.on("session.created", ({ session }) => {
  console.log(session.type);
  const audio = { input: { transcription: { model: "gpt-4o-transcribe" } } };
  connection.send({ type: "session.update", session: { type: "transcription", audio } });
  const samples = readFileSync(sound);
  for (let at = 0; at < samples.length; at += FRAME) {
    const audio = samples.subarray(at, at + FRAME).toString("base64");
    connection.send({ type: "input_audio_buffer.append", audio });
  }
});
connection.on("conversation.item.input_audio_transcription.completed", ({ transcript }) => {
  console.log(transcript);
  process.exit(0);
});
