"""Calls a gateway with boto3: reads invocations and writes outcomes, a line each."""

import json
import sys

import boto3
from botocore.exceptions import ClientError, ParamValidationError

url, region, key, secret = sys.argv[1:]


def client(secret):
    return boto3.client(
        "bedrock-agentcore", endpoint_url=url, region_name=region,
        aws_access_key_id=key, aws_secret_access_key=secret,
    )


right = client(secret)


def told(chunk):
    """Writes down what an event says."""
    delta, stop = chunk.get("contentDelta", {}), chunk.get("contentStop")
    return (
        ("start;" if "contentStart" in chunk else "")
        + "".join(f"{name} {delta[name]};" for name in ("stdout", "stderr") if name in delta)
        + (f"stop {stop['exitCode']} {stop['status']};" if stop else "")
    )


def call(given):
    sdk = client(given["secret"]) if given.get("secret") else right
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
    return {
        "code": answer["statusCode"], "session": answer.get("runtimeSessionId", ""), "contentType": answer["contentType"],
        "body": next(body.iter_lines(chunk_size=1)).decode() + "\n" if given["op"] == "first" else body.read().decode(),
    }


for line in sys.stdin:
    try:
        outcome = call(json.loads(line))
    except ClientError as e:
        error = e.response["Error"]
        outcome = {
            "error": error["Code"], "message": error["Message"], "reason": e.response.get("reason", ""),
            "fields": [field["name"] for field in e.response.get("fieldList") or []],
        }
        # A typed exception, not the one for whatever is unknown.
        if type(e) is ClientError:
            outcome["error"] = "untyped " + outcome["error"]
    except ParamValidationError as e:
        outcome = {"error": "ParamValidationError", "message": str(e)}
    print(json.dumps(outcome), flush=True)
