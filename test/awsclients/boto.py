"""Calls a gateway with boto3: reads invocations and writes outcomes, a line each."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

url, region, key, secret = sys.argv[1:]


def client(secret, service="bedrock-agentcore", **config):
    return boto3.client(
        service, endpoint_url=url, region_name=region,
        aws_access_key_id=key, aws_secret_access_key=secret, config=Config(**config),
    )


right, once = client(secret), client(secret, retries={"total_max_attempts": 1})
control = client(secret, "bedrock-agentcore-control")


def told(chunk):
    """Writes down what an event says."""
    delta, stop = chunk.get("contentDelta", {}), chunk.get("contentStop")
    return (
        ("start;" if "contentStart" in chunk else "")
        + "".join(f"{name} {delta[name]};" for name in ("stdout", "stderr") if name in delta)
        + (f"stop {stop['exitCode']} {stop['status']};" if stop else "")
    )


def call(given):
    if given["op"] == "control":
        return {"answer": getattr(control, xform_name(given["operation"]))(**given.get("members", {}))}
    sdk = client(given["secret"]) if given.get("secret") else once if given.get("once") else right
    names = {"runtime": "agentRuntimeArn", "session": "runtimeSessionId", "qualifier": "qualifier",
             "account": "accountId", "token": "clientToken"}
    arguments = {names[name]: given[name] for name in names if given.get(name)}
    if given["op"] == "stop":
        answer = sdk.stop_runtime_session(**arguments)
        return {"code": answer["statusCode"], "session": answer.get("runtimeSessionId", "")}
    if given["op"] == "command":
        answer = sdk.invoke_agent_runtime_command(body={"command": given["payload"]}, **arguments)
        return {"body": "".join(told(event["chunk"]) for event in answer["stream"])}
    answer = sdk.invoke_agent_runtime(payload=given.get("payload", "").encode(), **arguments)
    body = answer["response"]
    outcome = {"code": answer["statusCode"], "session": answer.get("runtimeSessionId", ""), "contentType": answer["contentType"]}
    if given["op"] == "invoke":
        return outcome | {"body": body.read().decode()}
    # A stream: its first line, and all of it if it is stopped after that.
    first = next(body.iter_lines(chunk_size=1)).decode() + "\n"
    if given["op"] == "stopped":
        sdk.stop_runtime_session(**arguments)
        first += body.read().decode()
    return outcome | {"body": first}


def outcome_of(given):
    try:
        return call(given)
    except ClientError as e:
        error = e.response["Error"]
        return {
            # A typed exception, not the one for whatever is unknown.
            "error": ("untyped " if type(e) is ClientError else "") + error["Code"],
            "message": error["Message"], "reason": e.response.get("reason", ""),
            "fields": [field["name"] for field in e.response.get("fieldList") or []],
        }
    except BotoCoreError as e:
        return {"error": type(e).__name__, "message": str(e)}


for line in sys.stdin:
    given = json.loads(line)
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(outcome_of, [given] * (given.get("times") or 1)))
    print(json.dumps(next((one for one in outcomes if one.get("error")), outcomes[0]), default=str), flush=True)  # times
