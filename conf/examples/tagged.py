#!/usr/bin/env python3
"""A chat for wsrelayd with addressing = tagged: one program, many clients, and
each has a name of its own. See wsrelayd-tagged(7). In wsrelayd.ini:

    [route chat]
    path = /chat/{room}
    backend = exec:/usr/bin/python3 /srv/chat/tagged.py
    mode = hub
    addressing = tagged

A client says "/name Ada" to be called so, "/who", "/bye", or something to all.
"""
import json
import sys

names = {}  # of the clients that are there, by id


def say(text):
    # One line is one message, so nothing that is said may hold a line feed.
    sys.stdout.write(text + "\n")


def joined(client, about):
    names[client] = about["sub"] or "guest " + client[-4:]
    say(f"> {client} welcome, {names[client]}")
    say(f"> * {names[client]} is here")


def left(client, about):
    say(f"> * {names.pop(client)} has left")


def said(client, text):
    command, _, rest = text.partition(" ")
    if command == "/name" and rest:
        say(f"> * {names[client]} is now {rest}")
        names[client] = rest
    elif command == "/who":
        say(f"> {client} {', '.join(sorted(names.values()))}")
    elif command == "/bye":
        say(f"x {client} 1000 goodbye, {names[client]}")
    else:
        say(f"> * {names[client]}: {text}")


sys.stdin.reconfigure(encoding="utf-8", newline="\n")
sys.stdout.reconfigure(encoding="utf-8", newline="\n")
for line in sys.stdin:
    verb, client, rest = (line.rstrip("\n") + " ").split(" ", 2)
    rest = rest[:-1]  # the space that was added: "= ID" has no second one
    if verb == "+":
        joined(client, json.loads(rest))
    elif verb == "-":
        left(client, json.loads(rest))
    elif verb == ">":
        said(client, rest)
    # "=" says who drives, with input = driver. What is not known is passed
    # over, so that later versions may say more.
    sys.stdout.flush()
