"""A model of Strands' that thinks for as many seconds as it is told to, and asks nobody."""

import asyncio
import re

from strands.models import Model


class Stub(Model):
    def update_config(self, **config):
        pass

    def get_config(self):
        return {}

    async def structured_output(self, *args, **kwargs):
        raise NotImplementedError
        yield

    async def stream(self, messages, *args, **kwargs):
        words = [m for m in messages if m["role"] == "user"]
        if seconds := re.search(r"for (\d+) seconds", words[-1]["content"][0]["text"]):
            await asyncio.sleep(int(seconds[1]))
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockStart": {"start": {}}}
        yield {"contentBlockDelta": {"delta": {"text": f"heard {len(words)}"}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}
