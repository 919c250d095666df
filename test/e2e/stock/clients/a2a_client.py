"""Sends each line to an agent with A2A's own client, which follows the agent's card, and prints the answers."""

import asyncio
import sys

import httpx
from a2a.client import ClientConfig, create_client
from a2a.helpers import get_stream_response_text, new_text_message
from a2a.types import Role, SendMessageRequest

import gateway

arn, session = sys.argv[1:]


async def main():
    headers = gateway.headers() | {"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": session}
    async with httpx.AsyncClient(headers=headers, timeout=120) as http:
        client = await create_client(gateway.url(arn), ClientConfig(httpx_client=http))
        while line := await asyncio.to_thread(sys.stdin.readline):
            message = new_text_message(line.strip(), role=Role.ROLE_USER)
            async for answer in client.send_message(SendMessageRequest(message=message)):
                print(get_stream_response_text(answer), flush=True)


asyncio.run(main())
