"""Calls a runtime with boto3, once for each line of payload, and prints the answers, a line each."""

import sys

import boto3

arn, session = sys.argv[1:]
client = boto3.client("bedrock-agentcore")

for line in sys.stdin:
    answer = client.invoke_agent_runtime(agentRuntimeArn=arn, runtimeSessionId=session, payload=line.encode())
    print(answer["response"].read().decode().replace("\n", " "), flush=True)
