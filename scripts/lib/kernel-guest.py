# Tries the tools in the machine that scripts/lib/kernel boots: a line for each row of the table, `ok` or `FAIL` first.
import http.client, json, os, platform, shutil, signal, subprocess, sys, threading, time

PATIENCE = 120
CLIENTS = 2
# Between the requests of one: a new worker has to start beside them, and within its 30 s.
PAUSE = 0.1
NGINX = """daemon off; pid none; error_log stderr; worker_processes 1; events { worker_connections 64; }
http { access_log off; server { listen 127.0.0.1:PORT; location / { return 200 $pid; } } }"""
failed = 0
wanted = " ".join(sys.argv[1:])


def say(ok, what, found):
    global failed
    failed += not ok
    print(f"{'ok  ' if ok else 'FAIL'} {what:<24} {found}", flush=True)


def row(what, test, *arguments):
    """A row of the table: what the test finds, or why it failed."""
    begin = time.monotonic()
    if wanted not in what:
        return
    try:
        found = test(*arguments)
        say(True, what, f"{found} ({time.monotonic() - begin:.1f} s)")
    except Exception as error:
        say(False, what, f"{type(error).__name__}: {error}".replace("\n", " | "))


def run(*words, **options):
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, **options)


def until(what, look):
    """The first true value that `look` finds: these machines are slow, and that is no failure."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"no {what} within {PATIENCE} s")


def get(port, timeout=PATIENCE):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


class Load:
    """Clients that ask, each with a new connection for each request; every miss is kept. They end with the `with`."""

    def __init__(self, port):
        self.port, self.asked, self.misses, self.over = port, 0, [], False
        self.threads = [threading.Thread(target=self.ask) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def ask(self):
        while not self.over:
            self.asked += 1
            try:
                get(self.port)
            except Exception as error:
                self.misses.append(f"{type(error).__name__}: {error}")
            time.sleep(PAUSE)

    def advance(self, requests):
        goal = self.asked + requests
        until("progress of the clients", lambda: self.asked >= goal)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over = True
        for thread in self.threads:
            thread.join()


class App:
    """A chain of the tools that runs in the background, with a home and a log of its own."""

    def __init__(self, name, *words, **variables):
        self.name, self.log = name, f"/tmp/{name}.log"
        self.env = os.environ | {"PM_HOME": f"/tmp/{name}.home"} | variables
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env=self.env, cwd="/opt")

    def workers(self):
        lines = [json.loads(line) for line in run("pm-stat", self.name, env=self.env).stdout.splitlines()]
        return {line["slot"]: line for line in lines if line.get("state") == "ready"}

    def serving(self, number):
        """So many workers, each ready as it listens, and none on its way out."""

        def look():
            lines = [json.loads(line) for line in run("pm-stat", self.name, env=self.env).stdout.splitlines()]
            all_well = all(line.get("state") == "ready" and line.get("listen") for line in lines)
            return all_well and len(lines) == number and {line["slot"]: line["pid"] for line in lines}

        try:
            return until(f"{number} workers that listen", look)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.said()}")

    def roll(self):
        # Not to our terminal: it would draw its progress between the rows.
        words = ("pm-stat", "--wait", "rolled", "--timeout", f"{2 * PATIENCE}s", self.name)
        waiting = subprocess.Popen(words, env=self.env, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        self.process.send_signal(signal.SIGHUP)
        heard = waiting.communicate()[1]
        if waiting.returncode != 0:
            raise RuntimeError(f"the reload failed: {heard}: {self.said()}")

    def said(self):
        with open(self.log) as log:
            return log.read()[-1000:]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        if code != 0:
            raise RuntimeError(f"exit code {code} of a stop: {self.said()}")


def probe():
    done = run("pm-cluster", "--probe")
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) != 6 or not all(" yes (" in line for line in lines[:4] + lines[5:]):
        raise RuntimeError(done.stdout + done.stderr)
    return f"all yes, {lines[4].split(None, 2)[2]}"


def server(name, port, *words):
    """Two workers serve; one is killed; two rolls under load lose nothing."""
    options = ("--soak", "100ms", "--ready-timeout", f"{PATIENCE}s")
    app = App(name, "pm-cluster", "-n", "2", *options, "--name", name, *words, PORT=str(port))
    try:
        first = app.serving(2)
        with Load(port) as killed:
            killed.advance(10)
            os.kill(first[0], signal.SIGKILL)
            until("a successor", lambda: app.workers().get(0, {}).get("pid") not in (None, first[0]))
            app.serving(2)
            killed.advance(10)
        if len(killed.misses) > CLIENTS:
            raise RuntimeError(f"{len(killed.misses)} of {killed.asked} lost by one kill: {killed.misses}")
        with Load(port) as rolled:
            rolled.advance(10)
            for _ in range(2):
                app.roll()
                app.serving(2)
                rolled.advance(10)
        if rolled.misses:
            raise RuntimeError(f"{len(rolled.misses)} of {rolled.asked} lost in two rolls: {rolled.misses}: {app.said()}")
        app.stop()
        return f"kill -9 lost {len(killed.misses)} of {killed.asked}, two rolls 0 of {rolled.asked}"
    finally:
        app.process.kill()


GROWS = """
import time
kept = []
while True:
    kept.append(b"x" * (8 << 20))
    time.sleep(0.3)
"""


def max_mem():
    app = App("fat", "pm-restart", "--max-mem", "64M", "pm-cluster", "-n", "1", "--name", "fat", "/usr/bin/python3", "-c", GROWS)
    try:
        until("replacement", lambda: "memory" in app.said())
        line = next(line for line in app.said().splitlines() if "memory" in line)
        app.stop()
        return line
    finally:
        app.process.kill()


def out_of_memory():
    """The kernel kills a worker of a control group that is full, and that is said."""
    unit = ("systemd-run", "--unit=oom", "-p", "MemoryMax=120M", "-p", "MemorySwapMax=0", "-p", "OOMPolicy=continue",
            "-p", "StandardError=file:/tmp/oom.log", "-E", "PM_HOME=/tmp/oom.home")
    done = run(*unit, "pm-cluster", "-n", "1", "--name", "oom", "/usr/bin/python3", "-c", GROWS)
    if done.returncode:
        raise RuntimeError(done.stderr)
    try:
        def look():
            with open("/tmp/oom.log") as log:
                return [line.strip() for line in log if "worker ended" in line]
        line = until("a killed worker", look)[0]
        if "why=oom" not in line:
            raise RuntimeError(f"not called that: {line}")
        lines = run("pm-stat", "oom", env=os.environ | {"PM_HOME": "/tmp/oom.home"}).stdout
        if '"why":"oom"' not in lines.replace(" ", ""):
            raise RuntimeError(f"not in the status: {lines}")
        return line
    finally:
        run("systemctl", "stop", "oom")


def unit():
    """The README's unit; if it fails, with its last words."""
    try:
        return served()
    except Exception as error:
        journal = run("journalctl", "--no-pager", "-n", "40", "-o", "short-monotonic", "-u", "app").stdout
        raise RuntimeError(f"{error}: {journal}")


def served():
    """Started, reloaded under load, stopped."""
    shown = lambda what: run("systemctl", "show", "-P", what, "app").stdout.strip()
    started = run("systemctl", "start", "app")
    if started.returncode:
        raise RuntimeError(started.stderr)
    before = shown("MainPID")
    with Load(3000) as load:
        load.advance(20)
        for _ in range(2):
            old = {get(3000) for _ in range(8)}
            done = run("systemctl", "reload", "app")
            if done.returncode or get(3000) in old:
                raise RuntimeError(f"the reload ended with {done.returncode}, old: {old}: {done.stderr}")
            load.advance(20)
    if load.misses or shown("MainPID") != before:
        raise RuntimeError(f"{len(load.misses)} of {load.asked} lost: {load.misses}")
    text = shown("StatusText")
    run("systemctl", "stop", "app")
    if shown("Result") != "success":
        raise RuntimeError(run("systemctl", "status", "--no-pager", "app").stdout)
    return f"two reloads lost 0 of {load.asked}; {text!r}; stopped"


def hardened():
    os.makedirs("/etc/systemd/system/app.service.d")
    shutil.copy("/opt/hardening.conf", "/etc/systemd/system/app.service.d/")
    run("systemctl", "daemon-reload")
    return unit()


def main():
    os.environ["PATH"] = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    print(f"Linux {platform.release()}, {time.clock_gettime(time.CLOCK_BOOTTIME):.0f} s after the boot", flush=True)
    with open("/tmp/nginx.conf", "w") as conf:
        conf.write(NGINX.replace("PORT", "8004"))
    row("pm-cluster --probe", probe)
    row("static Rust", server, "rust", 8001, "/opt/rust-server")
    row("python http.server", server, "python", 8002, "/usr/bin/python3", "/opt/server.py")
    row("gunicorn", server, "gunicorn", 8003, "/usr/bin/gunicorn", "-b", "127.0.0.1:8003", "wsgi:app")
    row("nginx", server, "nginx", 8004, "/usr/sbin/nginx", "-e", "stderr", "-c", "/tmp/nginx.conf")
    row("node", server, "node", 8005, "/usr/bin/node", "/srv/app/app.js")
    row("--max-mem", max_mem)
    row("kernel's OOM killer", out_of_memory)
    row("the README's unit", unit)
    row("the unit, hardened", hardened)
    print(f"end: {failed} failed", flush=True)


main()
