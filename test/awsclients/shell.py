"""Opens a WebSocket and shells with AWS's SDK for Python, which also has to take the ARN, and says how far it came."""

import asyncio
import os
import sys
from urllib.parse import quote

host, port, key, secret, arn, session, echoes = sys.argv[1:]
os.environ["BEDROCK_AGENTCORE_DP_ENDPOINT"] = "https://gateway.amazonaws.com"  # it takes hosts of AWS only

import boto3  # noqa: E402
import websockets  # noqa: E402
from bedrock_agentcore.runtime import AgentCoreRuntimeClient, PresignedAuth, ShellChannel, build_runtime_url  # noqa: E402

# Its URLs go to the gateway as they are, but without TLS, which is terminated before it.
connect = websockets.connect
websockets.connect = lambda url, **more: connect(url.replace("wss://", "ws://"), host=host, port=int(port), **more)


async def hear(shell, text):
    heard = ""
    async for frame in shell:
        if frame.channel == ShellChannel.STDOUT:
            heard += frame.text
            if text in heard:
                return
    raise AssertionError(f"{text} is not in {heard}")


async def shells(client, auth):
    name = "of-" + type(auth).__name__
    async with client.open_shell(arn, session_id=session, shell_id=name, auth=auth) as shell:
        assert (shell.shell_id, shell.session_id) == (name, session)
        await shell.resize(132, 43)
        await shell.send("kept=$((40+2)); stty size; echo is$kept\n")
        await hear(shell, "is42")
    async with client.open_shell(arn, session_id=session, shell_id=name, auth=auth) as shell:
        await hear(shell, "43 132")  # once more
        await shell.send("echo still$kept; exit $((kept-37))\n")
        await hear(shell, "still42")
        async for _ in shell:
            pass
    assert shell.exit_code == 5, shell.exit_code


async def main():
    region = arn.split(":")[3]  # or it takes the ARN for another client's
    url = build_runtime_url(arn)  # raises InvalidRegionError for a region whose name is not like those of AWS
    assert url == f"https://bedrock-agentcore.{region}.amazonaws.com/runtimes/{quote(arn, safe='')}/invocations", url
    client = AgentCoreRuntimeClient(region, session=boto3.Session(
        aws_access_key_id=key, aws_secret_access_key=secret, region_name=region))
    if echoes == "true":
        async with websockets.connect(client.generate_presigned_url(arn, session_id=session)) as socket:
            assert await socket.recv() == session
            await socket.send(b"#" * (64 * 1024 + 1))
            try:
                await socket.recv()
            except websockets.ConnectionClosedError as closed:
                assert closed.rcvd.code == 1009, closed
            else:
                raise AssertionError("a frame of more than 64 KiB went through")
    await shells(client, PresignedAuth(expires=60))
    await shells(client, "sigv4")
    print("all")


asyncio.run(asyncio.wait_for(main(), 120))
