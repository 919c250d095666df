// The agent of the README of AWS's SDK for TypeScript, without a model.
import { BedrockAgentCoreApp } from "bedrock-agentcore/runtime";
import { z } from "zod";

const app = new BedrockAgentCoreApp({
  invocationHandler: {
    requestSchema: z.object({ prompt: z.string() }),
    process: async function* (request) {
      for (const word of request.prompt.split(" ")) {
        yield { event: "message", data: { text: word } };
      }
    },
  },
});

app.run();
