"""The subject from AWS: an agent on the unchanged SDK for Python.

Its twin in Go is agent.go: the same modes, the same orders in the payload.
Standard input is the runner's line to it: "release" lets go of what blocks, the
end of it ends the process. On standard output is a line for each invocation
that blocks, and for each endless stream that has ended. Usage: python -c SOURCE MODE PORT
"""

import asyncio
import os
import sys
import threading

from bedrock_agentcore import BedrockAgentCoreApp
from bedrock_agentcore.runtime import PingStatus
from bedrock_agentcore.runtime.context import BedrockAgentCoreContext
from starlette.exceptions import HTTPException
from starlette.responses import Response

MODE, PORT = sys.argv[1], int(sys.argv[2])

app = BedrockAgentCoreApp(debug=MODE == "debug")
released = threading.Event()
tasks = {}  # by name: their ids
custom_status = {"now": PingStatus.HEALTHY}  # what the ping handler "variable" answers


def listen_to_runner():
    for line in sys.stdin:
        if line.strip() == "release":
            released.set()
    os._exit(0)


def give_sign():
    print("sign", flush=True)


def wait_for_release():
    give_sign()
    released.wait()


def stream(chunks, error=None):
    """Yields the first chunk, and the others when they are released."""
    yield {"chunk": 1}
    if error is None:
        wait_for_release()
    for number in range(2, chunks + 1):
        yield {"chunk": number}
    if error is not None:
        raise RuntimeError(error)


def show_context(context):
    return {
        "session": context.session_id,
        "request": BedrockAgentCoreContext.get_request_id(),
        "headers": context.request_headers or {},
        "token": BedrockAgentCoreContext.get_workload_access_token(),
        "callback": BedrockAgentCoreContext.get_oauth2_callback_url(),
    }


def set_ping_handler(kind):
    def handler():
        if kind == "junk":
            return "bogus"
        if kind in ("error", "panic"):
            raise RuntimeError("no idea")
        if kind == "block":
            released.wait()
        return custom_status["now"]

    app.ping(handler)


def run_wrapper(error):
    """Runs a task that fails, as a decorated function, and tells what was seen."""
    seen = {}

    @app.async_task
    async def work():
        seen["inside"] = app.get_current_ping_status().value
        raise RuntimeError(error)

    try:
        asyncio.run(work())
    except RuntimeError as e:
        seen["error"] = str(e)
    seen["active_count"] = app.get_async_task_info()["active_count"]
    return seen


def storm(count):
    """Adds and completes tasks from many threads; tells how many completions were true."""
    results = []
    start = threading.Barrier(count)

    def one():
        start.wait()
        results.append(app.complete_async_task(app.add_async_task("storm")))

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"completed": sum(results), "active_count": app.get_async_task_info()["active_count"]}


def add_task(order):
    tasks[order["task"]] = app.add_async_task(order["task"], order.get("metadata"))
    return "added"


def serve_websocket():
    @app.websocket
    async def talk(websocket, context):
        await websocket.accept()
        while True:
            text = await websocket.receive_text()
            if text == "raise":
                raise RuntimeError("boom")
            if text == "close":
                await websocket.close()
                return
            await websocket.send_text(context.session_id if text == "session" else text)


def obey(order, context):
    match order.get("do"):
        case "echo":
            return order["value"]
        case "raise":
            raise RuntimeError(order["text"])
        case "http-error":
            raise HTTPException(order["code"], order["text"])
        case "response":
            return Response(order["text"], status_code=order["code"], media_type="text/csv")
        case "stream":
            return stream(3)
        case "stream-error":
            return stream(2, error="mid")
        case "context":
            return show_context(context)
        case "log":
            app.logger.info(order["text"])
            return show_context(context)
        case "block":
            wait_for_release()
            return "released"
        case "add":
            return add_task(order)
        case "complete":
            return app.complete_async_task(tasks[order["task"]])
        case "complete-unknown":
            return app.complete_async_task(4711)
        case "info":
            return app.get_async_task_info()
        case "force":
            app.force_ping_status(PingStatus(order["status"]))
            return "forced"
        case "clear":
            app.clear_forced_ping_status()
            return "cleared"
        case "ping-handler":
            set_ping_handler(order["kind"])
            return "set"
        case "custom-status":
            custom_status["now"] = PingStatus(order["status"])
            return "set"
        case "serve-websocket":
            serve_websocket()
            return "served"
        case "wrapper":
            return run_wrapper(order["text"])
        case "storm":
            return storm(order["count"])
        case "unencodable":
            return object
    return order


def serve_invocations():
    @app.entrypoint
    def invoke(payload, context):
        return obey(payload, context) if isinstance(payload, dict) else payload


def serve_invocations_async():
    @app.entrypoint
    async def invoke(payload, context):
        if payload.get("do") == "stream":
            return stream_async(obey(payload, context))
        if payload.get("do") == "stream-endless":
            return stream_endless()
        return obey(payload, context)  # blocks the loop that it runs on, if told to


async def stream_async(chunks):
    for chunk in chunks:
        yield chunk


async def stream_endless():
    try:
        while True:
            yield {"chunk": 0}
            await asyncio.sleep(0.01)
    finally:
        give_sign()


def hide_docker():
    """Makes the SDK see a machine without Docker, wherever this runs."""
    exists = os.path.exists
    os.path.exists = lambda path: path != "/.dockerenv" and exists(path)


match MODE:
    case "default" | "debug":
        serve_invocations()
    case "async":
        serve_invocations_async()
    case "address":
        hide_docker()
    case "bare":
        pass
    case _:
        sys.exit(f"unknown mode {MODE}")

threading.Thread(target=listen_to_runner, daemon=True).start()
app.run(port=PORT, **({} if MODE == "address" else {"host": "127.0.0.1"}))
