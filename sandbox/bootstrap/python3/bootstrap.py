"""Waits in a warm container until it hears which function it becomes, loads its handler, and serves it.

Speaks the AWS Lambda Runtime API over one connection, and GET /wharf/assignment before that. Started with the API's address, or
none for the usual one. Python 3.9 and later.
"""

import _socket
import gc
import importlib
import json
import linecache  # noqa: F401  of traceback, which a handler that raises would wait for
import os
import sys
import time
import traceback

# What nearly every handler needs and imports slowly, as far as a warm container may weigh: urllib.request has http.client, ssl,
# socket, hashlib, base64, random, tempfile and re behind it and takes most of the time; the rest is cheap. Left out for its
# weight: asyncio, dataclasses.
import datetime  # noqa: F401
import decimal
import logging
import typing  # noqa: F401
import urllib.request  # noqa: F401
import uuid  # noqa: F401

PATHS = "/2018-06-01/runtime/"
DEFAULT_API = "127.0.0.1:9001"
CHUNK = 65536


class Api:
    """One HTTP/1.1 connection to the runtime API. Its server always sends Content-Length."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.address = (host.strip("[]"), int(port))
        self.family = _socket.AF_INET6 if ":" in host else _socket.AF_INET
        self.host = address.encode()
        self.socket = None
        self.rest = b""

    def get(self, path):
        return self.request(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path.encode(), self.host))

    def post(self, path, body, headers=()):
        extra = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1", "replace")
        head = b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
        return self.request(head % (path.encode(), self.host, extra, len(body)) + body)

    def request(self, request):
        """Sends it, and returns status, headers (small letters) and body."""
        if self.socket is not None:
            try:
                self.socket.sendall(request)
                return self.response()
            except OSError:
                # A connection that was kept may be closed at any time; what was answered twice is refused.
                self.socket.close()
                self.socket = None
        self.connect()
        self.socket.sendall(request)
        return self.response()

    def connect(self):
        self.rest = b""
        self.socket = _socket.socket(self.family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        self.socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self.socket.connect(self.address)

    def response(self):
        received = self.rest
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self.receive()
        lines = received[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        body = received[end + 4 :]
        if len(body) < length:
            body = bytearray(body)
            while len(body) < length:
                body += self.receive()
        self.rest = bytes(body[length:])
        return int(lines[0][9:12]), headers, bytes(body[:length])

    def receive(self):
        received = self.socket.recv(CHUNK)
        if not received:
            raise ConnectionResetError("the runtime API closed the connection")
        return received


class Unloadable(Exception):
    """Why there is no handler."""

    def __init__(self, error_type, message, trace=()):
        super().__init__(message)
        self.report = report(error_type, message, trace)


class Identity:
    """Of a caller; there is none."""

    cognito_identity_id = None
    cognito_identity_pool_id = None


class Context:
    """What a handler can ask about its invocation."""

    def __init__(self, headers):
        variable = os.environ.get
        self.aws_request_id = headers.get("lambda-runtime-aws-request-id")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.function_name = variable("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = variable("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = variable("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = variable("AWS_LAMBDA_LOG_STREAM_NAME")
        self.client_context = None
        self.identity = Identity()
        self.tenant_id = None
        self._deadline_ms = int(headers.get("lambda-runtime-deadline-ms", 0))

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def log(self, message):
        sys.stdout.write(str(message))

    def __repr__(self):
        return f"LambdaContext({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def report(error_type, message, trace=()):
    return {"errorMessage": message, "errorType": error_type, "stackTrace": list(trace)}


def report_exception(error):
    """An exception's report; our own frames are nobody's business."""
    frames = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in frames if frame.filename != __file__ and "importlib._bootstrap" not in frame.filename]
    return report(type(error).__name__, str(error), traceback.format_list(frames))


def show(failure, request_id=None):
    """Writes a report to the log as well."""
    lines = [f"[ERROR] {failure['errorType']}: {failure['errorMessage']}\n"]
    if request_id:
        lines[0] = f"[ERROR] {request_id} {lines[0][8:]}"
    if failure["stackTrace"]:
        lines.append("Traceback (most recent call last):\n")
        lines += failure["stackTrace"]
    sys.stderr.write("".join(lines))
    flush()


def flush():
    """Lines that a handler wrote are there before its answer."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            # The handler has closed or replaced it.
            pass


def become(assignment):
    """Takes over a function's variables, paths, and command if it has one."""
    os.environ.clear()
    os.environ.update(assignment["environment"])
    time.tzset()
    root = assignment["task_root"]
    os.chdir(root)
    if command := assignment["command"]:
        try:
            os.execvpe(command[0], command, os.environ)
        except (OSError, ValueError) as error:
            message = f"{command[0]}: {getattr(error, 'strerror', None) or error}"
            raise Unloadable("Runtime.InvalidEntrypoint", message) from None
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path]
    sys.path[:0] = [root, *paths]
    importlib.invalidate_caches()


def load(handler, root):
    """The function that `module.function` names; slashes may stand for dots."""
    name, dot, attribute = handler.rpartition(".")
    if not dot:
        raise Unloadable(
            "Runtime.MalformedHandlerName",
            f"Bad handler '{handler}': not enough values to unpack (expected 2, got 1)",
        )
    name = name.replace("/", ".")
    if name in sys.builtin_module_names:
        raise Unloadable(
            "Runtime.BuiltInModuleConflict",
            f"Cannot use built-in module {name} as a handler module",
        )
    uncover(name.partition(".")[0], root)
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        trace = report_exception(error)["stackTrace"]
        raise Unloadable("Runtime.ImportModuleError", f"Unable to import module '{name}': {error}", trace) from None
    except SyntaxError as error:
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {error.text or ""}']
        raise Unloadable("Runtime.UserCodeSyntaxError", f"Syntax error in module '{name}': {error}", trace) from None
    except Exception as error:
        failure = report_exception(error)
        raise Unloadable(*failure_parts(failure)) from None
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise Unloadable(
            "Runtime.HandlerNotFound", f"Handler '{attribute}' missing on module '{name}'"
        ) from None


def failure_parts(failure):
    return failure["errorType"], failure["errorMessage"], failure["stackTrace"]


def uncover(name, root):
    """A module of the function goes before one of the same name that we have imported."""
    path = os.path.join(root, name)
    if name in sys.modules and (os.path.exists(path + ".py") or os.path.isdir(path)):
        for loaded in [module for module in sys.modules if module == name or module.startswith(name + ".")]:
            del sys.modules[loaded]


def plain(value):
    """What JSON has no form for."""
    if isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def encode(value):
    text = ENCODER.encode(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair can only be escaped.
        return json.dumps(value, default=plain).encode()


ENCODER = json.JSONEncoder(default=plain, ensure_ascii=False)


def run(handler, event, context):
    """The answer, or the report of why there is none."""
    try:
        event = json.loads(event)
    except ValueError as error:
        return None, report("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}")
    try:
        answer = handler(event, context)
    except Exception as error:
        return None, report_exception(error)
    try:
        return encode(answer), None
    except Exception as error:
        return None, report("Runtime.MarshalError", f"Unable to marshal response: {error}")


def serve(api, handler):
    """Answers one event after the other."""
    next_path = PATHS + "invocation/next"
    while True:
        status, headers, event = api.get(next_path)
        if status != 200:
            sys.exit(f"the runtime API has no more events: {status}")
        context = Context(headers)
        if trace := headers.get("lambda-runtime-trace-id"):
            os.environ["_X_AMZN_TRACE_ID"] = trace
        answer, failure = run(handler, event, context)
        path = f"{PATHS}invocation/{context.aws_request_id}/"
        if failure is None:
            flush()
            # Refused when it is late or too long; then there is nothing more to say.
            api.post(path + "response", answer)
        else:
            show(failure, context.aws_request_id)
            api.post(path + "error", encode(failure), error_headers(failure))
        # Not kept until the next event.
        event = answer = failure = context = None


def error_headers(failure):
    return (("Lambda-Runtime-Function-Error-Type", failure["errorType"]),)


def main():
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    logging.captureWarnings(False)
    api = Api(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_API)
    api.connect()
    # What resolving a host's name, even a numeric one, imports at its first use.
    "x".encode("idna")
    gc.collect()
    gc.freeze()
    status, _, assignment = api.get("/wharf/assignment")
    if status != 200:
        sys.exit(f"the runtime API has no assignment: {status}")
    assignment = json.loads(assignment)
    try:
        become(assignment)
        handler = load(assignment["handler"], assignment["task_root"])
    except Unloadable as error:
        show(error.report)
        api.post(PATHS + "init/error", encode(error.report), error_headers(error.report))
        sys.exit(1)
    serve(api, handler)


if __name__ == "__main__":
    main()
