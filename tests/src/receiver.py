"""A server that takes alerts as falcosidekick does: receiver.py LOG MODE PORT [CERTIFICATE KEY CLIENTS_CA]

LOG gets a line for each alert that was taken, and `refused WHY` for each that falcosidekick would not take. The file MODE
says what to do: `ok`, `busy` (503), `slow` (no answer within a minute).
"""

import http.server
import json
import re
import ssl
import sys
import time

log, mode, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
PRIORITIES = "emergency alert critical error warning notice informational debug".split()


def wrong(text):
    """Why falcosidekick would not take an alert, if it would not."""
    alert = json.loads(text)
    fields = alert["output_fields"]
    if alert["priority"].lower() not in PRIORITIES:
        return "priority"
    if not alert["rule"] or not fields or not isinstance(fields, dict):
        return "rule or output_fields"
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", alert["time"]):
        return "time"
    if any(not isinstance(fields.get(f), (str, type(None))) for f in ("k8s.ns.name", "k8s.pod.name")):
        return "k8s"
    if not re.match(r"\S+: %s " % alert["priority"], alert["output"]):
        return "output"
    if not all(isinstance(alert[f], str) for f in ("source", "hostname")) or not isinstance(alert["tags"], list):
        return "source, hostname or tags"
    return None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        how = open(mode).read().strip()
        code = 200
        if how == "slow":
            time.sleep(60)
        if how != "ok":
            code = 503
        elif self.headers["Content-Type"] != "application/json" or self.path != "/":
            code, body = 404, "refused path or type"
        else:
            why = wrong(body)
            if why:
                code, body = 400, "refused " + why + ": " + body
        if how == "ok":
            with open(log, "a") as file:
                file.write(body + "\n")
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True

    def handle_error(self, *_):
        """Clients that are not believed, or have given up."""


server = Server(("127.0.0.1", port), Handler)
if len(sys.argv) > 4:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4], sys.argv[5])
    context.load_verify_locations(sys.argv[6])
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print("ready", flush=True)
server.serve_forever()
