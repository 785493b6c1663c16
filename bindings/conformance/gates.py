"""Gates: proxies before Consul that can be shut, for scenarios in which the network falls silent.

`run` keeps them, and the program `operator` controls them at the address CONFORMANCE_GATES. A shut gate accepts
connections and bytes, and passes nothing on in either direction. When it opens again, it passes on all that it kept.
"""

import asyncio
import threading


class Gates:
    """Obeys requests of one line: `new UPSTREAM` answers the address of a new gate, `shut ADDRESS` and
    `open ADDRESS` answer ok."""

    def __init__(self):
        self.gates = {}  # address: asyncio.Event, set while it is open
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        self.address = asyncio.run_coroutine_threadsafe(listen(self.obey), loop).result()

    async def obey(self, reader, writer):
        word, address = (await reader.readline()).decode().split()
        answer = "ok"
        if word == "new":
            is_open = asyncio.Event()
            is_open.set()
            answer = await listen(lambda *ends: relay(address, is_open, *ends))
            self.gates[answer] = is_open
        elif address not in self.gates:
            answer = f"there is no gate {address}"
        elif word == "shut":
            self.gates[address].clear()
        else:
            self.gates[address].set()
        writer.write(f"{answer}\n".encode())
        writer.close()


async def listen(serve):
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    return f"{host}:{port}"


async def relay(upstream, is_open, reader, writer):
    await is_open.wait()
    host, _, port = upstream.rpartition(":")
    try:
        answers, requests = await asyncio.open_connection(host, int(port))
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(reader, requests, is_open), pump(answers, writer, is_open))


async def pump(source, sink, is_open):
    try:
        while data := await source.read(65536):
            await is_open.wait()
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()
