#!/usr/bin/env python3
"""Asks a server the same things many times, and checks every answer.

Usage: requests.py [-n COUNT] [-j PARALLEL] [-t SECONDS] URL...

COUNT requests in all, the URLs in turn. Prints one line for each different outcome: how often it came, URL, answer (a server's
process number left out), or why there was none: `no answer`, `status NNN`, `closed`. Ends with 0 if each URL's answers name the
same interpreter on both sides of `=`, else with 1. At the end: how many server processes answered.
"""
import argparse
import collections
import concurrent.futures
import http.client
import socket
import sys
import urllib.parse


def ask(url, seconds):
    """(answer, process) or (reason, None)"""
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=seconds)
    try:
        connection.request("GET", place.path)
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != 200:
            return "status %d" % answer.status, None
        body, process = body.rsplit(":", 1)
        return body, process
    except socket.timeout:
        return "no answer", None
    except (OSError, http.client.HTTPException) as error:
        return "closed (%s)" % type(error).__name__, None
    finally:
        connection.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int)
    parser.add_argument("-j", type=int, default=16)
    parser.add_argument("-t", type=float, default=10)
    parser.add_argument("urls", nargs="+")
    arguments = parser.parse_args()

    urls = [arguments.urls[i % len(arguments.urls)] for i in range(arguments.n or len(arguments.urls))]
    with concurrent.futures.ThreadPoolExecutor(arguments.j) as pool:
        answers = list(pool.map(lambda url: ask(url, arguments.t), urls))
    outcomes = collections.Counter((url, answer) for url, (answer, _) in zip(urls, answers))
    for (url, answer), count in sorted(outcomes.items()):
        print("%5d  %s  %s" % (count, urllib.parse.urlsplit(url).path, answer))
    print("%d processes answered" % len({process for _, process in answers if process}))

    wrong = 0
    for answer, _ in answers:
        left, equals, right = answer.split(" ")[0].partition("=")
        wrong += not equals or left != right
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
