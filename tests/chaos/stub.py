"""An exec backend's program: hands its standard input and output to the test,
and then does as it is told: a byte on the socket is the status it exits with.

    stub.py SOCKET
"""
import os
import socket
import sys

s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
socket.send_fds(s, [str(os.getpid()).encode()], [0, 1])
os.close(0)
os.close(1)
told = s.recv(1)
os._exit(told[0] if told else 1)
