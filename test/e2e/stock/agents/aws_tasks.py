"""An agent as people write them with AWS's SDK for Python, unchanged.

It answers at once and works on in the background for as long as it is asked to;
meanwhile the SDK answers pings with HealthyBusy.
"""

import asyncio

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
running = set()  # asyncio keeps no strong reference to its tasks


@app.async_task
async def research(seconds):
    await asyncio.sleep(seconds)


@app.entrypoint
async def invoke(payload):
    task = asyncio.create_task(research(payload["seconds"]))
    running.add(task)
    task.add_done_callback(running.discard)
    await asyncio.sleep(0)  # lets the task begin, so that the next ping is HealthyBusy
    return {"started": "research"}


if __name__ == "__main__":
    app.run()
