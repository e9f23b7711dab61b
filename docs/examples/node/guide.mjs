// An agent with a tool, for agents.mjs and agents.html.
import { RealtimeAgent, tool } from "@openai/agents-realtime";

const weather = tool({
  name: "get_weather",
  description: "The weather in a city",
  strict: false, // a plain JSON schema; with zod it may be strict
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
    additionalProperties: true,
  },
  execute: async ({ city }) => `In ${city} it is sunny, with 18 degrees.`,
});

export const guide = new RealtimeAgent({
  name: "Guide",
  instructions: "Be brief.",
  tools: [weather],
});
