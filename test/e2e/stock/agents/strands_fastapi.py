"""The custom agent of Strands' guide to AgentCore, and of AWS's tutorial: FastAPI, and a ping that says "healthy".

Its handler is a coroutine that does not await the agent, so nothing else is
answered while the agent works, pings neither.
"""

from datetime import datetime, timezone
from typing import Any, Dict

import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from strands import Agent

from model import Stub

app = FastAPI(title="Strands Agent Server", version="1.0.0")
strands_agent = Agent(model=Stub())


class InvocationRequest(BaseModel):
    input: Dict[str, Any]


class InvocationResponse(BaseModel):
    output: Dict[str, Any]


@app.post("/invocations", response_model=InvocationResponse)
async def invoke_agent(request: InvocationRequest):
    user_message = request.input.get("prompt", "")
    if not user_message:
        raise HTTPException(status_code=400, detail="No prompt found in input.")
    result = strands_agent(user_message)
    return InvocationResponse(output={
        "message": result.message,
        "timestamp": datetime.now(timezone.utc).isoformat(),
        "model": "strands-agent",
    })


@app.get("/ping")
async def ping():
    return {"status": "healthy"}


if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=8080)
