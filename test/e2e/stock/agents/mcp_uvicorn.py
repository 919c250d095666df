"""A server of MCP's own SDK that uvicorn serves, with the settings that it has by default."""

import uvicorn
from mcp.server.mcpserver import MCPServer

mcp = MCPServer("calculator")


@mcp.tool()
def add(a: int, b: int) -> int:
    """Add two numbers"""
    return a + b


if __name__ == "__main__":
    uvicorn.run(mcp.streamable_http_app(), host="0.0.0.0", port=8000)
