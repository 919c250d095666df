"""Calls a tool with MCP's own client, once for each line of arguments, and prints the results, a line each.

When the server no longer knows its session, it connects anew, as MCP asks of clients.
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

import gateway

arn, mode, tool = sys.argv[1:]


def leaves(error):
    if isinstance(error, ExceptionGroup):
        return sum(map(leaves, error.exceptions), [])
    return [str(error)]


async def lines():
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield json.loads(line)


async def call(requests, arguments, http):
    async with Client(streamable_http_client(gateway.url(arn), http_client=http), mode=mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        while arguments is not None:
            result = await client.call_tool(tool, arguments)
            print(json.dumps({"tools": names, "result": result.structured_content}), flush=True)
            arguments = await anext(requests, None)


async def main():
    async with httpx2.AsyncClient(headers=gateway.headers(), timeout=120) as http:
        requests = lines()
        async for arguments in requests:
            try:
                await call(requests, arguments, http)
            except* MCPError as errors:
                print(json.dumps({"errors": leaves(errors)}), flush=True)


asyncio.run(main())
