"""What is invoked: it fetches a page, or says when it ran and does nothing."""

import socket
import time


def fetch(event, context):
    """The server's answer, and when its first byte was there."""
    started = time.time_ns()
    with socket.create_connection((event["host"], event["port"]), timeout=5) as connection:
        connected = time.time_ns()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n")
        answer = connection.recv(65536)
        first_byte = time.time_ns()
        while more := connection.recv(65536):
            answer += more
    return {
        "started_ns": started,
        "connected_ns": connected,
        "first_byte_ns": first_byte,
        "answer": answer.decode(),
    }


def clock(event, context):
    started = time.time_ns()
    return {"started_ns": started, "ended_ns": time.time_ns()}
