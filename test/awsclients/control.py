"""Makes, changes and deletes runtimes by boto3, and looks at what is said of their members.

Usage: control.py URL TRYING REGION KEY SECRET PORT KUBECTLS, where KUBECTLS is the ARN of a runtime
that kubectl has made, and TRYING the URL of a gateway that has versions be tried. The agents listen on PORT."""

import json
import sys
import time
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

url, trying, region, key, secret, port, kubectls = sys.argv[1:]
where = dict(endpoint_url=url, region_name=region, aws_access_key_id=key, aws_secret_access_key=secret,
             config=Config(retries={"total_max_attempts": 1}, read_timeout=300))
control, data = boto3.client("bedrock-agentcore-control", **where), boto3.client("bedrock-agentcore", **where)
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/echo:"
ROLE = "arn:aws:iam::123456789012:role/agent"


def refused(kind, operation, says="", **given):
    try:
        operation(**given)
    except ClientError as e:
        assert e.response["Error"]["Code"] == kind, e
        assert says in e.response["Error"]["Message"], e
        return
    raise AssertionError(f"{operation.__name__} of {given} is not refused: {kind}")


def until(what, see):
    for _ in range(1200):
        if see():
            return
        time.sleep(0.1)
    raise AssertionError("it did not become so: " + what)


def ready(id):
    def see():
        got = control.get_agent_runtime(agentRuntimeId=id)
        assert not got["status"].endswith("_FAILED"), got
        return got["status"] == "READY"
    until(f"{id} is READY", see)
    return control.get_agent_runtime(agentRuntimeId=id)


def endpoint_ready(id, name):
    until(f"the endpoint {name} is READY", lambda: control.get_agent_runtime_endpoint(agentRuntimeId=id, endpointName=name)["status"] == "READY")


def call(arn, **to):
    """What the agent tells."""
    told = {}

    def answers():
        try:
            told.update(json.loads(data.invoke_agent_runtime(agentRuntimeArn=arn, payload=b"{}", runtimeSessionId=str(uuid.uuid4()), **to)["response"].read()))
        except ClientError as e:
            assert e.response["Error"]["Code"] in ("ResourceNotFoundException", "RetryableConflictException"), e
            return False  # the gateway's cache is behind
        return True
    until(f"{arn} {to} answers", answers)
    return told


def artifact(tag):
    return {"containerConfiguration": {"containerUri": IMAGE + tag}}


NAME = "Echo_agent"
SPOKEN = {"serverProtocol": "HTTP", "port": int(port)}

# Create.
token = str(uuid.uuid4())
asked = dict(agentRuntimeName=NAME, agentRuntimeArtifact=artifact("1"), roleArn=ROLE, description="It echoes.",
             networkConfiguration={"networkMode": "PUBLIC"}, protocolConfiguration=SPOKEN, environmentVariables={"A": "1$(B)", "B": "$$"},
             lifecycleConfiguration={"idleRuntimeSessionTimeout": 600}, requestHeaderConfiguration={"requestHeaderAllowlist": ["X-Mine"]},
             tags={"team": "a"}, clientToken=token)
made = control.create_agent_runtime(**asked)
id, arn = made["agentRuntimeId"], made["agentRuntimeArn"]
assert made["agentRuntimeVersion"] == "1" and id.startswith(NAME + "-") and arn.endswith(":runtime/" + id), made
again = control.create_agent_runtime(**asked)
assert again["agentRuntimeId"] == id and again["agentRuntimeVersion"] == "1", again
refused("ConflictException", control.create_agent_runtime, NAME, **(asked | {"clientToken": str(uuid.uuid4())}))

got = ready(id)
for name in ("agentRuntimeName", "agentRuntimeArtifact", "roleArn", "description", "networkConfiguration", "protocolConfiguration",
             "environmentVariables", "requestHeaderConfiguration"):
    assert got[name] == asked[name], f"{name}: {got[name]!r}"
assert got["lifecycleConfiguration"] == {"idleRuntimeSessionTimeout": 600, "maxLifetime": 28800}, got
assert not set(got) & {"failureReason", "authorizerConfiguration", "platformVersion", "metadataConfiguration", "resourceConfigurations", "filesystemConfigurations"}, got
first = call(arn)
assert control.get_agent_runtime_endpoint(agentRuntimeId=id, endpointName="DEFAULT")["liveVersion"] == "1"

# What is not given is not there.
bare = control.create_agent_runtime(agentRuntimeName="bare", agentRuntimeArtifact=artifact("1"), roleArn=ROLE)["agentRuntimeId"]
shown = set(ready(bare)) - {"ResponseMetadata"}
assert shown == {"agentRuntimeArn", "agentRuntimeId", "agentRuntimeName", "agentRuntimeVersion", "createdAt", "lastUpdatedAt", "status", "roleArn",
                 "agentRuntimeArtifact", "lifecycleConfiguration", "workloadIdentityDetails"}, shown

# Storage of sessions, which an update that does not give it takes away.
keeping = dict(agentRuntimeArtifact=artifact("1"), roleArn=ROLE, protocolConfiguration=SPOKEN, filesystemConfigurations=[{"sessionStorage": {"mountPath": "/mnt/data"}}])
keeper = control.create_agent_runtime(agentRuntimeName="keeper", **keeping)["agentRuntimeId"]
assert ready(keeper)["filesystemConfigurations"] == keeping["filesystemConfigurations"]
call(arn.replace(id, keeper))
keeping["filesystemConfigurations"] = [{"sessionStorage": {"mountPath": "/mnt/other"}}]
control.update_agent_runtime(agentRuntimeId=keeper, **keeping)
assert ready(keeper)["filesystemConfigurations"] == keeping.pop("filesystemConfigurations")
control.update_agent_runtime(agentRuntimeId=keeper, **keeping)
assert "filesystemConfigurations" not in ready(keeper)
control.delete_agent_runtime(agentRuntimeId=keeper)

# An authorizer.
authorizer = {"customJWTAuthorizer": {
    "discoveryUrl": "https://x/.well-known/oauth-authorization-server/tenant", "allowedScopes": ["read", "write"],
    "advertisedScopeMapping": {"read": "api://x/read"}, "customClaims": [
        {"inboundTokenClaimName": "team", "inboundTokenClaimValueType": "STRING",
         "authorizingClaimMatchValue": {"claimMatchOperator": "EQUALS", "claimMatchValue": {"matchValueString": "blue"}}},
        {"inboundTokenClaimName": "groups", "inboundTokenClaimValueType": "STRING_ARRAY",
         "authorizingClaimMatchValue": {"claimMatchOperator": "CONTAINS_ANY", "claimMatchValue": {"matchValueStringList": ["owners", "admins"]}}}]}}
ports = [{"port": 8081}, {"portRange": {"from": 9001, "to": 9100}}]
guarded = control.create_agent_runtime(agentRuntimeName="guarded", agentRuntimeArtifact=artifact("1"), roleArn=ROLE, authorizerConfiguration=authorizer, allowedPorts=ports)["agentRuntimeId"]
shown = ready(guarded)
assert shown["authorizerConfiguration"] == authorizer and shown["allowedPorts"] == ports, shown
control.delete_agent_runtime(agentRuntimeId=guarded)

# A version that is tried before it is ready, and one whose agent is not at its port.
strict = boto3.client("bedrock-agentcore-control", **(where | {"endpoint_url": trying}))
hook = {"build": {"warmup": {"action": {"httpPost": {"path": "/invocations", "port": int(port)}}}}}
made = strict.create_agent_runtime(agentRuntimeName="tried", agentRuntimeArtifact=artifact("1"), roleArn=ROLE, protocolConfiguration=SPOKEN, hooksConfiguration=hook)
assert made["status"] == "CREATING", made
trial = made["agentRuntimeId"]
assert ready(trial)["hooksConfiguration"] == hook
call(arn.replace(id, trial))
broken = dict(agentRuntimeId=trial, agentRuntimeArtifact=artifact("2"), roleArn=ROLE, protocolConfiguration={"serverProtocol": "HTTP", "port": 11999})
assert strict.update_agent_runtime(**broken)["status"] == "UPDATING"
refused("ConflictException", strict.update_agent_runtime, "UPDATING", **broken)
until("the update has failed", lambda: control.get_agent_runtime(agentRuntimeId=trial)["status"] == "UPDATE_FAILED")
got = control.get_agent_runtime(agentRuntimeId=trial)
assert got["agentRuntimeVersion"] == "2" and "was not healthy within" in got["failureReason"], got
default = control.get_agent_runtime_endpoint(agentRuntimeId=trial, endpointName="DEFAULT")
assert (default["liveVersion"], default["targetVersion"], default["status"]) == ("1", "2", "UPDATE_FAILED"), default
call(arn.replace(id, trial))
assert strict.update_agent_runtime(**(broken | {"protocolConfiguration": SPOKEN}))["status"] == "UPDATING"
ready(trial)
control.delete_agent_runtime(agentRuntimeId=trial)

# Update, which is version 2, with all that is not given gone.
update = dict(agentRuntimeId=id, agentRuntimeArtifact=artifact("2"), roleArn=ROLE, protocolConfiguration=SPOKEN, clientToken=str(uuid.uuid4()),
              platformVersion="V2", metadataConfiguration={"requireMMDSV2": True}, resourceConfigurations=[{"minimumMemoryInMiB": 512}])
assert control.update_agent_runtime(**update)["agentRuntimeVersion"] == "2"
got = ready(id)
assert got["agentRuntimeVersion"] == "2" and "description" not in got and "environmentVariables" not in got, got
assert (got["platformVersion"], got["metadataConfiguration"], got["resourceConfigurations"]) == ("V2", {"requireMMDSV2": True}, [{"minimumMemoryInMiB": 512}]), got
assert control.update_agent_runtime(**update)["agentRuntimeVersion"] == "2", "the same request is none"
refused("ValidationException", control.update_agent_runtime, "it came before, with other members", **(update | {"description": "late"}))
assert ready(id)["agentRuntimeVersion"] == "2" and "description" not in ready(id)
refused("AccessDeniedException", control.update_agent_runtime, "--allowed-images", **(update | {
    "clientToken": str(uuid.uuid4()), "agentRuntimeArtifact": {"containerConfiguration": {"containerUri": "elsewhere.example/echo:1"}}}))
old = control.get_agent_runtime(agentRuntimeId=id, agentRuntimeVersion="1")
assert old["agentRuntimeVersion"] == "1" and old["description"] == "It echoes." and old["agentRuntimeArtifact"] == artifact("1"), old
refused("ResourceNotFoundException", control.get_agent_runtime, agentRuntimeId=id, agentRuntimeVersion="77")

# An endpoint pins version 1. It makes no version.
pin = dict(agentRuntimeId=id, name="prod", agentRuntimeVersion="1", description="stays", tags={"stage": "p"}, clientToken=str(uuid.uuid4()))
endpoint = control.create_agent_runtime_endpoint(**pin)
assert endpoint["targetVersion"] == "1" and endpoint["endpointName"] == "prod", endpoint
endpoint_ready(id, "prod")
assert control.create_agent_runtime_endpoint(**pin)["agentRuntimeEndpointArn"] == endpoint["agentRuntimeEndpointArn"], "the same request is none"
refused("ConflictException", control.create_agent_runtime_endpoint, "prod", agentRuntimeId=id, name="prod")
refused("ConflictException", control.create_agent_runtime_endpoint, "DEFAULT", agentRuntimeId=id, name="DEFAULT")
refused("ResourceNotFoundException", control.create_agent_runtime_endpoint, "77", agentRuntimeId=id, name="none", agentRuntimeVersion="77")
call(arn, qualifier="prod")
assert ready(id)["agentRuntimeVersion"] == "2"
names = [version["agentRuntimeVersion"] for page in control.get_paginator("list_agent_runtime_versions").paginate(agentRuntimeId=id, PaginationConfig={"PageSize": 1}) for version in page["agentRuntimes"]]
assert names == ["2", "1"], names
assert [e["name"] for e in control.list_agent_runtime_endpoints(agentRuntimeId=id)["runtimeEndpoints"]] == ["DEFAULT", "prod"]
control.update_agent_runtime(**(update | {"clientToken": str(uuid.uuid4())}))
last = ready(id)["agentRuntimeVersion"]
assert int(last) > 2, "an update that changes nothing is a version"
moved = control.update_agent_runtime_endpoint(agentRuntimeId=id, endpointName="prod", agentRuntimeVersion=last)
assert moved["targetVersion"] == last, moved
endpoint_ready(id, "prod")
seen = control.get_agent_runtime_endpoint(agentRuntimeId=id, endpointName="prod")
assert seen["liveVersion"] == last and seen["description"] == "stays", seen
refused("ConflictException", control.update_agent_runtime_endpoint, "DEFAULT", agentRuntimeId=id, endpointName="DEFAULT", agentRuntimeVersion="1")
refused("ConflictException", control.delete_agent_runtime_endpoint, "DEFAULT", agentRuntimeId=id, endpointName="DEFAULT")

# Tags.
assert control.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "a"}
control.tag_resource(resourceArn=arn, tags={"team": "b", "more": ""})
control.untag_resource(resourceArn=arn, tagKeys=["more", "absent"])
assert control.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "b"}
assert control.list_tags_for_resource(resourceArn=seen["agentRuntimeEndpointArn"])["tags"] == {"stage": "p"}
control.tag_resource(resourceArn=seen["agentRuntimeEndpointArn"], tags={"x": "y"})
assert control.list_tags_for_resource(resourceArn=seen["agentRuntimeEndpointArn"])["tags"] == {"stage": "p", "x": "y"}
assert ready(id)["agentRuntimeVersion"] == last, "tags make no version"
refused("ValidationException", control.tag_resource, "aws:", resourceArn=arn, tags={"aws:mine": "x"})
refused("ResourceNotFoundException", control.list_tags_for_resource, resourceArn=arn + "/runtime-endpoint/none")
refused("ValidationException", control.put_resource_policy, "not enforced", resourceArn=arn, policy="{}")
refused("ResourceNotFoundException", control.get_resource_policy, resourceArn=arn)

control.delete_agent_runtime_endpoint(agentRuntimeId=id, endpointName="prod")
refused("ResourceNotFoundException", control.get_agent_runtime_endpoint, agentRuntimeId=id, endpointName="prod")

# What is refused, in words.
for member, value, says in [
    ("agentRuntimeName", "9x", "pattern"),
    ("roleArn", "me", "pattern"),
    ("environmentVariables", {"A=B": "x"}, "other than ="),
    ("environmentVariables", {f"A{i}": "" for i in range(51)}, "50"),
    ("filesystemConfigurations", [{"sessionStorage": {"mountPath": "/home/x"}}], "filesystemConfigurations[0].sessionStorage.mountPath"),
    ("filesystemConfigurations", [{"sessionStorage": {"mountPath": "/mnt/x"}}, {"sessionStorage": {"mountPath": "/mnt/y"}}], "at most 1"),
    ("filesystemConfigurations", [{"efsAccessPoint": {"accessPointArn": "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-12345678901234567", "mountPath": "/mnt/x"}}], "efsAccessPoint"),
    ("allowedPorts", [{"port": 8443}], "reserved"),
    ("hooksConfiguration", {"build": {"warmup": {"action": {"httpPost": {"path": "/x"}}}}}, "--validate-versions"),
    ("lifecycleConfiguration", {"idleRuntimeSessionTimeout": 99999}, "28800"),
    ("networkConfiguration", {"networkMode": "MOON"}, "MOON"),
    ("networkConfiguration", {"networkMode": "VPC", "networkModeConfig": {"securityGroups": ["sg-12345678"], "subnets": ["subnet-12345678"], "requireServiceS3Endpoint": True}}, "requireServiceS3Endpoint"),
    ("agentRuntimeArtifact", {"codeConfiguration": {"code": {"s3": {"bucket": "abc", "prefix": "x"}}, "runtime": "PYTHON_3_13", "entryPoint": ["x"]}}, "images"),
    ("authorizerConfiguration", {"customJWTAuthorizer": {"discoveryUrl": "https://x/.well-known/openid-configuration", "customClaims": [
        {"inboundTokenClaimName": "a", "inboundTokenClaimValueType": "STRING", "authorizingClaimMatchValue": {"claimMatchOperator": "CONTAINS", "claimMatchValue": {"matchValueString": "x"}}}]}}, "claimMatchOperator"),
    ("authorizerConfiguration", {"customJWTAuthorizer": {"discoveryUrl": "https://x/.well-known/openid-configuration", "allowedClients": ["a"], "allowedWorkloadConfiguration": {
        "workloadIdentities": ["abc"]}}}, "allowedWorkloadConfiguration"),
]:
    refused("ValidationException", control.create_agent_runtime, says, **(dict(agentRuntimeName="never", agentRuntimeArtifact=artifact("1"), roleArn=ROLE) | {member: value}))
refused("AccessDeniedException", control.create_agent_runtime, "--allowed-images", agentRuntimeName="never", roleArn=ROLE,
        agentRuntimeArtifact={"containerConfiguration": {"containerUri": "elsewhere.example/echo:1"}})
refused("ValidationException", control.list_agent_runtimes, nextToken="!!")

# Pages, and what kubectl has made.
listed = [one for page in control.get_paginator("list_agent_runtimes").paginate(PaginationConfig={"PageSize": 1}) for one in page["agentRuntimes"]]
assert {one["agentRuntimeName"] for one in listed} == {NAME, "bare", "by_kubectl"}, listed
theirs = control.get_agent_runtime(agentRuntimeId=kubectls.rsplit("/", 1)[1])
assert theirs["agentRuntimeArn"] == kubectls and theirs["agentRuntimeName"] == "by_kubectl" and theirs["status"] == "READY", theirs
refused("ConflictException", control.update_agent_runtime, "kubectl", agentRuntimeId=theirs["agentRuntimeId"], agentRuntimeArtifact=artifact("2"), roleArn=ROLE)
refused("ConflictException", control.create_agent_runtime, "by-kubectl", agentRuntimeName="by_kubectl", agentRuntimeArtifact=artifact("1"), roleArn=ROLE)

# Delete.
refused("ConflictException", control.delete_agent_runtime, "by themselves", agentRuntimeId=id, agentRuntimeVersion="1")
assert control.delete_agent_runtime(agentRuntimeId=id)["status"] == "DELETING"
refused("ResourceNotFoundException", control.get_agent_runtime, agentRuntimeId=id)
refused("ResourceNotFoundException", control.delete_agent_runtime, agentRuntimeId=id)
anew = control.create_agent_runtime(**asked)
assert anew["agentRuntimeId"] != id and anew["agentRuntimeVersion"] == "1", anew
print(anew["agentRuntimeId"])
