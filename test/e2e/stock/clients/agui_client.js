// Says each line to an agent with AG-UI's own client, and prints the answers, a line each.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { HttpAgent } from "@ag-ui/client";

const [arn, session] = process.argv.slice(2);
const token = readFileSync("/var/run/secrets/kubernetes.io/serviceaccount/token", "utf8");
const agent = new HttpAgent({
  url: `${process.env.GATEWAY}/runtimes/${encodeURIComponent(arn)}/invocations`,
  headers: { Authorization: `Bearer ${token}`, "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": session },
});

for await (const content of createInterface({ input: process.stdin })) {
  agent.addMessage({ id: crypto.randomUUID(), role: "user", content });
  const { newMessages } = await agent.runAgent();
  console.log(newMessages.map((message) => message.content).join(" "));
}
