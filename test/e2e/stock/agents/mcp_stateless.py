"""A server of FastMCP's without state, as AWS's guide to MCP servers asks for."""

from fastmcp import FastMCP

mcp = FastMCP("calculator")


@mcp.tool
def add(a: int, b: int) -> int:
    """Add two numbers"""
    return a + b


if __name__ == "__main__":
    mcp.run(transport="http", host="0.0.0.0", port=8000, stateless_http=True)
