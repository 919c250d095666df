"""Holds what is said of the control plane, as it comes over the wire, against botocore's model.

Usage: oracle.py < EXCHANGES: a line of JSON each, with method, path, query, body, status, kind (of an
error), answer. It prints how often each operation was seen."""

import collections
import json
import re
import sys
import urllib.parse

import botocore.session

MODEL = botocore.session.get_session().get_service_model("bedrock-agentcore-control")
OPERATIONS = [MODEL.operation_model(name) for name in (
    "CreateAgentRuntime", "GetAgentRuntime", "ListAgentRuntimes", "ListAgentRuntimeVersions", "UpdateAgentRuntime", "DeleteAgentRuntime",
    "CreateAgentRuntimeEndpoint", "GetAgentRuntimeEndpoint", "ListAgentRuntimeEndpoints", "UpdateAgentRuntimeEndpoint",
    "DeleteAgentRuntimeEndpoint", "TagResource", "UntagResource", "ListTagsForResource", "PutResourcePolicy", "GetResourcePolicy", "DeleteResourcePolicy",
)]

# What is wider here: any image and any port; and a runtime that kubectl has made has no role.
FREE = {"RuntimeContainerUri", "ServerPort"}
FREE_IN_ANSWERS = FREE | {"RoleArn"}
# Nothing is deleted twice, whatever the token is; and keys that no tag has take none away.
UNREAD = {("DeleteAgentRuntime", "clientToken"), ("DeleteAgentRuntimeEndpoint", "clientToken"), ("UntagResource", "tagKeys")}
# What the model lists for every other operation on a runtime.
UNLISTED = {("ListAgentRuntimeEndpoints", "ResourceNotFoundException")}


def faults(value, shape, free, path=""):
    """Yields what of a value, as it came over the wire, its shape forbids."""
    rules, kind = shape.metadata, shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            yield f"{path}: no object: {value!r}"
            return
        given = {name: one for name, one in value.items() if one is not None}
        for name in set(shape.required_members) - set(given):
            yield f"{path}.{name}: required and absent"
        if rules.get("union") and len(given) != 1:
            yield f"{path}: a union with {len(given)} members"
        for name, one in given.items():
            if name in shape.members:
                yield from faults(one, shape.members[name], free, f"{path}.{name}")
            else:
                yield f"{path}.{name}: not in the model"
    elif kind == "list":
        if not isinstance(value, list):
            yield f"{path}: no list: {value!r}"
            return
        yield from bounds(len(value), rules, path)
        for i, one in enumerate(value):
            yield from faults(one, shape.member, free, f"{path}[{i}]")
    elif kind == "map":
        if not isinstance(value, dict):
            yield f"{path}: no map: {value!r}"
            return
        yield from bounds(len(value), rules, path)
        for name, one in value.items():
            yield from faults(name, shape.key, free, f"{path} key")
            yield from faults(one, shape.value, free, f"{path}[{name!r}]")
    elif kind == "timestamp":
        if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value):
            yield f"{path}: no ISO-8601 time: {value!r}"
    elif kind == "integer":
        if not isinstance(value, int) or isinstance(value, bool):
            yield f"{path}: no integer: {value!r}"
        elif shape.name not in free:
            yield from bounds(value, rules, path)
    elif kind == "boolean":
        if not isinstance(value, bool):
            yield f"{path}: no boolean: {value!r}"
    elif kind == "string":
        if not isinstance(value, str):
            yield f"{path}: no string: {value!r}"
        elif shape.name not in free:
            yield from bounds(len(value), rules, path)
            if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
                yield f"{path}: {value!r} does not match {rules['pattern']}"
            if shape.enum and value not in shape.enum:
                yield f"{path}: {value!r} is none of {shape.enum}"
    else:
        raise AssertionError(f"{path}: a {kind}")


def bounds(n, rules, path):
    if not rules.get("min", n) <= n <= rules.get("max", n):
        yield f"{path}: {n} is not from {rules.get('min')} to {rules.get('max')}"


def asked(method, path, query, body):
    """Returns the operation, its members as they were sent, and why they cannot be read; None if it is none."""
    for model in OPERATIONS:
        pattern = re.sub(r"\{\w+\}", "([^/]+)", model.http["requestUri"].rstrip("/"))
        found = re.fullmatch(pattern + "/?", path)
        if model.http["method"] == method and found:
            break
    else:
        return None, {}, ""
    members, unread = {}, ""
    for name, value in zip(re.findall(r"\{(\w+)\}", model.http["requestUri"]), found.groups()):
        members[name] = urllib.parse.unquote(value)
    given = urllib.parse.parse_qs(query)
    for name, shape in (model.input_shape.members if model.input_shape else {}).items():
        values = given.get(shape.serialization.get("name", name))
        if shape.serialization.get("location") != "querystring" or not values:
            continue
        if shape.type_name == "list":
            members[name] = values
        else:
            members[name] = int(values[0]) if shape.type_name == "integer" and re.fullmatch(r"-?\d+", values[0]) else values[0]
    if body.strip() and any(not shape.serialization.get("location") for shape in model.input_shape.members.values()):
        try:
            read = json.loads(body)
            if not isinstance(read, dict):
                raise TypeError(read)
            members |= read
        except (ValueError, TypeError, RecursionError):
            unread = "the body is no JSON object"
    return model, members, unread


def judge(said):
    """Returns the operation, and what is wrong with what was said."""
    model, members, unread = asked(said["method"], said["path"], said["query"], said["body"])
    if model is None:
        return "", [f"{said['method']} {said['path']} is no operation of the model"]
    wrong = []
    broken = [unread] if unread else [
        fault for fault in faults(members, model.input_shape, FREE) if (model.name, re.match(r"\.(\w*)", fault)[1]) not in UNREAD]
    status, kind = said["status"], said["kind"]
    if status < 300:
        if broken:
            wrong.append(f"it is done, and the model forbids {broken}")
        if status != model.http["responseCode"]:
            wrong.append(f"the status is {status}, and {model.http['responseCode']} in the model")
        if said["answer"] or model.output_shape and model.output_shape.members:
            free = FREE_IN_ANSWERS | ({"Description"} if "List" in model.name else set())  # of which a list wants "" if there is none
            wrong += faults(json.loads(said["answer"]), model.output_shape, free)
        return model.name, wrong
    codes = {shape.name: shape.metadata["error"]["httpStatusCode"] for shape in model.error_shapes}
    if kind not in codes and (model.name, kind) not in UNLISTED:
        wrong.append(f"{status} {kind} is none of its errors")
    elif codes.get(kind, status) != status or status >= 500:
        wrong.append(f"{kind} with {status}")
    elif kind == "ValidationException":
        told = json.loads(said["answer"])
        names = [field["name"] for field in told.get("fieldList", [])]
        if not broken and not names:
            wrong.append(f"the model allows it, and what is refused is not named: {told}")
    return model.name, wrong


if __name__ == "__main__":
    seen, failed = collections.Counter(), False
    for line in sys.stdin:
        said = json.loads(line)
        name, wrong = judge(said)
        seen[name] += 1
        for one in wrong:
            failed = True
            print(f"{name}: {one}\n  {said}", file=sys.stderr)
    print(json.dumps(seen))
    sys.exit(failed)
