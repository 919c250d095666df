"""A server of A2A's own SDK. Its card says where it was tried: on its author's machine."""

import uvicorn
from a2a.helpers import new_text_message
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


class HelloWorldAgentExecutor(AgentExecutor):
    async def execute(self, context, event_queue):
        await event_queue.enqueue_event(new_text_message(f"Hello, {context.get_user_input()}"))

    async def cancel(self, context, event_queue):
        raise NotImplementedError("cancel not supported")


card = AgentCard(
    name="Hello World Agent",
    description="Just a hello world agent",
    version="0.0.1",
    default_input_modes=["text"],
    default_output_modes=["text"],
    capabilities=AgentCapabilities(streaming=True),
    supported_interfaces=[AgentInterface(protocol_binding="JSONRPC", protocol_version="1.0", url="http://localhost:9000/")],
    skills=[AgentSkill(id="hello_world", name="Returns hello world", description="just returns hello world", tags=["hello world"])],
)


async def ping(request):
    return JSONResponse({"status": "healthy"})


if __name__ == "__main__":
    handler = DefaultRequestHandler(HelloWorldAgentExecutor(), InMemoryTaskStore(), card)
    routes = [*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/"), Route("/ping", ping)]
    uvicorn.run(Starlette(routes=routes), host="0.0.0.0", port=9000)
