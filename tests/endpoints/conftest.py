"""A small Batch API on the loopback interface with partial, expired and failed batches, which no mock server offers."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class BatchEndpoint:
    """Files and batches as OpenAI has them.

    Attributes:
        reply: from a question's JSON body to (status, body), or None: the question is left unanswered.
        state: from a batch's number (from 0) to the status it has; "completed" at once by default.
        refuse: what POST /v1/files answers, (status, body); None: it takes the file.
        files: id -> lines, as uploaded.
        batches: id -> the batch.
        live: the bodies of questions asked one at a time.
        stumbles: so many of the next looks at anything are answered with status 500.
    """

    def __init__(self, completion):
        self.reply = lambda _body: (200, completion("image anomaly score: 0.5."))
        self.state = lambda _number: "completed"
        self.refuse = None
        self.stumbles = 0
        self.files, self.batches, self.live = {}, {}, []
        self._results = {}
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/files":
                    self._send(*(endpoint.refuse or endpoint._take_file(data)))
                elif self.path == "/v1/batches":
                    self._send(200, endpoint._start(json.loads(data)))
                else:
                    endpoint.live.append(json.loads(data))
                    self._send(*endpoint.reply(endpoint.live[-1]))

            def do_GET(self):
                path = self.path.partition("?")[0]
                if endpoint.stumbles:
                    endpoint.stumbles -= 1
                    self._send(500, {"error": {"message": "oops"}})
                    return
                if path == "/v1/batches":
                    found = [endpoint._shown(one) for one in reversed(endpoint.batches)]
                    self._send(200, {"object": "list", "data": found, "has_more": False})
                elif path.startswith("/v1/batches/"):
                    name = path.rpartition("/")[2]
                    known = name in endpoint.batches
                    self._send(*((200, endpoint._shown(name)) if known else (404, {"error": {"message": "no batch"}})))
                else:
                    self._send(200, endpoint._results[path.split("/")[3]])

            def _send(self, status, body):
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def asked(self):
        """The keys of all questions in all batches, in order."""
        return [line["custom_id"] for batch in self.batches.values() for line in self.files[batch["input_file_id"]]]

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take_file(self, data):
        lines = [json.loads(line) for line in re.findall(rb'^\{"custom_id".*\}\r?$', data, re.MULTILINE)]
        with self._lock:
            name = f"file-{len(self.files)}"
            self.files[name] = lines
        return 200, {
            "id": name,
            "object": "file",
            "bytes": len(data),
            "created_at": 1,
            "filename": "b.jsonl",
            "purpose": "batch",
            "status": "processed",
        }

    def _start(self, body):
        with self._lock:
            name = f"batch_{len(self.batches)}"
            self.batches[name] = {"number": len(self.batches), **body}
        return self._shown(name)

    def _shown(self, name):
        batch = self.batches[name]
        state = self.state(batch["number"])
        lines = self.files[batch["input_file_id"]]
        shown = {
            "id": name,
            "object": "batch",
            "endpoint": batch["endpoint"],
            "input_file_id": batch["input_file_id"],
            "completion_window": "24h",
            "created_at": 1,
            "status": state,
            "metadata": batch["metadata"],
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
        }
        if state == "failed":
            shown["errors"] = {"object": "list", "data": [{"code": "bad", "message": "enqueued token limit reached"}]}
        if state in {"completed", "expired"}:
            answered, failed = self._answered(name, lines)
            shown |= {
                "output_file_id": f"{name}-out",
                "request_counts": {**shown["request_counts"], "completed": answered},
            }
            shown |= {"error_file_id": f"{name}-err"} if failed else {}
        return shown

    def _answered(self, name, lines):
        good, bad = [], []
        for line in lines:
            reply = self.reply(line["body"])
            if reply is None:
                error = {"code": "batch_expired", "message": "could not be done in time"}
                bad.append({"id": "r", "custom_id": line["custom_id"], "response": None, "error": error})
                continue
            status, body = reply
            response = {"status_code": status, "request_id": "r", "body": body}
            (good if status == 200 else bad).append({"id": "r", "custom_id": line["custom_id"], "response": response})
        for suffix, found in (("out", good), ("err", bad)):
            self._results[f"{name}-{suffix}"] = "".join(f"{json.dumps(one)}\n" for one in found).encode()
        return len(good), len(bad)


@pytest.fixture
def batches(completion):
    """A running ``BatchEndpoint``."""
    running = BatchEndpoint(completion)
    yield running
    running.close()
