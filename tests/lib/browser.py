#!/usr/bin/env python3
"""Looks at a page with a headless Chromium and prints what it found as JSON.

    browser.py URL WIDTH HEIGHT [--mobile] [--dark] [--png FILE] [--again]

With --again it waits until the page has come anew by itself.

title, text (as a person sees it), requests (every URL that was asked for),
messages (of the console), width (of the window), content (how wide the page
would be: more than width means that it scrolls sideways), wide (which
elements stick out), small (links and text that a finger or an eye misses).
"""
import argparse
import base64
import json
import os
import shutil
import subprocess
import tempfile

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
    --disable-background-networking --disable-component-update --disable-sync
    --disable-dev-shm-usage --disable-extensions --hide-scrollbars
    --remote-debugging-pipe""".split()

LOOK = """(() => {
    const width = document.documentElement.clientWidth;
    const name = e => e.tagName + ' ' + (e.textContent || '').slice(0, 40);
    const all = [...document.body.querySelectorAll('*')];
    // what scrolls by itself is no reason for the page to
    const inside = e => !e.closest('.scroll') || e.matches('.scroll');
    return {
        title: document.title,
        text: document.body.innerText,
        width: width,
        content: document.documentElement.scrollWidth,
        wide: all.filter(e => inside(e) &&
            e.getBoundingClientRect().right > width + 1).map(name),
        tables: [...document.querySelectorAll('.scroll')].map(
            e => e.scrollWidth - e.clientWidth),
        small: all.filter(e => e.innerText && e.children.length == 0 &&
            parseFloat(getComputedStyle(e).fontSize) < 11).map(name),
    };
})()"""


class Browser:
    """Chromium over its debugging pipe: JSON messages, each ended by a NUL."""

    def __init__(self, profile):
        commands, self.out = os.pipe()
        self.into, answers = os.pipe()

        def descriptors():
            # both first out of the way of 3 and 4
            a, b = os.dup(commands), os.dup(answers)
            os.dup2(a, 3)
            os.dup2(b, 4)

        # the one without windows needs half of the packages
        program = shutil.which("chromium-headless-shell") or "chromium"
        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=descriptors, close_fds=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.close(commands)
        os.close(answers)
        self.number = 0
        self.buffer = b""
        self.events = []
        self.session = None

    def read(self):
        while b"\0" not in self.buffer:
            data = os.read(self.into, 1 << 20)
            if not data:
                raise SystemExit("browser.py: the browser has ended")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **params):
        self.number += 1
        request = {"id": self.number, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.out, json.dumps(request).encode() + b"\0")
        while True:
            message = self.read()
            if message.get("id") == self.number:
                if "error" in message:
                    raise SystemExit(f"browser.py: {method}: {message}")
                return message["result"]
            self.events.append(message)

    def wait(self, method):
        while not any(e.get("method") == method for e in self.events):
            self.events.append(self.read())

    def params(self, method):
        return [e["params"] for e in self.events if e.get("method") == method]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("width", type=int)
    parser.add_argument("height", type=int)
    parser.add_argument("--mobile", action="store_true")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--png")
    parser.add_argument("--again", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        target = browser.call("Target.createTarget", url="about:blank")
        browser.session = browser.call(
            "Target.attachToTarget", targetId=target["targetId"],
            flatten=True)["sessionId"]
        for domain in "Page", "Network", "Log", "Runtime":
            browser.call(f"{domain}.enable")
        browser.call("Emulation.setDeviceMetricsOverride", width=args.width,
                     height=args.height, mobile=args.mobile,
                     deviceScaleFactor=2 if args.mobile else 1)
        browser.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme",
             "value": "dark" if args.dark else "light"}])
        browser.events.clear()
        browser.call("Page.navigate", url=args.url)
        browser.wait("Page.loadEventFired")
        if args.again:
            browser.events = [e for e in browser.events
                              if e.get("method") != "Page.loadEventFired"]
            browser.wait("Page.loadEventFired")
        found = browser.call("Runtime.evaluate", expression=LOOK,
                             returnByValue=True)["result"]["value"]
        found["requests"] = [p["request"]["url"] for p in
                             browser.params("Network.requestWillBeSent")]
        found["messages"] = [p["entry"]["text"] for p in
                             browser.params("Log.entryAdded")]
        if args.png:
            shot = browser.call("Page.captureScreenshot",
                                captureBeyondViewport=True)
            with open(args.png, "wb") as file:
                file.write(base64.b64decode(shot["data"]))
        browser.session = None
        browser.call("Browser.close")
        browser.process.wait(20)
    print(json.dumps(found, indent=1))


main()
