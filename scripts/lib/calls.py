# Prints how long bind and listen take here, in microseconds, as JSON; nothing else is timed.
import json, socket, time


def micros(call, *args):
    begin = time.perf_counter()
    call(*args)
    return (time.perf_counter() - begin) * 1e6


def free():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


times = {"TCP bind": [], "TCP listen": [], "UDP bind": []}
kept = []
for port in [free() for _ in range(30)]:
    kept.append(socket.socket())
    times["TCP bind"].append(micros(kept[-1].bind, ("127.0.0.1", port)))
    times["TCP listen"].append(micros(kept[-1].listen, 100))
    kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    times["UDP bind"].append(micros(kept[-1].bind, ("127.0.0.1", port)))
print(json.dumps(times), flush=True)
