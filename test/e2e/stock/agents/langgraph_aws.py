"""A graph of LangGraph's on AWS's SDK for Python, as AWS's samples have it, with a fake model."""

from bedrock_agentcore.runtime import BedrockAgentCoreApp
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

app = BedrockAgentCoreApp()
llm = FakeListChatModel(responses=["one", "two", "three"])


def chatbot(state: MessagesState):
    return {"messages": [llm.invoke(state["messages"])]}


graph = StateGraph(MessagesState)
graph.add_node("chatbot", chatbot)
graph.add_edge(START, "chatbot")
agent = graph.compile(checkpointer=InMemorySaver())


@app.entrypoint
def langgraph_agent(payload):
    """Invoke the agent with a payload"""
    response = agent.invoke(
        {"messages": [HumanMessage(content=payload.get("prompt"))]}, {"configurable": {"thread_id": "1"}}
    )
    return f"{response['messages'][-1].content} of {len(response['messages'])}"


if __name__ == "__main__":
    app.run()
