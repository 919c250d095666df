// Calls a gateway with AWS's client for JavaScript: reads invocations and writes
// outcomes, a line each.
const readline = require("node:readline");
const sdk = require("@aws-sdk/client-bedrock-agentcore");
const plane = require("@aws-sdk/client-bedrock-agentcore-control");

const [url, region, accessKeyId, secretAccessKey] = process.argv.slice(2);

const client = (secret, config) =>
  new sdk.BedrockAgentCoreClient({ endpoint: url, region, credentials: { accessKeyId, secretAccessKey: secret }, ...config });

const right = client(secretAccessKey);
const once = client(secretAccessKey, { maxAttempts: 1 });
const control = new plane.BedrockAgentCoreControlClient({ endpoint: url, region, credentials: { accessKeyId, secretAccessKey } });

// told writes down what an event says.
const told = ({ chunk }) => {
  const delta = chunk.contentDelta ?? {};
  const stop = chunk.contentStop;
  return (
    (chunk.contentStart ? "start;" : "") +
    ["stdout", "stderr"].map((name) => (delta[name] ? `${name} ${delta[name]};` : "")).join("") +
    (stop ? `stop ${stop.exitCode} ${stop.status};` : "")
  );
};

const stop = (aws, target) => aws.send(new sdk.StopRuntimeSessionCommand(target));

async function call(given) {
  if (given.op === "control") {
    return { answer: await control.send(new plane[given.operation + "Command"](given.members)) };
  }
  const aws = given.secret ? client(given.secret) : given.once ? once : right;
  const target = {
    agentRuntimeArn: given.runtime, runtimeSessionId: given.session, qualifier: given.qualifier,
  };
  if (given.op === "stop") {
    const answer = await stop(aws, { ...target, clientToken: given.token });
    return { code: answer.statusCode, session: answer.runtimeSessionId };
  }
  if (given.op === "command") {
    const answer = await aws.send(new sdk.InvokeAgentRuntimeCommandCommand({ ...target, body: { command: given.payload } }));
    let body = "";
    for await (const event of answer.stream) body += told(event);
    return { body };
  }
  const answer = await aws.send(
    new sdk.InvokeAgentRuntimeCommand({ ...target, accountId: given.account, payload: Buffer.from(given.payload ?? "") }),
  );
  const outcome = { code: answer.statusCode, session: answer.runtimeSessionId, contentType: answer.contentType };
  if (given.op === "invoke") return { ...outcome, body: await answer.response.transformToString() };
  // A stream: its first line, and all of it if it is stopped after that.
  let body = "";
  for await (const chunk of answer.response) {
    const first = body === "";
    body += chunk;
    if (given.op === "first") return { ...outcome, body: body.slice(0, body.indexOf("\n") + 1) };
    if (first) await stop(aws, target);
  }
  return { ...outcome, body };
}

const failed = (error) => ({
  // A typed exception, not the one for whatever is unknown.
  error: [sdk.BedrockAgentCoreServiceException, plane.BedrockAgentCoreControlServiceException].includes(error.constructor)
    ? "untyped " + error.name
    : error.name,
  message: error.message,
  reason: error.reason ?? "",
  fields: (error.fieldList ?? []).map((field) => field.name),
});

async function serve() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const given = JSON.parse(line);
    const all = await Promise.all(Array.from({ length: given.times || 1 }, () => call(given).catch(failed)));
    console.log(JSON.stringify(all.find((one) => one.error) ?? all[0]));
  }
}

serve();
