"""The agent of AWS's tutorial: Strands on AWS's SDK for Python.

The entrypoint is a coroutine that does not await the agent, so nothing else is
answered while the agent works, pings neither.
"""

from bedrock_agentcore import BedrockAgentCoreApp
from strands import Agent

from model import Stub

app = BedrockAgentCoreApp()
agent = Agent(model=Stub())


@app.entrypoint
async def invoke(payload):
    result = agent(payload.get("prompt", "Hello"))
    return {"result": result.message}


if __name__ == "__main__":
    app.run()
