// A question by text to a Realtime server, with the official package: `npm ci`, then
//
//   OPENAI_BASE_URL=https://127.0.0.1:8443/v1 node text.mjs "what time is it?"
//
// The package speaks TLS only. NODE_EXTRA_CA_CERTS names the certificate of `icelane up --tls-self-signed`.
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const client = new OpenAI({ apiKey: process.env.OPENAI_API_KEY ?? "none" });
const connection = new OpenAIRealtimeWS({ model: "agent" }, client);

connection.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
connection.on("session.created", () => {
  connection.send({ type: "session.update", session: { type: "realtime", output_modalities: ["text"] } });
  const content = [{ type: "input_text", text: process.argv.slice(2).join(" ") || "what time is it?" }];
  connection.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
  connection.send({ type: "response.create" });
});
connection.on("response.output_text.delta", (event) => process.stdout.write(event.delta));
connection.on("response.done", () => {
  process.stdout.write("\n");
  connection.close();
});
