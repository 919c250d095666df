"""An A2A server as AWS's SDK for Python makes it."""

from a2a.helpers import new_text_message
from a2a.server.agent_execution import AgentExecutor
from bedrock_agentcore.runtime import serve_a2a


class HelloWorldAgentExecutor(AgentExecutor):
    async def execute(self, context, event_queue):
        await event_queue.enqueue_event(new_text_message(f"Hello, {context.get_user_input()}"))

    async def cancel(self, context, event_queue):
        raise NotImplementedError("cancel not supported")


if __name__ == "__main__":
    serve_a2a(HelloWorldAgentExecutor())
