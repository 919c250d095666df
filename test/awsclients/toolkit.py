"""Makes, calls, changes and deletes a runtime by the client of AWS's starter toolkit.

Usage: toolkit.py PORT IMAGE, with the endpoints and the credentials in the environment."""

import json
import sys
import time
import uuid

from bedrock_agentcore_starter_toolkit.services.runtime import BedrockAgentCoreClient
from botocore.exceptions import ClientError

port, image = sys.argv[1:]
client = BedrockAgentCoreClient("eu-west-1")
ROLE = "arn:aws:iam::123456789012:role/agent"
common = dict(deployment_type="container", protocol_config={"serverProtocol": "HTTP", "port": int(port)}, network_config={"networkMode": "PUBLIC"})


def answered(arn, session):
    # A client for each call: it adds a header with each once more, and signs all of them and sends one.
    told = BedrockAgentCoreClient("eu-west-1").invoke_endpoint(arn, "{}", session)["response"]
    return json.loads("".join(told))


made = client.create_or_update_agent(None, "from_toolkit", ROLE, image_uri=image + "1", env_vars={"A": "1"}, lifecycle_config={"idleRuntimeSessionTimeout": 600}, **common)
id, arn = made["id"], made["arn"]
assert client.wait_for_agent_endpoint_ready(id) == arn + "/runtime-endpoint/DEFAULT"
assert client.find_agent_by_name("from_toolkit")["agentRuntimeId"] == id
got = client.get_agent_runtime(id)
assert got["status"] == "READY" and got["environmentVariables"] == {"A": "1"}, got
session = str(uuid.uuid4())
first = answered(arn, session)

# A name that is taken: refused, or another version, as is asked.
try:
    client.create_agent("from_toolkit", ROLE, image_uri=image + "2", **common)
    raise AssertionError("it was made twice")
except ClientError as e:
    assert e.response["Error"]["Code"] == "ConflictException", e
again = client.create_agent("from_toolkit", ROLE, image_uri=image + "2", auto_update_on_conflict=True, **common)
assert again == made, again
client.wait_for_agent_endpoint_ready(id)
assert client.get_agent_runtime_endpoint(id)["liveVersion"] == "2"
assert client.create_or_update_agent(id, "from_toolkit", ROLE, image_uri=image + "3", **common) == made
client.wait_for_agent_endpoint_ready(id)
assert client.get_agent_runtime(id)["agentRuntimeArtifact"]["containerConfiguration"]["containerUri"] == image + "3"

same, other = answered(arn, session), answered(arn, str(uuid.uuid4()))
assert same["pod"] == first["pod"] and same["calls"] == first["calls"] + 1, same
assert other["pod"] != first["pod"], other
assert client.stop_runtime_session(arn, session)["statusCode"] == 200
try:
    client.delete_agent_runtime_endpoint(id)
    raise AssertionError("DEFAULT was deleted")
except ClientError as e:
    assert e.response["Error"]["Code"] == "ConflictException", e
client.client.delete_agent_runtime(agentRuntimeId=id)
end = time.monotonic() + 180
while client.find_agent_by_name("from_toolkit") is not None:  # it is listed until it is deleted, as on AgentCore
    assert time.monotonic() < end, "it is still listed"
    time.sleep(0.1)
