#!/usr/bin/env python3
"""kubeapi.py - as much of a Kubernetes API server as kubectl asks for to list
pods and to run commands in them, over HTTP on the loopback address.

	kubeapi.py CLUSTER PORTFILE

CLUSTER is a JSON file, read at every request: a list of pods {"namespace",
"name", "node", "ip", "labels", "exec": [ARG...]}; what has "spec" is a node
{"name", "spec"}, whose spec can be patched while the server runs. A command in a pod is run
behind the words of its exec, and its word masqbpf stands for $MASQBPF; a pod
without exec cannot be reached. The port is written to PORTFILE.

exec speaks what kubectl 1.31 and newer speak first: WebSocket with subprotocol
v5.channel.k8s.io, frames with a channel's number in front (0 stdin, 1 stdout,
2 stderr, 3 the status at the end, 255 the end of a channel).
"""
import base64
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CLUSTER, PORTFILE = sys.argv[1:]
PROTOCOL = "v5.channel.k8s.io"
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255


def resource(name, kind, namespaced, verbs):
    return {"name": name, "kind": kind, "singularName": name.rstrip("s"),
            "namespaced": namespaced, "verbs": verbs}


FIXED = {
    "/version": {"major": "1", "minor": "31", "gitVersion": "v1.31.9"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [{
        "name": "apps", "versions": [{"groupVersion": "apps/v1",
                                      "version": "v1"}],
        "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}}]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [
        resource("pods", "Pod", True, ["get", "list"]),
        resource("nodes", "Node", False, ["get", "patch"]),
        resource("configmaps", "ConfigMap", True, ["get", "create"])]},
    "/apis/apps/v1": {
        "kind": "APIResourceList", "groupVersion": "apps/v1", "resources": [
            resource("daemonsets", "DaemonSet", True, ["get", "create"])]},
}


def pod_object(pod):
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod["name"], "namespace": pod["namespace"],
                     "labels": pod.get("labels", {})},
        "spec": {"nodeName": pod["node"],
                 "containers": [{"name": "masqbpf"}]},
        "status": {"phase": "Running", "podIP": pod.get("ip", ""),
                   "podIPs": [{"ip": pod.get("ip", "")}]},
    }


def field(pod, name):
    return {"spec.nodeName": pod["node"], "status.podIP": pod.get("ip", ""),
            "status.phase": "Running",
            "metadata.name": pod["name"]}[name]


def selected(pod, query):
    """labelSelector and fieldSelector: equalities, joined by commas"""
    for key, look in (("labelSelector", lambda n: pod.get("labels", {}).get(n)),
                      ("fieldSelector", lambda n: field(pod, n))):
        for term in filter(None, query.get(key, [""])[0].split(",")):
            name, value = re.split("==?", term)
            if look(name) != value:
                return False
    return True


specs = {}  # of nodes, as they were patched


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, value, code=200):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail(self, code, reason, text):
        self.answer({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                     "reason": reason, "message": text, "code": code}, code)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        with open(CLUSTER, encoding="utf-8") as file:
            things = json.load(file)
        pods = [t for t in things if "spec" not in t]
        if url.path in FIXED:
            return self.answer(FIXED[url.path])
        match = re.fullmatch(r"/api/v1/nodes/([^/]+)", url.path)
        if match:
            return self.node(match[1], things)
        match = re.fullmatch(r"/api/v1/namespaces/([^/]+)", url.path)
        if match:  # which is there because something is asked for in it
            return self.answer({"kind": "Namespace", "apiVersion": "v1",
                                "metadata": {"name": match[1]}})
        match = re.fullmatch(r"/api/v1(?:/namespaces/([^/]+))?/pods"
                             r"(?:/([^/]+)(/exec)?)?", url.path)
        if not match:
            return self.fail(404, "NotFound", f"no {url.path} here")
        namespace, name, run = match.groups()
        pods = [p for p in pods if namespace in (None, p["namespace"])]
        if name is None:
            items = [pod_object(p) for p in pods if selected(p, query)]
            return self.answer({"kind": "PodList", "apiVersion": "v1",
                                "metadata": {}, "items": items})
        pods = [p for p in pods if p["name"] == name]
        if not pods:
            return self.fail(404, "NotFound", f'pods "{name}" not found')
        if not run:
            return self.answer(pod_object(pods[0]))
        if "exec" not in pods[0]:
            return self.fail(500, "InternalError",
                             f"error dialing backend: {pods[0]['node']}")
        return self.exec(pods[0], query)

    def node(self, name, things, patch=None):
        for thing in things:
            if thing["name"] == name and "spec" in thing:
                spec = specs.setdefault(name, thing["spec"])
                # lists of a node's spec are replaced as a whole
                spec.update((patch or {}).get("spec", {}))
                return self.answer({
                    "kind": "Node", "apiVersion": "v1",
                    "metadata": {"name": name},
                    "spec": {k: v for k, v in spec.items() if v is not None}})
        return self.fail(404, "NotFound", f'nodes "{name}" not found')

    def do_PATCH(self):
        size = int(self.headers.get("Content-Length", 0))
        patch = json.loads(self.rfile.read(size))
        with open(CLUSTER, encoding="utf-8") as file:
            things = json.load(file)
        match = re.fullmatch(r"/api/v1/nodes/([^/?]+)(\?.*)?", self.path)
        if not match:
            return self.fail(404, "NotFound", f"no {self.path} here")
        return self.node(match[1], things, patch)

    # SPDY, which kubectl tries when WebSocket was refused: refused alike
    def do_POST(self):
        self.headers["Sec-WebSocket-Protocol"] = ""
        self.do_GET()

    # --- exec ---------------------------------------------------------------

    def exec(self, pod, query):
        if PROTOCOL not in self.headers.get("Sec-WebSocket-Protocol", ""):
            return self.fail(400, "BadRequest", f"not {PROTOCOL}")
        key = self.headers["Sec-WebSocket-Key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept.decode())
        self.send_header("Sec-WebSocket-Protocol", PROTOCOL)
        self.end_headers()
        self.close_connection = True
        self.lock = threading.Lock()
        words = [os.environ["MASQBPF"] if word == "masqbpf" else word
                 for word in query["command"]]
        stdin = query.get("stdin") == ["true"]
        job = subprocess.Popen(  # not "with": that would flush stdin
            pod["exec"] + words, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, bufsize=0,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL)
        threads = [threading.Thread(target=self.pump, args=pair)
                   for pair in ((job.stdout, STDOUT), (job.stderr, STDERR))]
        for thread in threads:
            thread.start()
        threading.Thread(target=self.receive, args=(job,), daemon=True).start()
        for thread in threads:
            thread.join()
        status = job.wait()
        result = {"metadata": {}, "status": "Success"}
        if status:
            result = {
                "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
                "message": f"command terminated with exit code {status}",
                "details": {"causes": [{"reason": "ExitCode",
                                        "message": str(status)}]}}
        self.send(STATUS, json.dumps(result).encode())
        self.frame(8, struct.pack(">H", 1000))
        return None

    def pump(self, pipe, channel):
        while data := pipe.read(65536):
            self.send(channel, data)
        pipe.close()

    def send(self, channel, data):
        self.frame(2, bytes([channel]) + data)

    def frame(self, opcode, data):
        head = bytes([0x80 | opcode])
        if len(data) < 126:
            head += bytes([len(data)])
        elif len(data) < 65536:
            head += struct.pack(">BH", 126, len(data))
        else:
            head += struct.pack(">BQ", 127, len(data))
        with self.lock:
            try:
                self.wfile.write(head + data)
            except OSError:
                pass

    def receive(self, job):
        """stdin, and the end of the client, which ends the command"""
        try:
            while True:
                head = self.rfile.read(2)
                if len(head) < 2 or head[0] & 15 == 8:
                    break
                size = head[1] & 127
                if size > 125:
                    more = 2 if size == 126 else 8
                    size = int.from_bytes(self.rfile.read(more), "big")
                mask = self.rfile.read(4)
                data = bytes(byte ^ mask[i % 4] for i, byte in
                             enumerate(self.rfile.read(size)))
                if head[0] & 15 == 9:
                    self.frame(10, data)
                elif data[:1] == bytes([STDIN]) and job.stdin:
                    job.stdin.write(data[1:])
                elif data[:2] == bytes([CLOSE, STDIN]) and job.stdin:
                    job.stdin.close()
        except (OSError, ValueError):
            pass
        if job.poll() is None:
            job.kill()


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
with open(PORTFILE + ".new", "w", encoding="ascii") as out:
    out.write(str(server.server_port))
os.rename(PORTFILE + ".new", PORTFILE)
server.serve_forever()
