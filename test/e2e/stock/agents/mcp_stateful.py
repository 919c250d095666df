"""A server of FastMCP's with state: what a session has put in stays for that session."""

from fastmcp import Context, FastMCP

mcp = FastMCP("notes")


@mcp.tool
async def note(text: str, ctx: Context) -> list[str]:
    """Take a note, and read all of them"""
    notes = (await ctx.get_state("notes") or []) + [text]
    await ctx.set_state("notes", notes)
    return notes


if __name__ == "__main__":
    mcp.run(transport="http", host="0.0.0.0", port=8000)
