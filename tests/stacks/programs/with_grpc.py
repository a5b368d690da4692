"""gRPC: a server and its clients on loopback, both with pools of threads; calls and streams."""
import concurrent.futures
import hashlib
import threading

import grpc

from result import done

CALLS, CLIENTS = 3000, 8


def digest(request, context):
    return hashlib.sha256(request).digest()


def stream(request, context):
    for i in range(20):
        yield hashlib.sha256(request + b"%d" % i).digest()


server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Digest", {
    "One": grpc.unary_unary_rpc_method_handler(digest),
    "Many": grpc.unary_stream_rpc_method_handler(stream),
})])
port = server.add_insecure_port("127.0.0.1:0")
server.start()

finished = []
with grpc.insecure_channel("127.0.0.1:%d" % port) as channel, concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
    one, many = channel.unary_unary("/test.Digest/One"), channel.unary_stream("/test.Digest/Many")

    def ask(i):
        text = b"%d" % i
        if i % 10 == 0:
            return b"".join(many(text, timeout=60))
        if i % 3 == 0:
            future = one.future(text, timeout=60)
            # On a thread of gRPC's own.
            called_back = threading.Event()
            future.add_done_callback(lambda call: (finished.append(call.result()), called_back.set()))
            called_back.wait(60)
            return future.result()
        return one(text, timeout=60)

    answers = list(clients.map(ask, range(CALLS)))
server.stop(None).wait()
done((hashlib.sha256(b"".join(answers)).hexdigest(), len(finished)))
