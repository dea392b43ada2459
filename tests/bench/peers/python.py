# A broadcast server on python3-websockets, with its broadcast(): sends each
# message to all clients.
import asyncio
import sys

import websockets

clients = set()


async def serve(client):
    clients.add(client)
    try:
        async for message in client:
            websockets.broadcast(clients, message)
    finally:
        clients.discard(client)


async def main():
    async with websockets.serve(serve, "127.0.0.1", 0, compression=None,
                                ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"listening on 127.0.0.1:{port}", file=sys.stderr, flush=True)
        await asyncio.Future()


asyncio.run(main())
