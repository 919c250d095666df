"""Sends valid and invalid requests of the control plane's operations, made of botocore's model, and holds
what is answered against it.

Usage: fuzz.py URL REGION KEY SECRET SEED CASES. The same seed makes the same requests, but for what the
runtimes of earlier ones are called."""

import collections
import copy
import json
import random
import re
import sys
import time
import urllib.parse
import uuid

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

import oracle

try:
    from re import _parser as sre
except ImportError:  # before Python 3.11
    import sre_parse as sre

url, region, key, secret, seed, cases = sys.argv[1:]
rng, http = random.Random(seed), URLLib3Session(timeout=60)
uuid_of = lambda: str(uuid.UUID(int=rng.getrandbits(128)))  # noqa: E731
runtimes, endpoints, tokens = {}, {}, ["!!"]  # their ARNs by their ids, names by ids, and tokens of lists

# Of these few strings that match are any good, or they are not for the pattern to say.
SAMPLES = {
    "RuntimeContainerUri": lambda: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/" + rng.choice(["echo:1", "a/b@sha256:" + "0" * 64, "e" * 200]),
    "DiscoveryUrl": lambda: rng.choice(["https://issuer.example/.well-known/openid-configuration"] * 5 + ["https://issuer.example/.well-known/oauth-authorization-server", "http://a/.well-known/openid-configuration"]),
    "AgentRuntimeVersion": lambda: rng.choice(["1", "1", "2", "3", "99999"]),
    "AgentRuntimeId": lambda: rng.choice([*runtimes, *runtimes, "absent-0123456789"]),
    "EndpointName": lambda: rng.choice(["prod", "Stage_1", "DEFAULT", "a", "x" * 48]),
    "TaggableResourcesArn": lambda: rng.choice([*runtimes.values(), *runtimes.values(), *(f"{runtimes[one]}/runtime-endpoint/{name}" for one, name in endpoints),
                                               "arn:aws:bedrock-agentcore:eu-west-1:123456789012:gateway/x-0123456789"]),
    "NextToken": lambda: rng.choice(tokens),
    "ClientToken": uuid_of,
    "AllowedAudience": lambda: rng.choice([uuid_of(), uuid_of(), uuid_of(), uuid_of(), "", "x" * 300]),
    "AllowedClient": uuid_of,
    "EnvironmentVariableKey": lambda: rng.choice(["A", "B_1", "with space", "x" * 100, "$(A)", "%d" % rng.randrange(100), "_%d" % rng.randrange(100), rng.choice(["a=b", "é", "b"])]),
}
# These are refused whatever is in them, and so are seldom among what is valid.
RARE = {
    "hooksConfiguration", "capacityProviderConfiguration", "codeConfiguration", "s3FilesAccessPoint", "efsAccessPoint",
    "capacityProviderVolume", "requireServiceS3Endpoint", "privateEndpoint", "privateEndpointOverrides",
    "certificateConfigurations", "allowedWorkloadConfiguration",
}


def matching(pattern):
    """Returns a string that a pattern matches."""
    def of(nodes):
        return "".join(one(*node) for node in nodes)

    def one(kind, what):
        kind = str(kind)
        if kind == "LITERAL":
            return chr(what)
        if kind in ("ANY", "NOT_LITERAL"):
            return rng.choice("ab/.-é ")
        if kind == "IN":
            return member(what)
        if kind in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, inner = what
            return "".join(of(inner) for _ in range(rng.choice([least, least, min(int(most), least + 3), min(int(most), least + 20)])))
        if kind == "SUBPATTERN":
            return of(what[-1])
        if kind == "BRANCH":
            return of(rng.choice(what[1]))
        raise AssertionError(kind)

    def member(what):
        kind, value = rng.choice([w for w in what if str(w[0]) != "NEGATE"])
        if str(what[0][0]) == "NEGATE":
            return rng.choice("abcXYZ019/:._-")
        if str(kind) == "RANGE":
            return chr(rng.randint(*value))
        if str(kind) == "CATEGORY":
            return rng.choice({"CATEGORY_SPACE": " \t\n", "CATEGORY_NOT_SPACE": "aB9-é", "CATEGORY_DIGIT": "0189"}[str(value)])
        return chr(value)

    return of(sre.parse(pattern))


def valid(shape, depth=0):
    rules, kind = shape.metadata, shape.type_name
    if kind == "structure":
        names = list(shape.members)
        if rules.get("union"):
            one = rng.choices(names, [0.05 if name in RARE else 1 for name in names])[0]
            return {one: valid(shape.members[one], depth + 1)}
        return {name: valid(shape.members[name], depth + 1) for name in names
                if name in shape.required_members or rng.random() < (0.02 if name in RARE else 0.4)}
    least, most = rules.get("min", 0), rules.get("max", 10**6)
    if kind == "integer":
        usual = min(most, 28800)
        return rng.choice([least, usual, max(least, 1), rng.randint(least, usual), rng.randint(least, usual), rng.choice([most, rng.randint(least, most)])])
    if kind == "boolean":
        return rng.random() < 0.5
    size = rng.choice([least, min(most, least + 1), min(most, least + 1), min(most, least + 3), min(most, 50)])
    if kind == "list":
        return [valid(shape.member, depth + 1) for _ in range(size if shape.name != "FilesystemConfigurations" or rng.random() < 0.1 else 1)]
    if kind == "map":
        return {valid(shape.key, depth + 1): valid(shape.value, depth + 1) for _ in range(size)}
    if shape.enum:
        return rng.choice(shape.enum)
    if shape.name in SAMPLES:
        return SAMPLES[shape.name]()
    if "pattern" in rules:
        text = matching(rules["pattern"])
        while len(text) < least:
            text += matching(rules["pattern"])
        return text[:most]
    return "".join(rng.choice("abcXYZ 09$(){}/=é\n\"'") for _ in range(rng.choice([size, size, min(most, 5000)])))


JUNK = [None, True, 0, -1, 1.5, 10**30, "", "x", " ", "\x00", "é" * 300, "x" * 6000, [], {}, [[]], {"x": {}}, ["x", "x"], "1e999", "DEFAULT", "../..", "a\nb"]


def spoil(members):
    """Changes something somewhere in members; the model says whether they are valid still."""
    spots = []

    def walk(value):
        for at in (list(value) if isinstance(value, dict) else range(len(value))):
            spots.append((value, at))
            if isinstance(value[at], (dict, list)):
                walk(value[at])
    walk(members)
    if not spots:
        members["x"] = 1
        return
    where, at = rng.choice(spots)
    value = where[at]
    change = rng.randrange(6)
    if change == 0:
        del where[at]
    elif change == 1 and isinstance(where, dict):
        where[rng.choice(["x", at + "x", at.upper(), ""])] = value
    elif change == 2 and isinstance(value, str):
        where[at] = rng.choice([value + "\n", " " + value, value + "é", value * 200, value[:-1], value.upper(), value + "\x00"])
    elif change == 3 and isinstance(value, int):
        where[at] = value + rng.choice([-1, 1, 2**31, 2**63, -2**63, 0.5])
    elif change == 4 and isinstance(value, list):
        where[at] = value * rng.choice([2, 30])
    else:
        where[at] = copy.deepcopy(rng.choice(JUNK))


BODIES = ["", "null", "[]", "{", '"x"', "{}{}", '{"a":1e999}', "[" * 5000, '{"tags":{"a":"b"},"tags":{"c":"d"}}', "\x00", "{" + '"x":' * 3 + "1}"]


def request(model, members, body=None):
    """Returns an exchange without an answer."""
    path, query, rest = model.http["requestUri"], [], dict(members)
    shapes = model.input_shape.members if model.input_shape else {}
    for name, shape in shapes.items():
        if name not in rest or not shape.serialization.get("location"):
            continue
        value = rest.pop(name)
        if shape.serialization["location"] == "uri":
            path = path.replace("{" + name + "}", urllib.parse.quote(str(value), safe=""))
        else:
            for one in value if isinstance(value, list) else [value]:
                query.append((shape.serialization.get("name", name), one if isinstance(one, str) else json.dumps(one)))
    path = re.sub(r"\{\w+\}", "absent", path)
    if body is None:
        body = json.dumps(rest) if model.http["method"] in ("PUT", "POST") else ""
    return {"method": model.http["method"], "path": path, "query": urllib.parse.urlencode(query, quote_via=urllib.parse.quote), "body": body}


def send(said):
    """Sends it, signed, and fills in what is answered."""
    to = url + said["path"] + ("?" + said["query"] if said["query"] else "")
    signed = AWSRequest(method=said["method"], url=to, data=said["body"].encode(), headers={"Content-Type": "application/json"})
    SigV4Auth(Credentials(key, secret), "bedrock-agentcore", region).add_auth(signed)
    answer = http.send(signed.prepare())
    said |= {"status": answer.status_code, "kind": answer.headers.get("x-amzn-ErrorType", ""), "answer": answer.content.decode()}


def ask(name, **members):
    model = oracle.MODEL.operation_model(name)
    said = request(model, members)
    send(said)
    return said["status"], json.loads(said["answer"] or "{}")


def settled(id):
    """Waits until a runtime is in a state that may be changed, and returns it; None if it has gone."""
    for _ in range(600):
        status, got = ask("GetAgentRuntime", agentRuntimeId=id)
        if status == 404:
            return None
        if got["status"] in ("READY", "CREATE_FAILED", "UPDATE_FAILED"):
            return got
        time.sleep(0.05)
    raise AssertionError(f"it stays so: {got}")


KEPT_ELSEWHERE = {"clientToken", "tags", "agentRuntimeId"}


def lost(members, got):
    """Yields what of a runtime that was given is not given back."""
    for name, value in members.items():
        if name in KEPT_ELSEWHERE or value in (None, []):
            continue
        if name == "lifecycleConfiguration":
            if not {k: v for k, v in value.items() if v is not None}.items() <= got[name].items():
                yield f"{name}: {value}, and {got.get(name)} is given back"
        elif bare(value) != bare(got.get(name)):
            yield f"{name}: {value}, and {got.get(name)} is given back"


def bare(value):
    """Leaves out what is null."""
    return {name: bare(one) for name, one in value.items() if one is not None} if isinstance(value, dict) else value


def refuses_list(words):
    return len(set(words)) < len(words) or len(words) > 50 or not all(0 < len(word) < 256 for word in words)


def refuses_claim(claim):
    match = claim["authorizingClaimMatchValue"]
    operator, value = match["claimMatchOperator"], match["claimMatchValue"]
    return ((claim["inboundTokenClaimValueType"] == "STRING") != (operator == "EQUALS") or (operator == "CONTAINS_ANY") != ("matchValueStringList" in value)
            or refuses_list(value.get("matchValueStringList", [])))


def refuses_authorizer(jwt):
    lists, claims = {"allowedAudience", "allowedClients", "allowedScopes"}, jwt.get("customClaims", [])
    return (set(jwt) - lists - {"discoveryUrl", "customClaims", "advertisedScopeMapping"} or not set(jwt) & (lists | {"customClaims"})
            or len(jwt["discoveryUrl"]) > 2048 or not jwt["discoveryUrl"].startswith("https://") or any(refuses_list(jwt[one]) for one in lists & set(jwt))
            or len(claims) > 50 or any(map(refuses_claim, claims)) or set(jwt.get("advertisedScopeMapping", {})) - set(jwt.get("allowedScopes", [])))


def refuses_ports(allowed):
    ranges = sorted((one["port"], one["port"]) if "port" in one else (one["portRange"]["from"], one["portRange"]["to"]) for one in allowed)
    return ({"port": 8443} in allowed or any(first > last for first, last in ranges)
            or any(following[0] <= one[1] for one, following in zip(ranges, ranges[1:])))


def narrower(name, members):
    """Returns the members of a valid request that are refused all the same, as docs/control-plane.md has it."""
    found = {one for one in ("hooksConfiguration", "capacityProviderConfiguration", "policy") if members.get(one) is not None}
    found |= {"resourceArn"} if "resourceArn" in members and ":runtime/" not in members["resourceArn"] else set()
    if "codeConfiguration" in members.get("agentRuntimeArtifact", {}):
        found.add("agentRuntimeArtifact")
    systems = members.get("filesystemConfigurations") or []
    if len(systems) > 1 or any(one.get("sessionStorage", {}).get("mountPath", "").strip("/") in ("", "mnt/.", "mnt/..") for one in systems):
        found.add("filesystemConfigurations")
    if "requireServiceS3Endpoint" in ((members.get("networkConfiguration") or {}).get("networkModeConfig") or {}):
        found.add("networkConfiguration")
    jwt = bare((members.get("authorizerConfiguration") or {}).get("customJWTAuthorizer") or {})
    if jwt and refuses_authorizer(jwt):
        found.add("authorizerConfiguration")
    if refuses_ports(members.get("allowedPorts") or []):
        found.add("allowedPorts")
    clocks = members.get("lifecycleConfiguration") or {}
    idle, most = clocks.get("idleRuntimeSessionTimeout") or 0, clocks.get("maxLifetime") or 28800
    if most > 28800 or idle > most:
        found.add("lifecycleConfiguration")
    protocol = members.get("protocolConfiguration") or {}
    if len(protocol.get("path") or "") > 256 or "%" in (protocol.get("path") or "") or not 0 < (protocol.get("port") or 1) < 65536:
        found.add("protocolConfiguration")
    headers = (members.get("requestHeaderConfiguration") or {}).get("requestHeaderAllowlist") or []
    if len(set(headers)) < len(headers) or "authorization" in map(str.lower, headers) and not jwt:
        found.add("requestHeaderConfiguration")
    if any(not re.fullmatch(r"[ -<>-~]+", one) or "\0" in value for one, value in (members.get("environmentVariables") or {}).items()):
        found.add("environmentVariables")
    if any(one.lower().startswith("aws:") for one in members.get("tags") or {}):
        found.add("tags")
    if any(not 1 <= one["minimumMemoryInMiB"] <= 1 << 20 for one in members.get("resourceConfigurations") or []):
        found.add("resourceConfigurations")
    if members.get("nextToken") not in (None, *tokens[1:]):
        found.add("nextToken")
    if re.fullmatch(r"\S{1,1024}", ((members.get("agentRuntimeArtifact") or {}).get("containerConfiguration") or {}).get("containerUri", "x")) is None:
        found.add("agentRuntimeArtifact")
    return found


def case():
    """Does one, and returns its operation, what was answered, and what is wrong with it."""
    model = rng.choice(oracle.OPERATIONS[:1] * 3 + oracle.OPERATIONS[4:5] * 3 + oracle.OPERATIONS)
    if model.name == "DeleteAgentRuntime" and (len(runtimes) < 4 or rng.random() < 0.5):
        model = oracle.OPERATIONS[0]
    members, body = valid(model.input_shape), None
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        spoil(members)
    if rng.random() < 0.04:
        body = rng.choice(BODIES)
    if model.name.startswith("Update") and isinstance(members.get("agentRuntimeId"), str) and members["agentRuntimeId"] in runtimes:
        settled(members["agentRuntimeId"])
    said = request(model, members, body)
    if oracle.asked(said["method"], said["path"], said["query"], said["body"])[0] is not model:
        return "", 0, []  # what was spoilt is its path
    send(said)
    name, wrong = oracle.judge(said)
    _, members, unread = oracle.asked(said["method"], said["path"], said["query"], said["body"])
    told = json.loads(said["answer"]) if said["answer"] else {}
    good = not unread and not list(oracle.faults(members, model.input_shape, oracle.FREE))
    if good and not wrong:
        expected, refused = narrower(name, members), said["kind"] == "ValidationException"
        named = {re.split(r"[.\[]", field["name"])[0] for field in told.get("fieldList", [])} if refused else set()
        if not named <= expected:
            wrong.append(f"the model allows {named - expected}, and docs/control-plane.md refuses no such thing: {told}")
        if expected - {"nextToken"} and said["status"] < 300:  # one that was made up may be well formed
            wrong.append(f"it is done, and docs/control-plane.md refuses {expected}")
    if said["status"] < 300:
        wrong += remember(name, members, told)
    return name, said["status"], [f"{one}\n  {said}" for one in wrong]


def remember(name, members, told):
    """Keeps what later requests are about, and yields what a runtime has lost of what it was given."""
    id = told.get("agentRuntimeId", members.get("agentRuntimeId"))
    if told.get("nextToken"):
        tokens.append(told["nextToken"])
    if name == "DeleteAgentRuntime":
        del runtimes[id]
        endpoints.pop(id, None)
    elif name == "CreateAgentRuntimeEndpoint":
        endpoints[id, members["name"]] = True
    elif name in ("CreateAgentRuntime", "UpdateAgentRuntime"):
        runtimes[id] = told["agentRuntimeArn"]
        yield from lost(members, settled(id))


def main():
    counts, failed = collections.Counter(), 0
    for i in range(3):
        ask("CreateAgentRuntime", agentRuntimeName=f"seed_{i}", roleArn="arn:aws:iam::123456789012:role/x", agentRuntimeArtifact={"containerConfiguration": {"containerUri": SAMPLES["RuntimeContainerUri"]()}})
    _, told = ask("ListAgentRuntimes")
    runtimes.update({one["agentRuntimeId"]: one["agentRuntimeArn"] for one in told["agentRuntimes"]})
    for i in range(int(cases)):
        name, status, wrong = case()
        counts[f"{name} {status // 100}xx"] += 1
        for one in wrong:
            failed += 1
            print(f"case {i} of seed {seed}: {name}: {one}", file=sys.stderr)
    print(json.dumps(dict(sorted(counts.items())), indent=1))
    sys.exit(failed > 0)


main()
