"""Stands in for the program ``vllm`` where vLLM is not installed: the same arguments, log lines and HTTP, recorded.

    vllm serve FOLDER --port N --served-model-name NAME ...

A real process with a real child, as vLLM has its engine in one, and with shared memory. The variable SCRIPTED_VLLM
says what happens: "" it serves; "unknown", "core", "usage" it ends at the start with the log of vLLM 0.32; "killed" it
is killed at the start; "stuck" it never answers; "slow" a question takes a minute, for which it waits when it is to
end; "dies" it ends at the second question; "cuts" its answers end before the limit. What it was given lies in the file
``seen.jsonl`` of the model's folder. Standard library only.
"""

import http.server
import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

HEAD = "\x1b[0;36m(APIServer pid=7)\x1b[0;0m "
LOGS = {
    "unknown": (
        "Traceback (most recent call last):\n"
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
        "  Value error, The checkpoint you are trying to load has model type `qwen9_vl` but Transformers does not "
        "recognize this architecture. This could be because of an issue with the checkpoint.\n"
        "\n"
        "    For further information visit https://errors.pydantic.dev/2.14/v/value_error\n"
    ),
    "core": (
        "(EngineCore pid=9) ERROR 11-29 11:27:40 [core.py:1201] Traceback (most recent call last):\n"
        "(EngineCore pid=9) ERROR 11-29 11:27:40 [core.py:1201] ValueError: Free memory on device cuda:0 (9.1/22.0 GiB)"
        " on startup is less than desired GPU memory utilization (0.92, 20.2 GiB).\n"
        f"{HEAD}RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}\n"
    ),
    "usage": "usage: vllm serve [model_tag] [options]\nvllm serve: error: unrecognized arguments: --no-such-thing\n",
}
RECORDED = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "", "refusal": None, "tool_calls": [], "reasoning": None},
            "logprobs": None,
            "finish_reason": "stop",
            "stop_reason": None,
        }
    ],
    "usage": {"prompt_tokens": 52, "total_tokens": 64, "completion_tokens": 12, "prompt_tokens_details": None},
}


def write(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def option(name):
    return sys.argv[sys.argv.index(name) + 1]


def see(**facts):
    with Path(sys.argv[2], "seen.jsonl").open("a") as file:
        file.write(json.dumps(facts) + "\n")


class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self):
        self.reply(200 if self.path == "/health" else 404, b"")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
            return self.reply(401, b'{"error": "Unauthorized"}')
        see(body=body)
        Handler.asked += 1
        mode = os.environ.get("SCRIPTED_VLLM")
        if mode == "dies" and Handler.asked == 3:
            write("(EngineCore pid=9) ERROR 11-29 11:27:40 [core.py:1201] torch.OutOfMemoryError: CUDA out of memory.")
            os._exit(1)
        if mode == "slow" and Handler.asked > 1:
            time.sleep(60)
        answer = json.loads(json.dumps(RECORDED))
        answer["model"] = body["model"]
        answer["choices"][0]["message"]["content"] = "image anomaly score: 0.4; region 1: 0.4."
        answer["choices"][0]["finish_reason"] = "length" if mode == "cuts" else "stop"
        return self.reply(200, json.dumps(answer).encode())

    def reply(self, status, content):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def main():
    mode = os.environ.get("SCRIPTED_VLLM", "")
    engine = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)", "scripted engine"])
    memory = SharedMemory(create=True, size=4096)
    pids = [os.getpid(), engine.pid]
    see(arguments=sys.argv[1:], environment=dict(os.environ), pids=pids, memory=f"/dev/shm/{memory.name}")
    write(f"{HEAD}INFO 11-29 11:27:40 [model.py:12] Loading \x1b[1mweights\x1b[0m\r\n")
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode in LOGS:
        write(LOGS[mode])
        sys.exit(2 if mode == "usage" else 1)
    if mode == "stuck":
        # At some moments of its start vLLM takes no notice of SIGTERM.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    # As vLLM does: SIGTERM ends the engine, and the server when its last answer is sent.
    signal.signal(signal.SIGTERM, lambda *_: (engine.kill(), None if mode == "slow" else os._exit(0)))
    http.server.ThreadingHTTPServer(("127.0.0.1", int(option("--port"))), Handler).serve_forever()


if __name__ == "__main__":
    main()
