"""numpy's side of bench/kernel.ts: takes the matrix and then commands from standard input, answers each with a line."""

import base64
import ctypes
import sys
import time

import numpy

n, d, runs = map(int, sys.stdin.buffer.readline().split())
U = numpy.frombuffer(sys.stdin.buffer.read(2 * n * d), numpy.int16).reshape(n, d).astype(numpy.float32)
# Another array with the same numbers: numpy can't see that the product is symmetric.
V = U.copy()


def library():
    with open("/proc/self/maps") as maps:
        paths = {line.split()[-1] for line in maps if "blas" in line and ".so" in line}
    for path in sorted(paths):
        try:
            config = ctypes.CDLL(path).openblas_get_config
        except (OSError, AttributeError):
            continue
        config.restype = ctypes.c_char_p
        return config().decode()
    return "BLAS unknown"


def timed(product):
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        product()
        times.append(time.perf_counter() - start)
    return sorted(times)[runs // 2]


commands = {
    "about": lambda: f"numpy {numpy.__version__}, {library()}",
    "syrk": lambda: timed(lambda: U @ U.T),
    "gemm": lambda: timed(lambda: U @ V.T),
    "result": lambda: base64.b64encode((U @ U.T).astype(numpy.float32).tobytes()).decode(),
}
for line in sys.stdin.buffer:
    print(commands[line.decode().strip()](), flush=True)
