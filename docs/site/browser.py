"""A headless Chromium, driven over the pipe of its DevTools protocol."""

import json
import os
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")


class Browser:
    def __init__(self):
        program = next(filter(None, map(shutil.which, NAMES)))
        self.profile = tempfile.mkdtemp(prefix="consul-lock-site-")
        to_us, from_it = os.pipe()
        from_us, to_it = os.pipe()

        def wire():
            # The protocol speaks on the descriptors 3 and 4.
            ends = os.dup(from_us), os.dup(from_it)
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)
            os.closerange(5, 64)

        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--remote-debugging-pipe", f"--user-data-dir={self.profile}", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
             "--allow-file-access-from-files", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
            close_fds=False, preexec_fn=wire, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(from_us)
        os.close(from_it)
        self.reader, self.writer = os.fdopen(to_us, "rb", 0), os.fdopen(to_it, "wb", 0)
        self.rest, self.number, self.events = b"", 0, []
        target = self.call("Target.createTarget", url="about:blank", session=None)["targetId"]
        self.session = None
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def receive(self):
        while b"\0" not in self.rest:
            more = self.reader.read(1 << 20)
            if not more:
                raise RuntimeError("the browser ended")
            self.rest += more
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def call(self, method, session="", **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session == "" and getattr(self, "session", None):
            message["sessionId"] = self.session
        self.writer.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def open(self, url):
        """Opens a page and waits until it is loaded; answers what happened meanwhile."""
        # about:blank first: another anchor of the same page would not be loaded again.
        self.call("Page.navigate", url="about:blank")
        self.events = []
        loader = self.call("Page.navigate", url=url).get("loaderId")
        return self.until(lambda it: it["method"] == "Page.lifecycleEvent"
                          and it["params"]["name"] == "load" and it["params"]["loaderId"] == loader)

    def until(self, wanted):
        deadline = time.monotonic() + 20
        seen = self.events
        at = 0
        while True:
            while at < len(seen):
                at += 1
                if wanted(seen[at - 1]):
                    return seen
            if time.monotonic() > deadline:
                raise RuntimeError("the page was not loaded within 20 s")
            seen.append(self.receive())

    def run(self, script):
        """The value of a piece of JavaScript; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"])[:500])
        return result["result"].get("value")

    def width(self, width, height=900, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def picture(self, file, whole=False):
        import base64
        more = {"captureBeyondViewport": True} if whole else {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            more["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 2200), "scale": 1}
        with open(file, "wb") as out:
            out.write(base64.b64decode(self.call("Page.captureScreenshot", format="png", **more)["data"]))

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)
