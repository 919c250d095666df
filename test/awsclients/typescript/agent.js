// An agent on AWS's SDK for TypeScript that streams, and works on in the background.
import { BedrockAgentCoreApp } from "bedrock-agentcore/runtime";
import { setTimeout } from "node:timers/promises";
import { z } from "zod";

const app = new BedrockAgentCoreApp({
  invocationHandler: {
    requestSchema: z.object({ words: z.array(z.string()) }),
    process: async function* ({ words }, context) {
      work();
      for (const word of words) {
        yield { event: "message", data: { word, session: context.sessionId } };
        await setTimeout(500);
      }
    },
  },
});
const work = app.asyncTask(async () => setTimeout(3000));

app.run({ port: Number(process.argv[2]) });
