// Calls a runtime with AWS's client for JavaScript, once for each line of payload, and prints the answers, a line each.
import { createInterface } from "node:readline";
import { BedrockAgentCoreClient, InvokeAgentRuntimeCommand } from "@aws-sdk/client-bedrock-agentcore";

const [agentRuntimeArn, runtimeSessionId] = process.argv.slice(2);
const client = new BedrockAgentCoreClient();

for await (const line of createInterface({ input: process.stdin })) {
  const payload = new TextEncoder().encode(line);
  const answer = await client.send(
    new InvokeAgentRuntimeCommand({ agentRuntimeArn, runtimeSessionId, payload, accept: "text/event-stream" }),
  );
  console.log((await answer.response.transformToString()).replaceAll("\n", " "));
}
