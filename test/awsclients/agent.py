"""An agent on AWS's SDK for Python that streams, and works on in the background."""

import asyncio
import sys

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


@app.async_task
async def work():
    await asyncio.sleep(3)


@app.entrypoint
async def invoke(payload, context):
    asyncio.create_task(work())
    for word in payload["words"]:
        yield {"word": word, "session": context.session_id}
        await asyncio.sleep(0.5)


app.run(port=int(sys.argv[1]))
