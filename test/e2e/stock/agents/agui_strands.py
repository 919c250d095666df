"""AG-UI's own server for Strands agents, on the path and port that AgentCore asks for."""

import uvicorn
from ag_ui_strands import StrandsAgent, create_strands_app
from strands import Agent

from model import Stub

agent = StrandsAgent(agent=Agent(model=Stub()), name="chat", description="Says what it has heard")
app = create_strands_app(agent, "/invocations")

if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=8080)
