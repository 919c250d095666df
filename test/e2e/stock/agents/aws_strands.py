"""The agent of AWS's tutorial: Strands on AWS's SDK for Python, with a model that asks nobody."""

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
