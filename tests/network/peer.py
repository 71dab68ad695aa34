"""One end of a TCP session, for the tests of networks: `listen ADDRESS PORT...` answers whoever connects, `beat ADDRESS PORT` is connected
and says something all the time, until it cannot."""

import socket
import sys
import threading
import time


def answer(connection):
    with connection:
        try:
            while beat := connection.recv(64):
                connection.sendall(beat)
        except OSError:
            pass


def listen(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


role, address, *ports = sys.argv[1:]
if role == "listen":
    for port in ports:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = socket.create_server((address, int(port)), family=family)
        threading.Thread(target=listen, args=(server,)).start()
    print("listens", flush=True)
else:
    session = socket.create_connection((address, int(ports[0])))
    print("connected", flush=True)
    try:
        while True:
            session.sendall(b"beat")
            if not session.recv(64):
                raise ConnectionError("it was closed")
            time.sleep(0.02)
    except OSError as error:
        print(f"over: {error}", flush=True)
